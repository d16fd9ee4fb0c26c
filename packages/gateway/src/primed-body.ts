import { HoldfastError } from '@holdfast/core'
import { type Body, bytesBody } from './exchange.ts'

/** Bytes that are read before the status is sent: failures up to here get a status instead of a broken connection. */
export const PRIMED_BYTES: number = 64 * 1024

/** Longest that bytes which are there wait for more to come, in ms: content may arrive in drops. */
const MAX_HELD_MS = 100

/**
 * Reads the beginning of a body, so that content which is missing from the start is known before the headers go.
 *
 * A body that ends within `PRIMED_BYTES` comes back as bytes in memory; of a longer one, what was read waits in
 * front of the rest.
 *
 * @throws what reading throws; `CORRUPT` when the body ends before its declared length.
 */
export async function primeBody (body: Body): Promise<Body> {
  if (body.bytes !== undefined) return body
  const iterator = body.read()[Symbol.asyncIterator]()
  const pieces: Uint8Array[] = []
  let readBytes = 0
  const startedMs = performance.now()
  while (readBytes < PRIMED_BYTES && (readBytes === 0 || performance.now() - startedMs < MAX_HELD_MS)) {
    const next = await iterator.next()
    if (next.done === true) return wholeBody(body, pieces, readBytes)
    readBytes += next.value.byteLength
    // Only a piece after which more is read must outlive the next.
    pieces.push(body.isBorrowed === true && readBytes < PRIMED_BYTES ? Uint8Array.from(next.value) : next.value)
    if (readBytes === body.byteLength && readBytes <= PRIMED_BYTES) {
      await iterator.return?.()
      return wholeBody(body, pieces, readBytes)
    }
  }
  return { byteLength: body.byteLength, isBorrowed: body.isBorrowed, read: () => ({ [Symbol.asyncIterator]: () => withFront(pieces, iterator) }) }
}

function wholeBody ({ byteLength = -1 }: Body, pieces: readonly Uint8Array[], readBytes: number): Body {
  if (byteLength !== -1 && byteLength !== readBytes) {
    throw new HoldfastError('CORRUPT', `Content ended after ${readBytes} of ${byteLength} bytes`, { byteLength, readBytes })
  }
  const [only] = pieces
  return bytesBody(pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces, readBytes))
}

/** Not a generator: `return` must reach the source even when nothing was pulled. */
function withFront (front: Uint8Array[], rest: AsyncIterator<Uint8Array>): AsyncIterator<Uint8Array> {
  return {
    async next () {
      const value = front.shift()
      return value === undefined ? await rest.next() : { done: false, value }
    },
    async return () {
      await rest.return?.()
      return { done: true, value: undefined }
    }
  }
}

/** Joins small pieces, so that a stream of many tiny ones is written in fewer, larger ones; large pieces are not copied. */
export async function * coalesce (pieces: AsyncIterable<Uint8Array>, minBytes: number): AsyncIterable<Uint8Array> {
  let held: Uint8Array[] = []
  let heldBytes = 0
  let heldSinceMs = 0
  for await (const piece of pieces) {
    const isLarge = piece.byteLength >= minBytes
    if (heldBytes === 0) heldSinceMs = performance.now()
    if (!isLarge) {
      held.push(piece)
      heldBytes += piece.byteLength
    }
    if (heldBytes >= minBytes || (heldBytes > 0 && (isLarge || performance.now() - heldSinceMs > MAX_HELD_MS))) {
      yield Buffer.concat(held, heldBytes)
      held = []
      heldBytes = 0
    }
    if (isLarge) yield piece
  }
  if (heldBytes > 0) yield Buffer.concat(held, heldBytes)
}
