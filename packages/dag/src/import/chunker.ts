import type { Chunking } from '../chunking.ts'
import { BuzhashBoundary, MIN_BUZHASH_BYTES } from './buzhash.ts'
import type { ChunkBuffers } from './chunk-buffers.ts'
import { RabinBoundary } from './rabin.ts'

/** Finds where a chunk ends. Keeps what it needs of the bytes before, so that content may come in pieces of any length. */
export interface ChunkBoundary {
  /**
   * Takes the next bytes of a chunk, those of `piece` from `start` on.
   *
   * Returns the index behind the last byte of the chunk, or -1 when it goes on behind the piece.
   */
  next(piece: Uint8Array, start: number): number
}

/** Pieces of one chunk that are held as they came; so many more are copied together, as a view takes more memory than a few bytes. */
const LOOSE_PARTS = 256

/**
 * Cuts content into chunks; nothing comes of no content.
 *
 * Pieces may be of any length. Chunks that lie within one piece are views of it; only those that
 * straddle pieces are copied together, into `buffers` if they fill one. A small file costs its own length, not that of a chunk.
 */
export async function * cutChunks (content: AsyncIterable<Uint8Array>, chunking: Chunking, buffers?: ChunkBuffers): AsyncIterable<Uint8Array> {
  const boundary = boundaryOf(chunking)
  let parts: Uint8Array[] = []
  let looseCount = 0
  for await (const piece of content) {
    for (let start = 0; start < piece.byteLength;) {
      const end = boundary.next(piece, start)
      parts.push(piece.subarray(start, end < 0 ? undefined : end))
      if (end < 0) {
        if (++looseCount % LOOSE_PARTS === 0) parts.push(join(parts.splice(-LOOSE_PARTS)))
        break
      }
      yield join(parts, buffers)
      parts = []
      looseCount = 0
      start = end
    }
  }
  if (parts.length > 0) yield join(parts)
}

/** Content of at most so many bytes is one chunk. */
export function shortestChunkBytes (chunking: Chunking): number {
  switch (chunking.kind) {
    case 'size': return chunking.chunkBytes
    case 'rabin': return chunking.minBytes
    case 'buzhash': return MIN_BUZHASH_BYTES
  }
}

function boundaryOf (chunking: Chunking): ChunkBoundary {
  switch (chunking.kind) {
    case 'size': return new FixedBoundary(chunking.chunkBytes)
    case 'rabin': return new RabinBoundary(chunking)
    case 'buzhash': return new BuzhashBoundary()
  }
}

/** Ends every chunk after as many bytes. */
class FixedBoundary implements ChunkBoundary {
  readonly #chunkBytes: number
  #byteLength = 0

  constructor (chunkBytes: number) {
    this.#chunkBytes = chunkBytes
  }

  next (piece: Uint8Array, start: number): number {
    const end = start + this.#chunkBytes - this.#byteLength
    if (end > piece.byteLength) {
      this.#byteLength += piece.byteLength - start
      return -1
    }
    this.#byteLength = 0
    return end
  }
}

function join (parts: readonly Uint8Array[], buffers?: ChunkBuffers): Uint8Array {
  const [only] = parts
  if (parts.length === 1 && only !== undefined) return only
  if (parts.reduce((sum, { byteLength }) => sum + byteLength, 0) !== buffers?.chunkBytes) return Buffer.concat(parts)
  const chunk = buffers.take()
  let at = 0
  for (const part of parts) {
    chunk.set(part, at)
    at += part.byteLength
  }
  return chunk
}
