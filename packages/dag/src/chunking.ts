import { HoldfastError, MAX_BLOCK_BYTES } from '@holdfast/core'

/** How content is cut into chunks: into equal ones, or where a rolling hash of the content says so. */
export type Chunking =
  | { readonly kind: 'size', readonly chunkBytes: number }
  | RabinChunking
  | { readonly kind: 'buzhash' }

export interface RabinChunking {
  readonly kind: 'rabin'
  /** Shortest chunk, but for the last one. */
  readonly minBytes: number
  /** A chunk ends where the hash has as many zero bits as the logarithm of this. */
  readonly avgBytes: number
  readonly maxBytes: number
}

/** Longest chunk in bytes: a block of 2 MiB less what a UnixFS leaf wraps around it (as Kubo caps it). */
export const MAX_CHUNK_BYTES: number = MAX_BLOCK_BYTES - 256

/** Shortest `min` of Rabin in bytes: the window of the rolling hash has to fit. */
export const MIN_RABIN_BYTES = 16

/** What `rabin` alone means. */
const DEFAULT_RABIN_AVG_BYTES = 262_144

const FORMS = 'size-N, rabin, rabin-AVG, rabin-MIN-AVG-MAX or buzhash, numbers in bytes'

/**
 * Reads a chunker as `ipfs add --chunker` takes it. The numbers of Rabin may carry their labels: `rabin-min:16-avg:32-max:64`.
 *
 * @throws `INVALID` for another form and for numbers out of range.
 */
export function parseChunker (text: string): Chunking {
  const size = /^size-(\d{1,9})$/.exec(text)
  if (size !== null) return { kind: 'size', chunkBytes: requireSize(Number(size[1])) }
  if (text === 'buzhash') return { kind: 'buzhash' }
  if (text === 'rabin') return rabinAround(DEFAULT_RABIN_AVG_BYTES)
  const average = /^rabin-(\d{1,9})$/.exec(text)
  if (average !== null) return rabinAround(Number(average[1]))
  const [, minBytes, avgBytes, maxBytes] = /^rabin-(?:min:)?(\d{1,9})-(?:avg:)?(\d{1,9})-(?:max:)?(\d{1,9})$/.exec(text) ?? []
  if (maxBytes !== undefined) return requireRabin({ kind: 'rabin', minBytes: Number(minBytes), avgBytes: Number(avgBytes), maxBytes: Number(maxBytes) })
  throw new HoldfastError('INVALID', `Chunker ${JSON.stringify(text.slice(0, 100))} does not exist; use ${FORMS}`, { chunker: text.slice(0, 100) })
}

/** Chunks of a third to one and a half of the average. */
function rabinAround (avgBytes: number): RabinChunking {
  return requireRabin({ kind: 'rabin', minBytes: Math.floor(avgBytes / 3), avgBytes, maxBytes: avgBytes + Math.floor(avgBytes / 2) })
}

function requireSize (chunkBytes: number): number {
  if (chunkBytes < 1 || chunkBytes > MAX_CHUNK_BYTES) {
    throw new HoldfastError('INVALID', `The chunker size must be a whole number from 1 to ${MAX_CHUNK_BYTES}, not ${chunkBytes}`, { chunkBytes })
  }
  return chunkBytes
}

function requireRabin (chunking: RabinChunking): RabinChunking {
  const { minBytes, avgBytes, maxBytes } = chunking
  if (minBytes < MIN_RABIN_BYTES) throw new HoldfastError('INVALID', `The shortest chunk of rabin must have at least ${MIN_RABIN_BYTES} bytes, not ${minBytes}`, { minBytes })
  if (minBytes >= avgBytes || avgBytes >= maxBytes) throw new HoldfastError('INVALID', `The lengths of rabin must rise from MIN over AVG to MAX, not ${minBytes}, ${avgBytes}, ${maxBytes}`, { minBytes, avgBytes, maxBytes })
  if (maxBytes > MAX_CHUNK_BYTES) throw new HoldfastError('INVALID', `The longest chunk of rabin must have at most ${MAX_CHUNK_BYTES} bytes, not ${maxBytes}`, { maxBytes })
  return chunking
}
