/**
 * Cuts a stream of bytes into messages.
 *
 * ```
 * frame = length varint, message of that many bytes
 * ```
 */
import { HoldfastError } from '@holdfast/core'
import { giveBack, type HeldBytes } from '@holdfast/network'
import { setImmediate } from 'node:timers/promises'
import { requireMessageLength } from './message.ts'

/** Bytes of the longest length varint: 4 MiB needs four, and nothing longer is a message. */
const MAX_LENGTH_BYTES = 4

/** Messages that are handed out before the event loop gets a turn: a chunk of 64 KiB can hold 30,000. */
const MESSAGES_PER_SLICE = 64

/** Empty messages in a row after which a stream is given up: they mean nothing, and no implementation sends them. */
export const MAX_EMPTY_RUN = 1024

export interface FrameOptions {
  /** Charged with the bytes of the message that is not complete yet. */
  held: HeldBytes
  /** Called for each chunk that arrives, with whether a message is now half there. */
  onChunk?: (isInsideMessage: boolean) => void
}

/**
 * Yields the messages of a stream, without their lengths; empty ones are passed over.
 *
 * Memory follows what arrived, not what a length promises. A stream that ends inside a message ends without it.
 *
 * @throws `LIMIT` for a message above `MAX_MESSAGE_BYTES`, more than `MAX_EMPTY_RUN` empty ones in a row, or when the account has no room; `INVALID` for a malformed length.
 */
export async function * readFrames (chunks: AsyncIterable<Uint8Array>, { held, onChunk }: FrameOptions): AsyncGenerator<Uint8Array, void, undefined> {
  const frame = new FrameBuffer(held)
  let messageCount = 0
  let emptyRun = 0
  try {
    for await (const received of chunks) {
      // Never a Buffer: its slice() shares memory where that of a Uint8Array copies.
      const chunk = new Uint8Array(received.buffer, received.byteOffset, received.byteLength)
      for (let at = 0; at < chunk.byteLength;) {
        at = frame.take(chunk, at)
        const message = frame.takeMessage()
        if (message === undefined) continue
        emptyRun = message.byteLength === 0 ? emptyRun + 1 : 0
        if (emptyRun > MAX_EMPTY_RUN) throw new HoldfastError('LIMIT', `Bitswap stream carries more than ${MAX_EMPTY_RUN} empty messages in a row`)
        if (message.byteLength > 0) yield message
        if (++messageCount % MESSAGES_PER_SLICE === 0) await setImmediate()
      }
      onChunk?.(frame.isPartial)
    }
  } finally {
    frame.clear()
  }
}

class FrameBuffer {
  readonly #held: HeldBytes
  /** Bytes of the message, `undefined` while its length is read. */
  #byteLength: number | undefined
  #lengthBytes = 0
  #length = 0
  #pieces: Uint8Array[] = []
  #heldBytes = 0

  constructor (held: HeldBytes) {
    this.#held = held
  }

  get isPartial (): boolean {
    return this.#byteLength !== undefined || this.#lengthBytes > 0
  }

  /** Takes of `chunk` what belongs to the next message; returns where it stopped. */
  take (chunk: Uint8Array, start: number): number {
    let at = start
    while (this.#byteLength === undefined) {
      const byte = chunk[at++]
      if (byte === undefined) return chunk.byteLength
      this.#takeLengthByte(byte)
    }
    const piece = chunk.subarray(at, at + this.#byteLength - this.#heldBytes)
    if (piece.byteLength > 0) {
      this.#held.add(piece.byteLength)
      this.#heldBytes += piece.byteLength
      this.#pieces.push(piece)
    }
    return at + piece.byteLength
  }

  takeMessage (): Uint8Array | undefined {
    if (this.#byteLength === undefined || this.#heldBytes < this.#byteLength) return undefined
    const [only] = this.#pieces
    // One piece is a view into a chunk of the stream, which nobody writes to again.
    const message = this.#pieces.length === 1 && only !== undefined ? only : concat(this.#pieces, this.#byteLength)
    this.clear()
    return message
  }

  clear (): void {
    this.#held.subtract(this.#heldBytes)
    this.#byteLength = undefined
    this.#lengthBytes = 0
    this.#length = 0
    this.#pieces = []
    this.#heldBytes = 0
  }

  #takeLengthByte (byte: number): void {
    this.#length += (byte & 0x7f) * 0x80 ** this.#lengthBytes++
    if (byte < 0x80) {
      requireMessageLength(this.#length)
      this.#byteLength = this.#length
    } else if (this.#lengthBytes === MAX_LENGTH_BYTES) {
      throw new HoldfastError('LIMIT', `Bitswap message announces a length of more than ${MAX_LENGTH_BYTES} bytes, which no message has`)
    }
  }
}

/** Joins pieces, whose memory is given back where they have it alone. */
function concat (pieces: readonly Uint8Array[], byteLength: number): Uint8Array {
  // Every byte of it is written.
  const bytes = new Uint8Array(Buffer.allocUnsafeSlow(byteLength).buffer)
  let at = 0
  for (const piece of pieces) {
    bytes.set(piece, at)
    at += piece.byteLength
    giveBack(piece)
  }
  return bytes
}
