/**
 * Cuts a stream of bytes into messages.
 *
 * ```
 * frame = length varint of at most 3 bytes, message of that many bytes
 * ```
 */
import { HoldfastError, varintLength, writeVarint } from '@holdfast/core'
import type { HeldBytes } from '@holdfast/network'
import { MAX_MESSAGE_BYTES } from '../limits.ts'

const MAX_LENGTH_BYTES = 3

/** The message with its length in front. @throws `LIMIT` for a message that nobody would read. */
export function frameOf (message: Uint8Array): Uint8Array[] {
  if (message.byteLength > MAX_MESSAGE_BYTES) throw new HoldfastError('LIMIT', `Message has ${message.byteLength} bytes; at most ${MAX_MESSAGE_BYTES} are sent`)
  const length = new Uint8Array(varintLength(message.byteLength))
  writeVarint(length, 0, message.byteLength)
  return [length, message]
}

export interface FrameOptions {
  /** @default MAX_MESSAGE_BYTES */
  maxBytes?: number
  /** Charged with what is held of a message that is not whole yet. */
  account?: HeldBytes
}

/**
 * Yields the messages of a stream, without their lengths.
 *
 * At most one message is held, in at most twice the memory of what arrived of it, whatever its length promises. A stream that ends inside a message ends without it.
 *
 * @throws `LIMIT` for a length above `maxBytes`, or when the account has no room.
 */
export async function * readFrames (chunks: AsyncIterable<Uint8Array>, { maxBytes = MAX_MESSAGE_BYTES, account }: FrameOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
  let message = new Uint8Array()
  let heldBytes = 0
  let length = 0
  let lengthBytes = 0
  let isLengthKnown = false
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.byteLength;) {
      if (!isLengthKnown) {
        const byte = chunk[at++] ?? 0
        length += (byte & 0x7f) * 0x80 ** lengthBytes++
        isLengthKnown = byte < 0x80
        if (length > maxBytes || !isLengthKnown && lengthBytes === MAX_LENGTH_BYTES) throw new HoldfastError('LIMIT', `A peer announces a message of more than ${maxBytes} bytes`)
      } else {
        const piece = chunk.subarray(at, at + length - heldBytes)
        const byteLength = Math.min(length, Math.max(2 * heldBytes, heldBytes + piece.byteLength))
        if (byteLength > message.byteLength) account?.add(byteLength - message.byteLength)
        message = withRoom(message, heldBytes, byteLength)
        message.set(piece, heldBytes)
        heldBytes += piece.byteLength
        at += piece.byteLength
      }
      if (!isLengthKnown || heldBytes < length) continue
      account?.subtract(message.byteLength)
      yield message.subarray(0, length)
      message = new Uint8Array()
      heldBytes = length = lengthBytes = 0
      isLengthKnown = false
    }
  }
}

/** Pieces are copied together, twice at most: kept apart, a message that comes byte by byte would take a hundred times its length. */
function withRoom (message: Uint8Array<ArrayBuffer>, heldBytes: number, byteLength: number): Uint8Array<ArrayBuffer> {
  if (message.byteLength >= byteLength) return message
  const grown = new Uint8Array(byteLength)
  grown.set(message.subarray(0, heldBytes))
  return grown
}
