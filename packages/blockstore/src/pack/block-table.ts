import { HoldfastError, type Logger } from '@holdfast/core'
import { setImmediate } from 'node:timers/promises'
import { isSamePlace, type Location, sectionByteLength } from './location.ts'
import type { PackIndex, PackInfo } from './pack-index.ts'

/** Entries that are gathered before the index is written: about a second of small blocks, and 10 MB of memory. */
export const COMMIT_ENTRIES = 65_536

/** Longest that an entry waits for the index, in milliseconds; so long a reader in another process lags behind. */
export const COMMIT_DELAY_MS = 1000

/** Most entries in memory; writes wait beyond. */
export const MAX_RECENT_ENTRIES: number = 2 * COMMIT_ENTRIES

/**
 * What the index says in place of the length of a pack that is to be written anew before the store is given out: all of it is
 * accounted for. No pack has so few bytes.
 */
export const UNSOUND_PACK_BYTES = 1

type Writable<T> = { -readonly [Key in keyof T]: T[Key] }

export interface BlockTableOptions {
  readonly index: PackIndex
  readonly storeId: Uint8Array
  readonly log: Logger
  /** Runs before each commit: what the index is told must not be news to the files. */
  readonly beforeCommit: () => Promise<void>
  /** Waits for a commit of the index; rejects when it is not to be waited for any more. */
  readonly watch?: ((commit: Promise<void>) => Promise<void>) | undefined
  readonly commitEntries?: number | undefined
}

/**
 * Where every block is: the index, and before it the changes that are not in it yet.
 *
 * All methods but the commits are synchronous, so a caller that looks and then changes is not interrupted.
 */
export class BlockTable implements AsyncDisposable {
  readonly #options: BlockTableOptions
  readonly #commitEntries: number
  #recent = new Map<string, Location | undefined>()
  #committing: Map<string, Location | undefined> | undefined
  readonly #packs = new Map<number, Writable<PackInfo>>()
  readonly #dirtyPacks = new Set<number>()
  readonly #removedPacks = new Set<number>()
  readonly #unsoundPacks = new Set<number>()
  #commit: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #closed = false
  #isIndexClosed = false
  /** Whether the index works on a commit, also on one that nobody waits for any more. */
  #isIndexBusy = false
  blockCount = 0
  blockBytes = 0
  /** Bytes of packs and marks. */
  fileBytes = 0

  constructor (options: BlockTableOptions) {
    this.#options = options
    this.#commitEntries = options.commitEntries ?? COMMIT_ENTRIES
    for (const pack of options.index.packs()) {
      this.#packs.set(pack.number, { ...pack })
      this.blockCount += pack.blockCount
      this.blockBytes += pack.blockBytes
      this.fileBytes += pack.byteLength + pack.marksByteLength
    }
  }

  get storeId (): Uint8Array {
    return this.#options.storeId
  }

  get index (): PackIndex {
    return this.#options.index
  }

  /** The place of a block, quarantined or not. */
  find (multihash: Uint8Array): Location | undefined {
    if (this.#recent.size > 0 || this.#committing !== undefined) {
      const key = keyOf(multihash)
      const place = this.#changed(key)
      if (place !== UNCHANGED) return place
    }
    this.#requireOpen()
    return this.#options.index.get(multihash)
  }

  /** The same by the multihash as a latin1 string. */
  findByKey (key: string): Location | undefined {
    const place = this.#changed(key)
    if (place !== UNCHANGED) return place
    this.#requireOpen()
    return this.#options.index.get(Buffer.from(key, 'latin1'))
  }

  /** Sets the place of a block, or forgets it. Counts follow. */
  set (key: string, place: Location | undefined): void {
    this.replace(key, this.findByKey(key), place)
  }

  /** The same for a caller who has just asked for the place, and saves the second look. */
  replace (key: string, previous: Location | undefined, place: Location | undefined): void {
    if (previous !== undefined) this.#count(previous, -1)
    if (place !== undefined) this.#count(place, 1)
    this.#recent.set(key, place)
    this.#schedule()
  }

  /** Says that a pack is accounted for up to these lengths. */
  extend (number: number, lengths: { byteLength?: number, marksByteLength?: number }): void {
    const pack = this.#pack(number)
    this.fileBytes -= pack.byteLength + pack.marksByteLength
    Object.assign(pack, lengths)
    this.fileBytes += pack.byteLength + pack.marksByteLength
    this.#dirtyPacks.add(number)
    this.#schedule()
  }

