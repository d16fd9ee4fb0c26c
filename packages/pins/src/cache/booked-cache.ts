import { type BlockReader, type Blockstore, deleteBlocks } from '@holdfast/blockstore'
import { type AbortOptions, type Block, HoldfastError, IDENTITY, multihashKey } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import type { LeaseWindow } from '../leases.ts'
import { type Evicted, evictOldest } from './evict.ts'
import type { CacheReferences, CacheStatus, FetchCache, FetchCacheDeps, FetchCacheOptions } from './fetch-cache.ts'
import { MAX_CACHED_BLOCKS, type OpenedBook } from './open-book.ts'
import { cidOfKey } from './log-format.ts'
import { isOutOfSpace } from './out-of-space.ts'

/** Share of the bound that is left after an eviction, so that the next one is some time away. */
const LOW_WATER = 0.9

/** Blocks that a reader used last and that stay while it reads: the path to where it is, and what it is reading. */
export const READER_WINDOW_BLOCKS = 32

/** Blocks that were fetched last and stay while anybody reads: nobody may have read them yet. */
export const FETCH_WINDOW_BLOCKS = 64

/** Bytes that are freed at least when a write finds no space, so that not every write has to free some. */
const MIN_ROOM_BYTES: number = 16 * 1024 * 1024

/** How often a write is tried: others may take the room that was made for it. */
const MAX_TRIES = 8

const COULD_NOT_EVICT = 'Cached blocks could not be evicted'

/** What a file costs beside its bytes: the rest of its last file system block. */
const FILE_OVERHEAD_BYTES = 4096

/** What a small block costs at least beside its bytes, in packs and their index. */
const BLOCK_OVERHEAD_BYTES = 168

/** See `openFetchCache`. */
export class BookedCache implements FetchCache {
  readonly blocks: Blockstore
  readonly fetchedBlocks: Blockstore
  readonly #deps: Required<FetchCacheDeps>
  readonly #opened: OpenedBook
  readonly #maxBytes: number
  readonly #maxBlocks: number
  readonly #fetched: LeaseWindow
  #readerCount = 0
  #writtenByteLength = 0
  #references: CacheReferences | undefined
  /** Looks once what pins keep, when the book is doubtful; evictions wait for it. */
  #checked: Promise<void> | undefined
  /** Evictions take turns. */
  #turn: Promise<void> = Promise.resolve()
  #isEvictionDue = false
  /** Times that room was made. */
  #roomCount = 0
  readonly #closing = new AbortController()

