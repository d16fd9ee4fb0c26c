import { HoldfastError } from '@holdfast/core'
import type { Uint8ArrayList } from 'uint8arraylist'
import { ByteQueue } from '../byte-queue.ts'

/**
 * Cuts bytes as they come into messages, each behind its length as a varint.
 *
 * Holds the bytes that nobody asked it to look at yet, and at most twice what came of one message. No generator: an error that is
 * thrown in one keeps its variables, and so the bytes, for as long as the error lives.
 */
export class MessageFrames {
  readonly #maxBytes: number
  #length: PartialLength = { value: 0, bytes: 0 }
  /** What came of a message whose length is known. */
  #message: PartialMessage | undefined
  /** What has come and was not looked at: the rest of a piece, and the pieces behind it. */
  #piece: Uint8Array | undefined
  readonly #pieces = new ByteQueue()

  constructor (maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Bytes that are held for messages that are not complete, or were not taken yet. */
  get heldBytes (): number {
    return (this.#message?.buffer.byteLength ?? 0) + (this.#piece?.byteLength ?? 0) + this.#pieces.byteLength
  }

  /** Takes bytes, and returns the messages that they complete: those that `next` would. */
  push (bytes: Uint8Array | Uint8ArrayList): Iterable<Uint8Array> {
    for (const piece of bytes instanceof Uint8Array ? [bytes] : bytes) this.#pieces.push(piece)
    return { [Symbol.iterator]: () => ({ next: () => resultOf(this.next()) }) }
  }

  /**
   * Returns the next message as a copy; `undefined` when more has to come first.
   *
   * @throws `LIMIT` for a length above the bound, before any byte of that message is copied or waited for. All that has come is forgotten then.
   */
  next (): Uint8Array | undefined {
    for (let piece = this.#piece ?? this.#pieces.shift(); piece !== undefined; piece = this.#piece ?? this.#pieces.shift()) {
      const takenBytes = this.#message === undefined ? this.#readLength(piece) : this.#copy(piece, this.#message)
      this.#piece = takenBytes < piece.byteLength ? piece.subarray(takenBytes) : undefined
      const message = this.#complete()
      if (message !== undefined) return message
    }
    return undefined
  }

  /** Forgets all that has come. */
  clear (): void {
    this.#message = undefined
    this.#length = { value: 0, bytes: 0 }
    this.#piece = undefined
    this.#pieces.clear()
  }

  /** Returns how many bytes it took. */
  #readLength (bytes: Uint8Array): number {
    for (const [index, byte] of bytes.entries()) {
      const value = this.#length.value + (byte & 0x7f) * 2 ** (7 * this.#length.bytes)
      this.#length = { value, bytes: this.#length.bytes + 1 }
      if (value > this.#maxBytes) throw this.#refused('LIMIT', `DHT message of ${value} bytes or more; at most ${this.#maxBytes} are read`)
      if (byte < 0x80) {
        this.#message = { byteLength: value, buffer: EMPTY, filledBytes: 0 }
        return index + 1
      }
      if (this.#length.bytes === MAX_LENGTH_BYTES) throw this.#refused('INVALID', 'DHT message whose length is cut into too many bytes')
    }
    return bytes.byteLength
  }

  #refused (code: 'LIMIT' | 'INVALID', message: string): HoldfastError {
    this.clear()
    return new HoldfastError(code, message)
  }

  /** Returns how many bytes it took. */
  #copy (bytes: Uint8Array, message: PartialMessage): number {
    const piece = bytes.subarray(0, message.byteLength - message.filledBytes)
    const neededBytes = message.filledBytes + piece.byteLength
    if (neededBytes > message.buffer.byteLength) {
      // One buffer and not a list of pieces: a peer may send a byte at a time. It grows with what comes, not with what was promised.
      const larger = new Uint8Array(Math.min(message.byteLength, message.filledBytes === 0 ? neededBytes : 2 * neededBytes))
      larger.set(message.buffer.subarray(0, message.filledBytes))
      message.buffer = larger
    }
    message.buffer.set(piece, message.filledBytes)
    message.filledBytes = neededBytes
    return piece.byteLength
  }

  #complete (): Uint8Array | undefined {
    if (this.#message === undefined || this.#message.filledBytes < this.#message.byteLength) return undefined
    const { buffer } = this.#message
    this.#message = undefined
    this.#length = { value: 0, bytes: 0 }
    return buffer
  }
}

function resultOf (message: Uint8Array | undefined): IteratorResult<Uint8Array, undefined> {
  return message === undefined ? { done: true, value: undefined } : { done: false, value: message }
}

interface PartialLength {
  readonly value: number
  /** How many have come. */
  readonly bytes: number
}

interface PartialMessage {
  readonly byteLength: number
  buffer: Uint8Array
  filledBytes: number
}

const EMPTY = new Uint8Array()

/** 4 MiB needs four; no writer pads. */
const MAX_LENGTH_BYTES = 4
