import { type AbortOptions, type Block, HoldfastError, IDENTITY, identityBlock, isErrorCode, type Logger, multihashKey, requireVerifiable, unlessAborted } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { join } from 'node:path'
import type { Blockstore, BlockstoreUsage, DeleteManyOptions, DeleteOptions } from '../blockstore.ts'
import { keyOf } from './block-table.ts'
import type { Compactor } from './compactor.ts'
import { FairTurns } from './fair-turns.ts'
import type { SectionDraft } from './group-commit.ts'
import { isSamePlace, type Location } from './location.ts'
import type { OpenPacks } from './open-packs.ts'
import type { PackDisk } from './pack-disk.ts'
import type { IndexOpener } from './pack-index.ts'
import { packName } from './pack-names.ts'
import type { PackWriter } from './pack-writer.ts'
import { rawCidOf } from './raw-cid.ts'
import { readBlock } from './read-block.ts'
import type { SectionBook } from './section-book.ts'
import { type VerifyOptions, type VerifyReport, verifyPacks } from './verify.ts'

export interface PackBlockstoreParts {
  readonly disk: PackDisk
  readonly packs: OpenPacks
  readonly book: SectionBook
  readonly writer: PackWriter
  readonly compactor: Compactor
  readonly opener: IndexOpener
  /** Whether the store compacts by itself. */
  readonly compaction: boolean
  readonly isIndexNew: boolean
  readonly isTrusting: boolean
  readonly log: Logger
  /** Closes all of them. */
  readonly parts: AsyncDisposableStack
}

/** What a store of packs holds. */
export interface PackStats {
  readonly packCount: number
  /** Bytes of the packs. */
  readonly packBytes: number
  /** Bytes of sections that count, with their headers. */
  readonly liveBytes: number
  /** The rest: deleted blocks, those written again, headers of packs. */
  readonly deadBytes: number
  readonly quarantinedCount: number
  readonly blockCount: number
  readonly blockBytes: number
}

/** Bytes of a file of this machine that are those of a block. */
export interface BlockPlace {
  readonly path: string
  readonly offset: number
  readonly byteLength: number
}

/** Blocks in append-only packs, found by an index that can be made again from them. */
export class PackBlockstore implements Blockstore {
  readonly releasesBytes = true
  readonly #parts: PackBlockstoreParts
  /** Blocks that are being written, and what tells of it. */
  readonly #pending = new Map<string, Promise<void>>()
  readonly #storing = new Set<Promise<unknown>>()
  readonly #turns = new FairTurns()
  /** A block whose deletion is being decided: one that is put meanwhile comes later, and is written anew. */
  #removing: string | undefined
  #closed = false
  #isIndexSuspect = false

  constructor (parts: PackBlockstoreParts) {
    this.#parts = parts
  }

  async get (cid: CID, { signal }: AbortOptions = {}): Promise<Block | undefined> {
    this.#requireOpen(signal)
    requireVerifiable(cid)
    const over = this.#turns.over()
    if (over !== undefined) {
      await over
      this.#requireOpen(signal)
    }
    if (cid.multihash.code === IDENTITY) return await identityBlock(cid)
    const { book, packs, isTrusting } = this.#parts
    try {
      return await readBlock({ table: book.table, packs, isTrusting, signal }, cid)
    } catch (err) {
      if (isErrorCode(err, 'CORRUPT')) this.#quarantine(cid, err)
      throw err
    }
  }

  async has (cid: CID, { signal }: AbortOptions = {}): Promise<boolean> {
    this.#requireOpen(signal)
    requireVerifiable(cid)
    const over = this.#turns.over()
    if (over !== undefined) {
      await over
      this.#requireOpen(signal)
    }
    return cid.multihash.code === IDENTITY || this.#parts.book.table.find(cid.multihash.bytes)?.isQuarantined === false
  }

