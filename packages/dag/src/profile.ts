import { hasherNamed, HoldfastError, IDENTITY, MAX_IDENTITY_BYTES, SHA2_256 } from '@holdfast/core'
import { type Chunking, parseChunker } from './chunking.ts'
import { MAX_HAMT_FANOUT, MIN_HAMT_FANOUT } from './hamt-shard.ts'

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
  /** Blocks of at most this many bytes become identity CIDs, which carry them; `undefined`: none do. */
  readonly inlineBytes: number | undefined
  /** How the content is cut into leaves. */
  readonly chunking: Chunking
  /** How the leaves hang together: all at one depth, or the first ones near the root. */
  readonly layout: 'balanced' | 'trickle'
  /** Most links of an inner node of a file. In a trickle DAG: most leaves, below which more nodes hang. */
  readonly maxFileLinks: number
  /** A directory with more links becomes a HAMT; 0: however many it has. */
  readonly maxDirectoryLinks: number
  /** A directory whose estimated length is above this many bytes becomes a HAMT. */
  readonly hamtThresholdBytes: number
  /** What that estimate counts: name and CID bytes of the links, or the exact dag-pb block. */
  readonly directoryEstimation: 'links' | 'block'
  /** Slots of a HAMT shard, a power of two. */
  readonly hamtFanout: number
}

/** The profile of IPIP-499 that new content gets. */
export const DEFAULT_PROFILE = 'unixfs-v1-2025'

/** What the profiles have in common. */
const SHARED = { hash: SHA2_256, inlineBytes: undefined, layout: 'balanced', maxDirectoryLinks: 0, hamtThresholdBytes: 262_144, hamtFanout: 256 } as const

/**
 * Named recipes. A recipe never changes under its name.
 *
 * @see IPIP-0499, https://specs.ipfs.tech/ipips/ipip-0499/
 */
export const PROFILES: Readonly<Record<string, ImportRecipe>> = {
  'unixfs-v1-2025': {
    ...SHARED,
    cidVersion: 1,
    rawLeaves: true,
    chunking: { kind: 'size', chunkBytes: 1_048_576 },
    maxFileLinks: 1024,
    directoryEstimation: 'block'
  },
  'unixfs-v0-2015': {
    ...SHARED,
    cidVersion: 0,
    rawLeaves: false,
    chunking: { kind: 'size', chunkBytes: 262_144 },
    maxFileLinks: 174,
    directoryEstimation: 'links'
  }
}

/** What a person may say about a recipe, named as the options of `ipfs add`; the rest comes from the profile. */
export interface RecipeOptions {
  /** @default DEFAULT_PROFILE */
  profile?: string | undefined
  cidVersion?: number | undefined
  /** Multicodec name. */
  hash?: string | undefined
  rawLeaves?: boolean | undefined
  /** `size-N`, `rabin`, `rabin-AVG`, `rabin-MIN-AVG-MAX` or `buzhash`. */
  chunker?: string | undefined
  trickle?: boolean | undefined
  maxFileLinks?: number | undefined
  /** 0: no limit. */
  maxDirectoryLinks?: number | undefined
  maxHamtFanout?: number | undefined
  inline?: boolean | undefined
  /** Without `inline` it says nothing. @default DEFAULT_INLINE_BYTES */
  inlineLimit?: number | undefined
  /** Whether modes or times will be kept: no leaf can be raw then, as a raw block has no room for them. @default false */
  keepsAttributes?: boolean | undefined
}

/** Longest block that becomes an identity CID unless told otherwise, in bytes: as Kubo. */
export const DEFAULT_INLINE_BYTES = 32

/** Most links that a person may ask for in one inner node: 40 bytes each still fit in a block. */
const MAX_FILE_LINKS = 16_384

/** Most links that a person may allow in a directory's one block; its length bounds them before that. */
const MAX_DIRECTORY_LINKS = 65_536

/**
 * Builds the recipe of one import. A hash other than sha2-256 implies CID version 1.
 *
 * Leaves are raw as the profile says, also with version 1: so does Kubo with that profile. (Kubo
 * without any profile lets version 1 imply raw leaves, which is what `unixfs-v1-2025` has anyway.)
 *
 * @throws `INVALID` for values that contradict each other or are out of range, `UNSUPPORTED` for
 * a hash that this node does not have.
 */