  packs (): PackInfo[] {
    return [...this.#packs.values()].sort((a, b) => a.number - b.number)
  }

  pack (number: number): PackInfo | undefined {
    return this.#packs.get(number)
  }

  /** Has the index remember that the pack has bytes that are no sections, until it is gone. */
  markUnsound (number: number): void {
    this.#unsoundPacks.add(number)
    this.#dirtyPacks.add(number)
    this.#schedule()
  }

  /** Forgets a pack that holds nothing any more; with the next commit the index does, too. */
  removePack (number: number): void {
    const pack = this.#packs.get(number)
    if (pack !== undefined) this.fileBytes -= pack.byteLength + pack.marksByteLength
    this.#packs.delete(number)
    this.#dirtyPacks.delete(number)
    this.#unsoundPacks.delete(number)
    this.#removedPacks.add(number)
    this.#schedule()
  }

  /** Whether more entries wait than may: then `flush` before more are added. */
  get isFull (): boolean {
    return this.#recent.size + (this.#committing?.size ?? 0) >= 2 * this.#commitEntries
  }

  /** The changes that the index has not seen, at this moment. */
  overlay (): Map<string, Location | undefined> {
    return new Map([...this.#committing ?? [], ...this.#recent])
  }

  /** Resolves when all that was set before is in the index, durably. @throws what the index throws. */
  async flush (): Promise<void> {
    if (this.#commit !== undefined) await this.#commit.catch(() => {})
    await (this.#commit ?? this.#begin())
  }

  /**
   * Counts anew what each pack holds, from the entries: for when a crash came between entries and counts, or entries were wrong.
   * Takes some 0.4 s for a million blocks, in one go.
   */
  recount (): void {
    // A wrong entry may have named a pack that never was.
    for (const { number, byteLength } of this.packs()) if (byteLength === 0) this.#packs.delete(number)
    for (const pack of this.#packs.values()) Object.assign(pack, { blockCount: 0, blockBytes: 0, liveBytes: 0, quarantinedCount: 0 })
    this.blockCount = 0
    this.blockBytes = 0
    const overlay = this.overlay()
    for (const place of overlay.values()) if (place !== undefined) this.#count(place, 1)
    for (const [multihash, place] of this.indexed()) if (!overlay.has(keyOf(multihash))) this.#count(place, 1)
    for (const number of this.#packs.keys()) this.#dirtyPacks.add(number)
    this.#schedule()
  }

  /** Whether every entry of the index comes once, and where it is looked for, and names a pack that there is. */
  async isOrdered (signal?: AbortSignal): Promise<boolean> {
    let after: Buffer | undefined
    let count = 0
    for (const [multihash, place] of this.indexed()) {
      if (after !== undefined && Buffer.compare(after, multihash) >= 0) return false
      const found = this.#options.index.get(multihash)
      if (found === undefined || !isSamePlace(found, place) || this.#packs.get(place.pack)?.byteLength === 0) return false
      after = multihash
      if (++count % ENTRIES_PER_READ !== 0) continue
      await setImmediate()
      signal?.throwIfAborted()
    }
    return true
  }

  /** All entries of the index, read piece by piece. */
  * indexed (): Generator<readonly [Buffer, Location]> {
    let after: Buffer | undefined
    for (;;) {
      const entries = this.#options.index.entriesAfter(after, ENTRIES_PER_READ)
      yield * entries
      const last = entries.at(-1)?.[0]
      // In a damaged index the order may be broken, and this would never end.
      if (entries.length < ENTRIES_PER_READ || last === undefined || (after !== undefined && Buffer.compare(last, after) <= 0)) return
      after = last
    }
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    try {
      // What cannot be written now is found in the packs when the store is opened next.
      await this.flush().catch((err: unknown) => { this.#options.log.warn('Index was not written at the end', { err }) })
    } finally {
      this.#isIndexClosed = true
      // It would wait for what never ends.
      if (!this.#isIndexBusy) await this.#options.index[Symbol.asyncDispose]()
    }
  }

  /** What changed of a block since the index was written. */
  #changed (key: string): Location | undefined | typeof UNCHANGED {
    const place = this.#recent.get(key)
    if (place !== undefined || this.#recent.has(key)) return place
    const committing = this.#committing
    if (committing === undefined) return UNCHANGED
    return committing.get(key) ?? (committing.has(key) ? undefined : UNCHANGED)
  }

  /** A read may still be under way when the store closes. */
  #requireOpen (): void {
    if (this.#isIndexClosed) throw new HoldfastError('UNAVAILABLE', 'Blockstore is closed')
  }

  #pack (number: number): Writable<PackInfo> {
    let pack = this.#packs.get(number)
    if (pack === undefined) {
      pack = { number, byteLength: 0, marksByteLength: 0, blockCount: 0, blockBytes: 0, liveBytes: 0, quarantinedCount: 0 }
      this.#packs.set(number, pack)
    }
    return pack
  }

  #count (place: Location, sign: 1 | -1): void {
    const pack = this.#pack(place.pack)
    this.#dirtyPacks.add(place.pack)
    if (place.isQuarantined) {
      pack.quarantinedCount += sign
      return
    }
    pack.blockCount += sign
    pack.blockBytes += sign * place.byteLength
    pack.liveBytes += sign * sectionByteLength(place)
    this.blockCount += sign
    this.blockBytes += sign * place.byteLength
  }

  #schedule (): void {
    if (this.#closed || this.#commit !== undefined) return
    if (this.#recent.size >= this.#commitEntries) {
      this.#inBackground()
      return
    }
    this.#timer ??= setTimeout(() => { this.#inBackground() }, COMMIT_DELAY_MS).unref()
  }

  #inBackground (): void {
    if (this.#commit !== undefined) return
    this.#begin().catch((err: unknown) => {
      this.#options.log.warn('Index was not written; it is tried again', { err })
    })
  }

  #begin (): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const commit = this.#write().finally(() => {
      if (this.#commit === commit) this.#commit = undefined
      if (this.#recent.size > 0 || this.#dirtyPacks.size > 0) this.#timer ??= this.#closed ? undefined : setTimeout(() => { this.#inBackground() }, COMMIT_DELAY_MS).unref()
    })
    this.#commit = commit
    return commit
  }

  async #write (): Promise<void> {
    await this.#options.beforeCommit()
    if (this.#recent.size === 0 && this.#dirtyPacks.size === 0 && this.#removedPacks.size === 0) return
    const committing = this.#recent
    const packs = [...this.#dirtyPacks].map((number) => ({ ...this.#pack(number), ...this.#unsoundPacks.has(number) ? { byteLength: UNSOUND_PACK_BYTES } : {} }))
    const removedPacks = [...this.#removedPacks]
    this.#committing = committing
    this.#recent = new Map()
    this.#dirtyPacks.clear()
    this.#removedPacks.clear()
    try {
      this.#isIndexBusy = true
      const commit = this.#options.index.commit({ changes: nearlySorted(committing), packs, removedPacks }, this.storeId).finally(() => { this.#isIndexBusy = false })
      await (this.#options.watch?.(commit) ?? commit)
    } catch (err) {
      this.#recent = new Map([...committing, ...this.#recent])
      for (const { number } of packs) if (this.#packs.has(number)) this.#dirtyPacks.add(number)
      for (const number of removedPacks) this.#removedPacks.add(number)
      throw err
    } finally {
      this.#committing = undefined
    }
  }
}

const ENTRIES_PER_READ = 1024

const UNCHANGED = Symbol('unchanged')

/** The multihash as a `Map` takes it: one character a byte. */
export function keyOf (multihash: Uint8Array): string {
  return Buffer.from(multihash.buffer, multihash.byteOffset, multihash.byteLength).toString('latin1')
}

/** Where the digest of sha2-256 begins: sorting by one of its bytes first keeps every sort short. */
const DIGEST_AT = 2

/** In the order of their keys as far as they share a hash function, without one long sort that would keep the event loop. */
function * nearlySorted<T> (changes: ReadonlyMap<string, T>): Generator<readonly [string, T]> {
  const buckets: Array<Array<readonly [string, T]>> = Array.from({ length: 256 }, () => [])
  for (const change of changes) buckets[change[0].charCodeAt(DIGEST_AT)]?.push(change)
  for (const bucket of buckets) yield * bucket.sort(([a], [b]) => a < b ? -1 : 1)
}