  async byteLengthOf (cid: CID, { signal }: AbortOptions = {}): Promise<number | undefined> {
    this.#requireOpen(signal)
    requireVerifiable(cid)
    const over = this.#turns.over()
    if (over !== undefined) {
      await over
      this.#requireOpen(signal)
    }
    if (cid.multihash.code === IDENTITY) return cid.multihash.digest.byteLength
    const place = this.#parts.book.table.find(cid.multihash.bytes)
    return place?.isQuarantined === false ? place.byteLength : undefined
  }

  async put (block: Block, options?: AbortOptions): Promise<void> {
    await this.putMany([block], options)
  }

  async putMany (blocks: readonly Block[], { signal }: AbortOptions = {}): Promise<void> {
    this.#requireOpen(signal)
    const stored = blocks.filter(({ cid }) => cid.multihash.code !== IDENTITY)
    await unlessAborted(this.#untilStored(this.#store(stored)), signal)
  }

  async delete (cid: CID, { signal, when }: DeleteOptions = {}): Promise<boolean> {
    this.#requireOpen(signal)
    requireVerifiable(cid)
    if (cid.multihash.code === IDENTITY) return false
    const key = multihashKey(cid)
    for (let wait = this.#beforeRemoval(key); wait !== undefined; wait = this.#beforeRemoval(key)) await unlessAborted(wait, signal)
    this.#parts.disk.requireSound()
    this.#requireOpen(signal)
    return this.#remove(key, when) !== undefined
  }

  async deleteMany (cids: readonly CID[], { signal, when }: DeleteManyOptions = {}): Promise<Array<number | undefined>> {
    this.#requireOpen(signal)
    for (const cid of cids) requireVerifiable(cid)
    return await this.#untilStored(this.#removeMany(cids, { signal, when }))
  }

  async * list ({ signal }: AbortOptions = {}): AsyncIterable<CID> {
    this.#requireOpen(signal)
    const { table } = this.#parts.book
    const overlay = table.overlay()
    for (const [key, place] of overlay) {
      const cid = place?.isQuarantined === false && table.findByKey(key)?.isQuarantined === false ? rawCidOf(Buffer.from(key, 'latin1')) : undefined
      if (cid !== undefined) yield cid
      this.#requireOpen(signal)
    }
    for (const [multihash, place] of table.indexed()) {
      const over = this.#turns.over()
      if (over !== undefined) {
        await over
        this.#requireOpen(signal)
      }
      const cid = !place.isQuarantined && !overlay.has(keyOf(multihash)) && table.find(multihash)?.isQuarantined === false ? rawCidOf(multihash) : undefined
      if (cid !== undefined) yield cid
      this.#requireOpen(signal)
    }
  }

  /** Known at any time: nothing is walked. */
  async usage ({ signal }: AbortOptions = {}): Promise<BlockstoreUsage> {
    this.#requireOpen(signal)
    const { blockCount, blockBytes } = this.#parts.book.table
    return { blockCount, byteLength: blockBytes }
  }

  /** Where the bytes of a block lie, for another process that reads and checks them itself; they may be moved or gone by then. */
  placeOf (cid: CID): BlockPlace | undefined {
    const { book, disk } = this.#parts
    const place = book.table.find(cid.multihash.bytes)
    if (place === undefined || place.isQuarantined) return undefined
    return { path: join(disk.folder, packName(place.pack)), offset: place.offset, byteLength: place.byteLength }
  }

  /** Whether the index was made anew when the store was opened: who collects must know what is wanted first. */
  get isIndexNew (): boolean {
    return this.#parts.isIndexNew
  }

  /** Whether a read or a check found the index wrong: it is made anew when the store is opened next. */
  get isIndexSuspect (): boolean {
    return this.#isIndexSuspect
  }

  async reclaim (options?: AbortOptions): Promise<boolean> {
    return await this.compact(options) > 0
  }

  /** Compacts packs that are mostly dead now, and returns how many are gone. */
  async compact ({ signal }: AbortOptions = {}): Promise<number> {
    this.#requireOpen(signal)
    return await this.#parts.compactor.run({ isGentle: false, signal })
  }

  /**
   * Compares packs and index and hashes blocks; what is damaged is quarantined, what the index has wrong is put right.
   *
   * Reads and writes go on. Can be slow on purpose, and taken up again at a pack: see the options.
   */
  async verify (options: VerifyOptions = {}): Promise<VerifyReport> {
    this.#requireOpen(options.signal)
    const report = await verifyPacks(this.#parts, options)
    if (report.isIndexBroken) this.#isIndexSuspect = true
    const { compactor, compaction } = this.#parts
    compactor.add(report.damagedPacks)
    if (compaction) compactor.wake()
    return report
  }

  /** Yields the blocks whose bytes were found damaged and that were not put again since. Reads the whole index. */
  async * quarantined ({ signal }: AbortOptions = {}): AsyncIterable<CID> {
    await this.flush({ signal })
    for (const [multihash, place] of this.#parts.book.table.indexed()) {
      this.#requireOpen(signal)
      const cid = place.isQuarantined ? rawCidOf(multihash) : undefined
      if (cid !== undefined) yield cid
    }
  }

  /** What the packs hold, and what of it is live; known at any time. */
  stats (): PackStats {
    const { book: { table } } = this.#parts
    const sum = { packCount: 0, packBytes: 0, liveBytes: 0, quarantinedCount: 0 }
    for (const { byteLength, liveBytes, quarantinedCount } of table.packs()) {
      sum.packCount++
      sum.packBytes += byteLength
      sum.liveBytes += liveBytes
      sum.quarantinedCount += quarantinedCount
    }
    return { ...sum, deadBytes: sum.packBytes - sum.liveBytes, blockCount: table.blockCount, blockBytes: table.blockBytes }
  }

  /** Resolves when the index holds all that was stored before: from then on readers in other processes see it. */
  async flush ({ signal }: AbortOptions = {}): Promise<void> {
    this.#requireOpen(signal)
    await unlessAborted(this.#parts.book.table.flush(), signal)
  }

  /** Writes what waits, packs and index; whoever comes later is refused. */
  async [Symbol.asyncDispose] (): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await Promise.allSettled(this.#storing)
    await this.#parts.parts.disposeAsync()
  }

  #requireOpen (signal: AbortSignal | undefined): void {
    signal?.throwIfAborted()
    if (this.#closed) throw new HoldfastError('UNAVAILABLE', `Blockstore ${this.#parts.disk.folder} is closed`)
  }

  /** Stores what is not there; of what is there, the bytes are compared, so that a block that rotted is written anew. */
  async #store (blocks: readonly Block[]): Promise<void> {
    const { disk, book, isTrusting } = this.#parts
    const waits = new Set<Promise<void>>()
    let remaining = blocks
    while (remaining.length > 0) {
      disk.requireSound()
      const drafts = new Map<string, SectionDraft>()
      const stored: Block[] = []
      for (const block of remaining) {
        const key = multihashKey(block.cid)
        if (drafts.has(key)) continue
        const pending = this.#pending.get(key)
        const place = pending === undefined ? book.table.find(block.cid.multihash.bytes) : undefined
        if (pending !== undefined) waits.add(pending)
        else if (place === undefined || place.isQuarantined || key === this.#removing) drafts.set(key, { key, cid: block.cid, bytes: block.bytes })
        else if (!isTrusting) stored.push(block)
      }
      if (drafts.size > 0) waits.add(this.#write([...drafts.values()]))
      remaining = stored.length === 0 ? [] : await this.#changed(stored)
    }
    await Promise.all(waits)
  }

  /** Writes sections, and lets those wait for them who put the same blocks meanwhile. */
  #write (drafts: readonly SectionDraft[]): Promise<void> {
    const writing = this.#parts.writer.add(drafts).finally(() => {
      for (const { key } of drafts) this.#pending.delete(key)
    })
    for (const { key } of drafts) this.#pending.set(key, writing)
    writing.catch(() => {}) // Told to each who waits.
    return writing
  }

  /** Of blocks that are stored, those whose stored bytes are others, or gone by now. */
  async #changed (blocks: readonly Block[]): Promise<Block[]> {
    const { book, packs } = this.#parts
    const changed: Block[] = []
    for (const block of blocks) {
      const place = book.table.find(block.cid.multihash.bytes)
      if (place === undefined || place.isQuarantined) {
        changed.push(block)
        continue
      }
      const bytes = packs.readNow(place) ?? await packs.read(place)
      const isSame = bytes !== undefined && Buffer.compare(bytes, block.bytes) === 0
      const present = book.table.find(block.cid.multihash.bytes)
      if (isSame && present !== undefined && isSamePlace(present, place)) continue
      if (!isSame) book.quarantine(multihashKey(block.cid), place)
      changed.push(block)
    }
    return changed
  }

  /** Has the end of the store wait for `storing`. */
  #untilStored<T> (storing: Promise<T>): Promise<T> {
    this.#storing.add(storing)
    void storing.catch(() => {}).finally(() => { this.#storing.delete(storing) })
    return storing
  }

  async #removeMany (cids: readonly CID[], { signal, when }: DeleteManyOptions): Promise<Array<number | undefined>> {
    const { disk, book, log } = this.#parts
    const byteLengths: Array<number | undefined> = []
    for (const [index, cid] of cids.entries()) {
      const key = multihashKey(cid)
      for (let wait = this.#beforeRemoval(key); wait !== undefined; wait = this.#beforeRemoval(key)) await unlessAborted(wait, signal)
      disk.requireSound()
      this.#requireOpen(signal)
      byteLengths.push(this.#remove(key, when && (() => when(cid, index)))?.byteLength)
    }
    await book.marks.flush().catch((err: unknown) => {
      if (!isErrorCode(err, 'LIMIT')) throw err
      log.debug('Deletions could not be noted for want of space; it is tried again', { err })
    })
    return byteLengths
  }

  /** Something to wait for before the block can be removed: the turn of others, the index, a put that runs. */
  #beforeRemoval (key: string): Promise<void> | undefined {
    const over = this.#turns.over()
    if (over !== undefined) return over
    const { table } = this.#parts.book
    return table.isFull ? table.flush() : this.#pending.get(key)?.catch(() => {})
  }

  /** Takes the block out, unless `when` says no, and returns where it was; one that was damaged goes unsaid. */
  #remove (key: string, when: (() => boolean) | undefined): Location | undefined {
    const { book, compactor, compaction } = this.#parts
    const place = book.table.findByKey(key)
    if (place === undefined) return undefined
    this.#removing = key
    try {
      if (when?.() === false) return undefined
    } finally {
      this.#removing = undefined
    }
    book.table.replace(key, place, undefined)
    book.markDead(key, place)
    if (compaction) compactor.wake()
    return place.isQuarantined ? undefined : place
  }

  #quarantine (cid: CID, err: HoldfastError): void {
    const { book, opener, log } = this.#parts
    const place = book.table.find(cid.multihash.bytes)
    if (err.details['isIndexWrong'] === true) {
      this.#isIndexSuspect = true
      opener.distrust?.().catch((cause: unknown) => { log.warn('It could not be noted that the index is wrong', { err: cause }) })
      log.error('Index points to the wrong block; rebuild it', { cid: cid.toString(), err })
      return
    }
    if (place === undefined || !book.quarantine(multihashKey(cid), place)) return
    log.error('Block is damaged and was quarantined', { cid: cid.toString(), pack: place.pack, byteOffset: place.offset, err })
  }
}