export function recipeOf (options: RecipeOptions = {}): ImportRecipe {
  const { profile = DEFAULT_PROFILE, chunker, trickle = false, inline = false, inlineLimit = DEFAULT_INLINE_BYTES } = options
  const base = Object.hasOwn(PROFILES, profile) ? PROFILES[profile] : undefined
  if (base === undefined) {
    throw new HoldfastError('INVALID', `Profile ${JSON.stringify(profile.slice(0, 100))} does not exist; use one of ${Object.keys(PROFILES).join(', ')}`, { profile: profile.slice(0, 100) })
  }
  const hash = options.hash === undefined ? base.hash : hasherNamed(options.hash.toLowerCase()).code
  if (hash === IDENTITY) throw new HoldfastError('INVALID', 'The identity hash holds small blocks only; use --inline for those')
  return {
    ...base,
    hash,
    cidVersion: cidVersionOf(options, base, hash),
    rawLeaves: rawLeavesOf(options, base),
    inlineBytes: inline ? requireWithin('inline-limit', inlineLimit, 0, MAX_IDENTITY_BYTES) : base.inlineBytes,
    chunking: chunker === undefined ? base.chunking : parseChunker(chunker),
    layout: trickle ? 'trickle' : base.layout,
    maxFileLinks: requireWithin('max-file-links', options.maxFileLinks ?? base.maxFileLinks, 2, MAX_FILE_LINKS),
    maxDirectoryLinks: requireWithin('max-directory-links', options.maxDirectoryLinks ?? base.maxDirectoryLinks, 0, MAX_DIRECTORY_LINKS),
    hamtFanout: requireFanout(options.maxHamtFanout ?? base.hamtFanout)
  }
}

/** The same recipe with directories of any number of links, and HAMTs of the fanout that all profiles have. */
export function withDefaultWidths (recipe: ImportRecipe): ImportRecipe {
  return { ...recipe, maxDirectoryLinks: SHARED.maxDirectoryLinks, hamtFanout: SHARED.hamtFanout }
}

/** Bytes of every chunk but the last of a file, when the recipe gives all the same. */
export function chunkBytesOf ({ chunking }: ImportRecipe): number | undefined {
  return chunking.kind === 'size' ? chunking.chunkBytes : undefined
}

function cidVersionOf ({ cidVersion }: RecipeOptions, base: ImportRecipe, hash: number): 0 | 1 {
  if (cidVersion !== undefined && cidVersion !== 0 && cidVersion !== 1) {
    throw new HoldfastError('INVALID', `CID version ${cidVersion} does not exist; use 0 or 1`, { cidVersion })
  }
  if (hash === SHA2_256) return cidVersion ?? base.cidVersion
  if (cidVersion === 0) throw new HoldfastError('INVALID', 'CID version 0 exists with sha2-256 only; use --cid-version 1')
  return 1
}

function rawLeavesOf ({ rawLeaves, keepsAttributes = false }: RecipeOptions, base: ImportRecipe): boolean {
  if (!keepsAttributes) return rawLeaves ?? base.rawLeaves
  if (rawLeaves === true) throw new HoldfastError('INVALID', 'Raw leaves have no room for modes and times; leave out --raw-leaves, or --preserve-mode, --preserve-mtime, --mode and --mtime')
  return false
}

function requireFanout (fanout: number): number {
  if (fanout < MIN_HAMT_FANOUT || fanout > MAX_HAMT_FANOUT || !Number.isInteger(Math.log2(fanout))) {
    throw new HoldfastError('INVALID', `The max-hamt-fanout must be a power of two from ${MIN_HAMT_FANOUT} to ${MAX_HAMT_FANOUT}, not ${fanout}`, { fanout })
  }
  return fanout
}

function requireWithin (name: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new HoldfastError('INVALID', `The ${name} must be a whole number from ${min} to ${max}, not ${value}`, { value })
  }
  return value
}