  constructor (deps: Required<FetchCacheDeps>, opened: OpenedBook, { maxBytes, maxBlocks = MAX_CACHED_BLOCKS }: Pick<FetchCacheOptions, 'maxBytes' | 'maxBlocks'>) {
    this.#deps = deps
    this.#opened = opened
    this.#maxBytes = maxBytes
    this.#maxBlocks = maxBlocks
    deps.leases.onRelease(() => { this.#evictIfAbove() })
    this.#fetched = deps.leases.openWindow({ maxBlocks: FETCH_WINDOW_BLOCKS })
    this.blocks = this.#storeWith((blocks, options) => this.#putOwned(blocks, options))
    this.fetchedBlocks = this.#storeWith((blocks, options) => this.#putFetched(blocks, options))
  }

  get writtenByteLength (): number {
    return this.#writtenByteLength
  }

  get status (): CacheStatus {
    const { blockCount, byteLength } = this.#opened.book
    return { blockCount, byteLength, maxBytes: this.#maxBytes }
  }

  watch (references: CacheReferences): void {
    this.#references = references
    references.besideCached(() => this.#opened.book.blockCount)
    this.#evictIfAbove()
  }

  has (cid: CID): boolean {
    return this.#opened.book.has(multihashKey(cid))
  }

  * cids (): Generator<CID> {
    for (const key of [...this.#opened.book.entries()].map(([key]) => key)) yield cidOfKey(key)
  }

  keep (cid: CID): void {
    const key = multihashKey(cid)
    // The pin that it is kept for may fail.
    if (this.#opened.book.has(key)) this.#references?.note(cid)
    this.#opened.book.forget(key)
  }

  async kept (): Promise<void> {
    await this.#opened.forgottenDurably()
  }

  protectReader (reader: BlockReader & Disposable): BlockReader & Disposable {
    const window = this.#deps.leases.openWindow({ maxBlocks: READER_WINDOW_BLOCKS })
    this.#readerCount++
    let isDisposed = false
    return {
      get: async (cid, options) => {
        await window.hold(cid)
        return await reader.get(cid, options)
      },
      has: async (cid, options) => {
        await window.hold(cid)
        return await reader.has(cid, options)
      },
      [Symbol.dispose]: () => {
        if (isDisposed) return
        isDisposed = true
        reader[Symbol.dispose]()
        window[Symbol.dispose]()
        if (--this.#readerCount > 0) return
        this.#fetched.clear()
        this.#evictIfAbove()
      }
    }
  }

  async withRoom<T> (byteLength: number, write: () => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries++) {
      const roomCount = this.#roomCount
      try {
        return await write()
      } catch (err) {
        if (!isOutOfSpace(err) || tries === MAX_TRIES) throw err
        await this.#makeRoom(byteLength, roomCount).catch((evictErr: unknown) => { this.#deps.log.warn(COULD_NOT_EVICT, { err: evictErr }) })
        // Room that was made for somebody else while the write ran may do.
        if (this.#roomCount === roomCount) throw err
      }
    }
  }

  async settled (): Promise<void> {
    await this.#turn
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#closing.abort(new HoldfastError('UNAVAILABLE', 'The node is closing'))
    this.#fetched[Symbol.dispose]()
    await this.#turn
    await this.#opened[Symbol.asyncDispose]()
  }

  #storeWith (putMany: (blocks: readonly Block[], options?: AbortOptions) => Promise<void>): Blockstore {
    const { blocks } = this.#deps
    const { book } = this.#opened
    return {
      releasesBytes: blocks.releasesBytes,
      get: async (cid, options) => {
        const block = await blocks.get(cid, options)
        if (block !== undefined && book.blockCount > 0) book.touch(multihashKey(cid))
        return block
      },
      has: (cid, options) => blocks.has(cid, options),
      byteLengthOf: async (cid, options) => await blocks.byteLengthOf?.(cid, options),
      put: (block, options) => putMany([block], options),
      putMany,
      delete: async (cid, { when, ...options } = {}) => await this.#notedWhenItFails([cid], () => blocks.delete(cid, {
        ...options,
        when: () => {
          if (when?.() === false) return false
          book.forget(multihashKey(cid))
          return true
        }
      })),
      deleteMany: async (cids, { when, ...options } = {}) => await this.#notedWhenItFails(cids, () => deleteBlocks(blocks, cids, {
        ...options,
        when: (cid, index) => {
          if (when?.(cid, index) === false) return false
          book.forget(multihashKey(cid))
          return true
        }
      })),
      list: (options) => blocks.list(options),
      reclaim: async (options) => await blocks.reclaim?.(options) ?? false,
      usage: (options) => blocks.usage(options),
      [Symbol.asyncDispose]: () => blocks[Symbol.asyncDispose]()
    }
  }

  /** Blocks that could not be removed are no cache any more. */
  async #notedWhenItFails<T> (cids: readonly CID[], remove: () => Promise<T>): Promise<T> {
    try {
      return await remove()
    } catch (err) {
      if (this.#references !== undefined) for (const cid of cids) this.#references.note(cid)
      throw err
    }
  }

  /** Whoever puts a block wants it kept, also when it came as cache before. */
  async #putOwned (blocks: readonly Block[], options?: AbortOptions): Promise<void> {
    using _ = this.#opened.book.own(blocks.map(({ cid }) => multihashKey(cid)))
    try {
      await this.withRoom(roomFor(blocks), () => this.#write(blocks, options))
    } finally {
      // Afterwards: a collection that comes before would find them absent, and forget them.
      if (this.#references !== undefined) for (const { cid } of blocks) this.#references.note(cid)
    }
    // Before the put is acknowledged, so that no restart finds the block in the book.
    await this.#opened.forgottenDurably()
  }

  async #putFetched (blocks: readonly Block[], options?: AbortOptions): Promise<void> {
    const stored = blocks.filter(({ cid }) => cid.multihash.code !== IDENTITY)
    {
      using window = this.#deps.leases.openWindow({ maxBlocks: stored.length })
      // What is being evicted is looked for only when it is gone.
      await Promise.all(stored.map(({ cid }) => window.hold(cid)))
      await this.#putClaimed(stored, options)
      if (this.#readerCount > 0) for (const { cid } of stored) this.#fetched.protect(cid)
    }
    this.#evictIfAbove()
  }

  async #putClaimed (blocks: readonly Block[], options?: AbortOptions): Promise<void> {
    const keyed = blocks.map(({ cid, bytes: { byteLength } }) => ({ cid, key: multihashKey(cid), byteLength }))
    const claim = this.#opened.book.claim(keyed.map(({ key }) => key))
    try {
      await Promise.all(keyed.map(async ({ cid, key }) => {
        // A block that a pin keeps comes because the one that was here is damaged.
        if (claim.has(key) && (this.#references?.isKept(cid) === true || await this.#deps.blocks.has(cid, options))) claim.withdraw(key)
      }))
      await this.withRoom(roomFor(blocks), () => this.#write(blocks, options))
      for (const { key, byteLength } of keyed) claim.commit(key, byteLength)
    } finally {
      for (const { cid, key } of keyed) {
        claim.withdraw(key)
        // Kept meanwhile, or stored by a put that failed half-way.
        if (!this.#opened.book.has(key)) this.#references?.note(cid)
      }
    }
  }

  async #write (blocks: readonly Block[], options?: AbortOptions): Promise<void> {
    await this.#deps.blocks.putMany(blocks, options)
    this.#writtenByteLength += blocks.reduce((sum, { bytes }) => sum + bytes.byteLength + BLOCK_OVERHEAD_BYTES, 0)
  }

  #isAbove (share: number): boolean {
    const { byteLength, blockCount } = this.#opened.book
    return byteLength > this.#maxBytes * share || blockCount > this.#maxBlocks * share
  }

  /** Evicts beside what goes on: nobody waits for it. */
  #evictIfAbove (): void {
    if (this.#closing.signal.aborted || this.#isEvictionDue || this.#references === undefined || !this.#isAbove(1)) return
    this.#isEvictionDue = true
    this.#inTurn(async () => {
      this.#isEvictionDue = false
      if (this.#isAbove(1)) await this.#evictToLowWater()
    }).catch((err: unknown) => {
      if (!this.#closing.signal.aborted) this.#deps.log.warn(COULD_NOT_EVICT, { err })
    })
  }

  async #evictToLowWater (): Promise<void> {
    await this.#check()
    const { byteLength, blockCount } = this.#opened.book
    const goal = { byteLength: byteLength - this.#maxBytes * LOW_WATER, blockCount: blockCount - this.#maxBlocks * LOW_WATER }
    await this.#evict((evicted) => this.#closing.signal.aborted || (evicted.byteLength >= goal.byteLength && evicted.blockCount >= goal.blockCount))
  }

  /** Frees room for a write, and some more. */
  async #makeRoom (byteLength: number, roomCount: number): Promise<void> {
    if (this.#closing.signal.aborted || this.#references === undefined) return
    const neededBytes = Math.max(2 * byteLength, MIN_ROOM_BYTES)
    await this.#inTurn(async () => {
      // Room that was made since for others who write may do, and so may that of blocks that are deleted already.
      if (this.#roomCount !== roomCount || await this.#reclaim()) return
      await this.#check()
      await this.#evict((evicted) => evicted.byteLength >= neededBytes)
      await this.#reclaim()
    })
  }

  async #reclaim (): Promise<boolean> {
    const isRoomier = await this.#deps.blocks.reclaim?.({ signal: this.#closing.signal }) ?? false
    if (isRoomier) this.#roomCount++
    return isRoomier
  }

  async #inTurn (step: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(step)
    this.#turn = turn.catch(() => {})
    await turn
  }

