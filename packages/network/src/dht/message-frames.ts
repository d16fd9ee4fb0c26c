import { HoldfastError } from '@holdfast/core'
import type { Uint8ArrayList } from 'uint8arraylist'

/** Cuts bytes as they come into messages, each behind its length as a varint. Holds at most twice what came of one message. */
export class MessageFrames {
  readonly #maxBytes: number
  /** One buffer and not a list of pieces: a peer may send a byte at a time. */
  #buffer = Buffer.alloc(0)
  #start = 0
  #end = 0

  constructor (maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Bytes that are held for a message that is not complete. */
  get heldBytes (): number {
    return this.#buffer.byteLength
  }

  /**
   * Takes bytes and yields the messages that they complete, as copies.
   *
   * @throws `LIMIT` for a length above the bound, before its bytes are waited for.
   */
  * push (bytes: Uint8Array | Uint8ArrayList): Generator<Uint8Array> {
    if (bytes instanceof Uint8Array) this.#append(bytes)
    else for (const part of bytes) this.#append(part)
    for (let message = this.#next(); message !== undefined; message = this.#next()) yield message
    if (this.#start === this.#end) this.#buffer = Buffer.alloc(0)
    if (this.#buffer.byteLength === 0) this.#start = this.#end = 0
  }

  #append (bytes: Uint8Array): void {
    if (this.#end + bytes.byteLength > this.#buffer.byteLength) {
      const waiting = this.#buffer.subarray(this.#start, this.#end)
      const larger = Buffer.allocUnsafeSlow(2 * (waiting.byteLength + bytes.byteLength))
      larger.set(waiting)
      this.#buffer = larger
      this.#start = 0
      this.#end = waiting.byteLength
    }
    this.#buffer.set(bytes, this.#end)
    this.#end += bytes.byteLength
  }

  #next (): Uint8Array | undefined {
    let byteLength = 0
    for (let count = 1; this.#start + count <= this.#end; count++) {
      const byte = this.#buffer[this.#start + count - 1] ?? 0
      byteLength += (byte & 0x7f) * 2 ** (7 * (count - 1))
      if (byteLength > this.#maxBytes) throw new HoldfastError('LIMIT', `DHT message of ${byteLength} bytes or more; at most ${this.#maxBytes} are read`)
      if (byte < 0x80) return this.#take(count, byteLength)
      if (count === MAX_LENGTH_BYTES) throw new HoldfastError('INVALID', 'DHT message whose length is cut into too many bytes')
    }
    return undefined
  }

  #take (prefixBytes: number, byteLength: number): Uint8Array | undefined {
    const from = this.#start + prefixBytes
    if (this.#end < from + byteLength) return undefined
    this.#start = from + byteLength
    return new Uint8Array(this.#buffer.subarray(from, this.#start))
  }
}

/** 4 MiB needs four; no writer pads. */
const MAX_LENGTH_BYTES = 4
