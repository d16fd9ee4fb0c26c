import { type AbortOptions, type Block, IDENTITY, multihashKey } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import type { Blockstore, BlockstoreUsage, DeleteManyOptions, DeleteOptions } from './blockstore.ts'
import { deleteBlocks } from './delete-blocks.ts'

export interface CacheOptions {
  /** Bytes of blocks that are kept at most. @default DEFAULT_CACHE_BYTES */
  maxBytes?: number | undefined
  /** Longest block that is kept, in bytes. @default DEFAULT_CACHED_BLOCK_BYTES */
  maxBlockBytes?: number | undefined
}

/** Bytes of blocks that are kept when nothing else is said: some ten thousand small files or directories. */
export const DEFAULT_CACHE_BYTES: number = 32 * 1024 * 1024

/**
 * Longest block that is kept when nothing else is said, in bytes.
 *
 * Reading a small block costs a file and a hash whatever its length (measured: 110 µs of 160 for a request of
 * 4 KiB); a long one mostly costs its bytes, and would push hundreds of small ones out.
 */
export const DEFAULT_CACHED_BLOCK_BYTES: number = 64 * 1024

/**
 * Keeps the small blocks that were read last in memory.
 *
 * A kept block was checked against its CID when it was read and is not read again, so damage on the disk
 * is noticed later than without; who looks for damage reads the store below.
 */
export function cachedBlockstore (store: Blockstore, options: CacheOptions = {}): Blockstore {
  return new CachedBlockstore(store, options)
}

class CachedBlockstore implements Blockstore {
  readonly #store: Blockstore
  readonly #maxBytes: number
  readonly #maxBlockBytes: number
  /** From the one that was read longest ago to the latest. */
  readonly #kept = new Map<string, Block>()
  #keptBytes = 0
  /** Counts deletions: what was read before one may be gone. */
  #deletions = 0

  constructor (store: Blockstore, { maxBytes = DEFAULT_CACHE_BYTES, maxBlockBytes = DEFAULT_CACHED_BLOCK_BYTES }: CacheOptions) {
    this.#store = store
    this.#maxBytes = maxBytes
    this.#maxBlockBytes = maxBlockBytes
  }

  get releasesBytes (): boolean {
    return this.#store.releasesBytes === true
  }

  async get (cid: CID, options?: AbortOptions): Promise<Block | undefined> {
    options?.signal?.throwIfAborted()
    const key = multihashKey(cid)
    const kept = this.#kept.get(key)
    if (kept !== undefined) {
      this.#kept.delete(key)
      this.#kept.set(key, kept)
      return kept.as(cid)
    }
    const deletions = this.#deletions
    const block = await this.#store.get(cid, options)
    if (block !== undefined && deletions === this.#deletions) this.#keep(key, block)
    return block
  }

  async has (cid: CID, options?: AbortOptions): Promise<boolean> {
    return this.#kept.has(multihashKey(cid)) || await this.#store.has(cid, options)
  }

  async byteLengthOf (cid: CID, options?: AbortOptions): Promise<number | undefined> {
    options?.signal?.throwIfAborted()
    return this.#kept.get(multihashKey(cid))?.bytes.byteLength ?? await this.#store.byteLengthOf?.(cid, options)
  }

  async put (block: Block, options?: AbortOptions): Promise<void> {
    await this.#store.put(block, options)
  }

  async putMany (blocks: readonly Block[], options?: AbortOptions): Promise<void> {
    await this.#store.putMany(blocks, options)
  }

  async delete (cid: CID, options?: DeleteOptions): Promise<boolean> {
    const removed = await this.#store.delete(cid, options)
    if (removed) {
      this.#deletions++
      this.#drop(multihashKey(cid))
    }
    return removed
  }

  async deleteMany (cids: readonly CID[], options?: DeleteManyOptions): Promise<Array<number | undefined>> {
    try {
      return await deleteBlocks(this.#store, cids, options)
    } finally {
      // Also those that stay, and when it fails: which ones are gone is not known then.
      this.#deletions++
      for (const cid of cids) this.#drop(multihashKey(cid))
    }
  }

  list (options?: AbortOptions): AsyncIterable<CID> {
    return this.#store.list(options)
  }

  async reclaim (options?: AbortOptions): Promise<boolean> {
    return await this.#store.reclaim?.(options) ?? false
  }

  async usage (options?: AbortOptions): Promise<BlockstoreUsage> {
    return await this.#store.usage(options)
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#kept.clear()
    this.#keptBytes = 0
    await this.#store[Symbol.asyncDispose]()
  }

  #keep (key: string, block: Block): void {
    if (block.bytes.byteLength > this.#maxBlockBytes || block.cid.multihash.code === IDENTITY || this.#kept.has(key)) return
    this.#kept.set(key, block)
    this.#keptBytes += block.bytes.byteLength + ENTRY_BYTES
    for (const oldest of this.#kept.keys()) {
      if (this.#keptBytes <= this.#maxBytes) return
      this.#drop(oldest)
    }
  }

  #drop (key: string): void {
    const block = this.#kept.get(key)
    if (block === undefined) return
    this.#kept.delete(key)
    this.#keptBytes -= block.bytes.byteLength + ENTRY_BYTES
  }
}

/** What a kept block costs beside its bytes: key, map entry, CID and the two objects, rounded up. */
const ENTRY_BYTES = 512
