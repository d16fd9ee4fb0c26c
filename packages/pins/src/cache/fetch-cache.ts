import type { BlockReader, Blockstore } from '@holdfast/blockstore'
import { type Logger, silentLogger } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { diskWith, type JournalFs } from '../journal/journal-fs.ts'
import type { LeaseBook } from '../leases.ts'
import type { References } from '../references/references.ts'
import { BookedCache } from './booked-cache.ts'
import type { CacheCounts } from './cache-book.ts'
import { openBook } from './open-book.ts'

export interface FetchCacheDeps {
  /** Where all blocks are; nobody else writes there. */
  readonly blocks: Blockstore
  readonly leases: LeaseBook
  readonly log?: Logger
}

export interface FetchCacheOptions {
  /** The file of the book of cached blocks. */
  readonly path: string
  /** Bytes of cached blocks above which the oldest go. */
  readonly maxBytes: number
  /** Blocks above which the oldest go. @default MAX_CACHED_BLOCKS */
  readonly maxBlocks?: number | undefined
  /** Replaces parts of the disk, for tests that make it fail. */
  readonly fs?: Partial<JournalFs> | undefined
}

/** What the cache asks of the index of references. */
export type CacheReferences = Pick<References, 'isKept' | 'note' | 'settle' | 'besideCached'>

/** What is known of the cache. */
export interface CacheStatus extends CacheCounts {
  readonly maxBytes: number
}

/** Makes blocks that are pinned no cache. */
export interface CacheKeeper {
  /** The block, which is under a lease, is no cache from now on. */
  keep(cid: CID): void
  /** Resolves when that survives a crash. To be awaited before the pin is made. */
  kept(): Promise<void>
}

/**
 * The blocks of a node, some of which are cache: fetched, not here before, and neither put nor pinned since.
 *
 * When there is more cache than allowed, and before a write is refused for lack of space, the cached blocks that were
 * used longest ago are removed. Whatever a lease protects stays meanwhile.
 */
export interface FetchCache extends CacheKeeper, AsyncDisposable {
  /** All blocks. A put makes a block no cache, a get counts as its use; a put that finds no space evicts and tries again. */
  readonly blocks: Blockstore
  /** The same for whoever fetches: what is put here and was not there before is cache. */
  readonly fetchedBlocks: Blockstore
  readonly status: CacheStatus
  /** Bytes of all blocks that were put since the start, repeats and what a store adds to small ones included. */
  readonly writtenByteLength: number
  /** Wraps a reader so that the blocks it read last stay until it is disposed. */
  protectReader(reader: BlockReader & Disposable): BlockReader & Disposable
  /** Runs a write; when it finds no space, evicts and runs it again. */
  withRoom<T>(byteLength: number, write: () => Promise<T>): Promise<T>
  /** Runs a write that goes past `blocks`: what it writes is no cache from then on, as if it had been put. */
  own(cids: readonly CID[], write: () => Promise<void>): Promise<void>
  /** Says who knows what pins keep: without that, nothing is evicted. Blocks that are no cache, or no longer, are noted there. */
  watch(references: CacheReferences): void
  /** Reports whether the block is cache: fetched, and neither put nor pinned since. */
  has(cid: CID): boolean
  /** The cached blocks, the one that was used longest ago first. */
  cids(): Iterable<CID>
  /** Resolves when no eviction is under way or due. */
  settled(): Promise<void>
}

/**
 * Opens the cache over a store.
 *
 * @throws `UNAVAILABLE` when the book of cached blocks can neither be written nor removed.
 */
export async function openFetchCache (deps: FetchCacheDeps, { path, fs = {}, ...limits }: FetchCacheOptions): Promise<FetchCache> {
  const log = deps.log ?? silentLogger
  return new BookedCache({ ...deps, log }, await openBook(path, { fs: diskWith(fs), log }), limits)
}
