import { hasherNamed, HoldfastError, MAX_BLOCK_BYTES, SHA2_256 } from '@holdfast/core'

/**
 * Everything that decides which CID a file gets.
 *
 * Two imports with equal recipes give equal CIDs, on any implementation.
 */
export interface ImportRecipe {
  readonly cidVersion: 0 | 1
  /** Multicodec code of the hash function. */
  readonly hash: number
  /** Whether the leaves of a file are raw blocks instead of UnixFS nodes. */
  readonly rawLeaves: boolean
  /** Bytes of content in each leaf. */
  readonly chunkBytes: number
  /** Most links of an inner node of a file. */
  readonly maxFileLinks: number
  /** A directory whose estimated length is above this many bytes becomes a HAMT. */
  readonly hamtThresholdBytes: number
  /** What that estimate counts: name and CID bytes of the links, or the exact dag-pb block. */
  readonly directoryEstimation: 'links' | 'block'
  /** Slots of a HAMT shard, a power of two. */
  readonly hamtFanout: number
}

/** The profile of IPIP-499 that new content gets. */
export const DEFAULT_PROFILE = 'unixfs-v1-2025'

/**
 * Named recipes. A recipe never changes under its name.
 *
 * @see IPIP-0499, https://specs.ipfs.tech/ipips/ipip-0499/
 */
export const PROFILES: Readonly<Record<string, ImportRecipe>> = {
  'unixfs-v1-2025': {
    cidVersion: 1,
    hash: SHA2_256,
    rawLeaves: true,
    chunkBytes: 1_048_576,
    maxFileLinks: 1024,
    hamtThresholdBytes: 262_144,
    directoryEstimation: 'block',
    hamtFanout: 256
  },
  'unixfs-v0-2015': {
    cidVersion: 0,
    hash: SHA2_256,
    rawLeaves: false,
    chunkBytes: 262_144,
    maxFileLinks: 174,
    hamtThresholdBytes: 262_144,
    directoryEstimation: 'links',
    hamtFanout: 256
  }
}

/** What a person may say about a recipe; the rest comes from the profile. */
export interface RecipeOptions {
  /** @default DEFAULT_PROFILE */
  profile?: string | undefined
  cidVersion?: number | undefined
  /** Multicodec name. */
  hash?: string | undefined
  rawLeaves?: boolean | undefined
  /** `size-N`. */
  chunker?: string | undefined
  maxFileLinks?: number | undefined
}

/** Longest chunk in bytes: a block of 2 MiB less what a UnixFS leaf wraps around it (as Kubo caps it). */
export const MAX_CHUNK_BYTES: number = MAX_BLOCK_BYTES - 256

/** Most links that a person may ask for in one inner node: 40 bytes each still fit in a block. */
const MAX_FILE_LINKS = 16_384

/**
 * Builds the recipe of one import. A hash other than sha2-256 implies CID version 1.
 *
 * Leaves are raw as the profile says, also with version 1: so does Kubo with that profile. (Kubo
 * without any profile lets version 1 imply raw leaves, which is what `unixfs-v1-2025` has anyway.)
 *
 * @throws `INVALID` for values that contradict each other or are out of range, `UNSUPPORTED` for
 * a chunker or hash that this node does not have.
 */
export function recipeOf (options: RecipeOptions = {}): ImportRecipe {
  const { profile = DEFAULT_PROFILE } = options
  const base = PROFILES[profile]
  if (base === undefined) {
    throw new HoldfastError('INVALID', `Profile ${profile} does not exist; use one of ${Object.keys(PROFILES).join(', ')}`, { profile })
  }
  const hash = options.hash === undefined ? base.hash : hasherNamed(options.hash).code
  const cidVersion = cidVersionOf(options, base, hash)
  return {
    ...base,
    hash,
    cidVersion,
    rawLeaves: options.rawLeaves ?? base.rawLeaves,
    chunkBytes: options.chunker === undefined ? base.chunkBytes : parseChunker(options.chunker),
    maxFileLinks: options.maxFileLinks === undefined ? base.maxFileLinks : requireWithin('max-file-links', options.maxFileLinks, 2, MAX_FILE_LINKS)
  }
}

function cidVersionOf ({ cidVersion }: RecipeOptions, base: ImportRecipe, hash: number): 0 | 1 {
  if (cidVersion !== undefined && cidVersion !== 0 && cidVersion !== 1) {
    throw new HoldfastError('INVALID', `CID version ${cidVersion} does not exist; use 0 or 1`, { cidVersion })
  }
  if (hash === SHA2_256) return cidVersion ?? base.cidVersion
  if (cidVersion === 0) throw new HoldfastError('INVALID', 'CID version 0 exists with sha2-256 only; use --cid-version 1')
  return 1
}

function parseChunker (text: string): number {
  const match = /^size-(\d{1,9})$/.exec(text)
  if (match !== null) return requireWithin('chunker size', Number(match[1]), 1, MAX_CHUNK_BYTES)
  throw /^(rabin|buzhash)/.test(text)
    ? new HoldfastError('UNSUPPORTED', `Chunker ${text} is not built yet; use size-N`, { chunker: text })
    : new HoldfastError('INVALID', `Chunker ${text} does not exist; use size-N, N in bytes`, { chunker: text })
}

function requireWithin (name: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new HoldfastError('INVALID', `The ${name} must be a whole number from ${min} to ${max}, not ${value}`, { value })
  }
  return value
}