  async #evict (isEnough: (evicted: Evicted) => boolean): Promise<void> {
    const { book } = this.#opened
    const evicted = await evictOldest({ ...this.#deps, book, isKept: (cid) => this.#references?.isKept(cid) === true, note: (cid) => { this.#references?.note(cid) } }, isEnough)
    if (evicted.blockCount === 0) return
    this.#roomCount++
    this.#deps.log.debug('Cached blocks were evicted', { ...evicted, cachedBytes: book.byteLength })
  }

  /** A crash, or a copy made at the wrong time, may leave blocks in the book that a pin needs: before the first eviction what every pin keeps is forgotten. */
  async #check (): Promise<void> {
    if (this.#opened.isDoubtful) await (this.#checked ??= this.#forgetPinned())
  }

  async #forgetPinned (): Promise<void> {
    const { book } = this.#opened
    const { signal } = this.#closing
    const references = this.#references
    try {
      if (references === undefined) throw new HoldfastError('UNAVAILABLE', 'It is not known what the pins keep')
      await references.settle({ signal })
      for (const cid of this.cids()) if (references.isKept(cid)) book.forget(multihashKey(cid))
    } catch (err) {
      signal.throwIfAborted()
      this.#deps.log.warn('Cached blocks of before the last start are kept until a gc: not all pins could be walked', { err })
      for (const cid of this.cids()) references?.note(cid)
      book.clear()
    }
    this.#opened.isDoubtful = false
  }
}

function roomFor (blocks: readonly Block[]): number {
  return blocks.reduce((sum, { bytes }) => sum + bytes.byteLength + FILE_OVERHEAD_BYTES, 0)
}
