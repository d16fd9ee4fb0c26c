import { type AbortOptions, type Logger, multihashKey } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { setTimeout as sleep } from 'node:timers/promises'
import { type BlockTable, keyOf } from './block-table.ts'
import { isSamePlace, type Location } from './location.ts'
import { readMarks } from './marks.ts'
import type { OpenPacks } from './open-packs.ts'
import type { PackDisk } from './pack-disk.ts'
import type { IndexOpener, PackInfo } from './pack-index.ts'
import { readSectionHeader, type SectionHeader } from './pack-format.ts'
import { rawCidOf } from './raw-cid.ts'
import { isSoundAt } from './read-block.ts'
import { isBlock, scanPack } from './scan-pack.ts'
import type { SectionBook } from './section-book.ts'

export interface VerifyOptions extends AbortOptions {
  /** Hashes one block in so many; the index is compared with all of the packs anyway. @default 1 */
  sample?: number | undefined
  /** Bytes read a second at most. @default no limit */
  bytesPerSecond?: number | undefined
  /** Number of the first pack that is looked at: where an earlier run was stopped. @default 1 */
  fromPack?: number | undefined
  /** Called after each pack; the counts are cumulative. */
  onProgress?: ((progress: VerifyReport) => void) | undefined
}

export interface VerifyReport {
  /** Packs looked at in this run. */
  readonly packCount: number
  /** Number of the pack after the last that was looked at: to go on from. */
  readonly nextPack: number
  readonly blockCount: number
  readonly hashedCount: number
  readonly bytesRead: number
  /** Blocks found damaged in this run, and quarantined. */
  readonly damaged: readonly CID[]
  /** Entries of the index that pointed to the wrong place, or were missing, and were put right. */
  readonly indexRepairs: number
  /** The index was wrong, and is made anew when the store is opened next: answers are right until then, as far as LMDB goes on. */
  readonly isIndexBroken: boolean
  /** Packs with bytes that are no sections: they are compacted next. */
  readonly damagedPacks: readonly number[]
}

export interface VerifyParts {
  readonly disk: PackDisk
  readonly packs: OpenPacks
  readonly book: SectionBook
  readonly opener: Pick<IndexOpener, 'distrust'>
  readonly log: Logger
}

/** Damaged blocks that a report names; of more it only counts the quarantined. */
export const MAX_REPORTED_BLOCKS = 10_000

/**
 * Compares packs and index, both ways, and hashes blocks.
 *
 * What it finds it puts right where the bytes allow: sections that the index does not know are entered, entries that point
 * to no section are quarantined with the blocks that are damaged.
 */
export async function verifyPacks (parts: VerifyParts, options: VerifyOptions): Promise<VerifyReport> {
  return await new Verification(parts, options).run()
}

/** A section as it stands in its pack. */
interface Candidate {
  readonly key: string
  readonly cid: CID
  readonly place: Location
}

/** Sections that are looked into together; so many are held in memory. */
const MAX_CANDIDATES = 16_384

class Verification {
  readonly #parts: VerifyParts
  readonly #options: VerifyOptions
  readonly #damaged: CID[] = []
  readonly #damagedPacks: number[] = []
  readonly #throttle: Throttle
  #areCountsDoubtful = false
  #isIndexBroken = false
  #counts = { packCount: 0, nextPack: 1, blockCount: 0, hashedCount: 0, bytesRead: 0, indexRepairs: 0 }

  constructor (parts: VerifyParts, options: VerifyOptions) {
    this.#parts = parts
    this.#options = options
    this.#throttle = new Throttle(options.bytesPerSecond ?? Infinity, options.signal)
  }

  async run (): Promise<VerifyReport> {
    const { book: { table, marks } } = this.#parts
    const { fromPack = 1, onProgress, signal } = this.#options
    await marks.flush()
    for (let pack = nextPack(table, fromPack); pack !== undefined; pack = nextPack(table, pack.number + 1)) {
      signal?.throwIfAborted()
      await this.#verifyPack(pack).catch((err: unknown) => {
        // Compacted away meanwhile: its blocks are in a later pack, and looked at there.
        if (table.pack(pack.number) !== undefined) throw err
      })
      this.#counts.packCount++
      this.#counts.nextPack = pack.number + 1
      onProgress?.(this.#report())
    }
    await table.flush()
    if (this.#counts.indexRepairs > 0 || this.#areCountsDoubtful) await this.#settleIndex()
    return this.#report()
  }

  /** What could be put right is: the counts are made anew, and whether the rest is to be trusted is found out. */
  async #settleIndex (): Promise<void> {
    const { book: { table } } = this.#parts
    table.recount()
    const isWrong = this.#counts.indexRepairs > 0 || !await table.isOrdered(this.#options.signal)
    if (isWrong) await this.#distrust()
  }

  /** Damaged pages of LMDB may end the process that changes them: the note comes before the first change. */
  async #distrust (): Promise<void> {
    if (this.#isIndexBroken) return
    this.#isIndexBroken = true
    await this.#parts.opener.distrust?.()
  }

  #report (): VerifyReport {
    return { ...this.#counts, isIndexBroken: this.#isIndexBroken, damaged: [...this.#damaged], damagedPacks: [...this.#damagedPacks] }
  }

  async #verifyPack ({ number, byteLength }: PackInfo): Promise<void> {
    const { packs, book: { table }, disk } = this.#parts
    const marked = new Set((await readMarks(disk, number)).marks.map(({ mark }) => mark.offset))
    let unknown: Candidate[] = []
    let liveCount = 0
    for await (const part of byteLength === 0 ? [] : scanPack(packs, { number, byteLength, verifying: false, signal: this.#options.signal })) {
      if (part.kind === 'gap') {
        if (!this.#damagedPacks.includes(number)) this.#damagedPacks.push(number)
        continue
      }
      const { cid, offset, headerByteLength } = part
      const place = { pack: number, offset, byteLength: part.byteLength, headerByteLength, isQuarantined: false }
      const key = multihashKey(cid)
      await this.#throttle.take(headerByteLength)
      const present = table.findByKey(key)
      if (present !== undefined && isSamePlace(present, place)) liveCount += await this.#verifyBlock({ key, cid, place }, present, marked)
      else if (!marked.has(offset)) unknown.push({ key, cid, place })
      if (unknown.length < MAX_CANDIDATES) continue
      await this.#enterUnknown(number, unknown)
      unknown = []
    }
    await this.#enterUnknown(number, unknown)
    if (table.pack(number)?.blockCount === liveCount) return
    this.#areCountsDoubtful = true
    await this.#verifyEntries(number)
  }

  /** Returns how many blocks were found live: one or none. */
  async #verifyBlock (candidate: Candidate, present: Location, marked: ReadonlySet<number>): Promise<number> {
    const { book } = this.#parts
    const { key, cid, place } = candidate
    if (present.isQuarantined && marked.has(place.offset)) return 0
    const isEntrySound = !present.isQuarantined && present.byteLength === place.byteLength && present.headerByteLength === place.headerByteLength
    this.#counts.blockCount++
    if (isEntrySound && this.#counts.blockCount % (this.#options.sample ?? 1) !== 0) return 1
    const isSound = await this.#isSound(candidate)
    // A block that was deleted or moved meanwhile is nobody's loss.
    const now = book.table.findByKey(key)
    if (now === undefined || !isSamePlace(now, place)) return 1
    if (!isSound && book.quarantine(key, place)) this.#found(cid, place)
    if (isSound && !isEntrySound) {
      await this.#distrust()
      this.#repair(key, place)
    }
    return isSound ? 1 : 0
  }

  async #isSound ({ cid, place }: Candidate): Promise<boolean> {
    this.#counts.hashedCount++
    this.#counts.bytesRead += place.byteLength
    await this.#throttle.take(place.byteLength)
    const bytes = await this.#parts.packs.read(place, this.#options.signal)
    return bytes !== undefined && await isBlock(cid, bytes)
  }

  /** Sections without a mark that are not the ones of their blocks. Unless they were marked since, the index is wrong. */
  async #enterUnknown (number: number, candidates: readonly Candidate[]): Promise<void> {
    if (candidates.length === 0) return
    const { book, disk } = this.#parts
    const missing: Candidate[] = []
    for (const candidate of candidates) {
      const present = book.table.findByKey(candidate.key)
      const isElsewhere = present !== undefined && !present.isQuarantined && await this.#isSound({ ...candidate, place: present })
      if (!isElsewhere && await this.#isSound(candidate)) missing.push(candidate)
    }
    if (missing.length > 0) await this.#distrust()
    await book.marks.flush()
    const marked = new Set((await readMarks(disk, number)).marks.map(({ mark }) => mark.offset))
    // In one turn from here on: what is deleted later was found before.
    for (const { key, place } of missing) if (!marked.has(place.offset)) this.#repair(key, place)
  }

  /** Sets an entry without a mark for the place that it had: that was never this block's. */
  #repair (key: string, place: Location): void {
    this.#parts.book.table.set(key, place)
    this.#counts.indexRepairs++
  }

  /** Asks every entry of a pack whether its block is there: the counts say that not all of them are. */
  async #verifyEntries (number: number): Promise<void> {
    const { packs, book, book: { table } } = this.#parts
    await table.flush()
    for (const [multihash, place] of table.indexed()) {
      if (place.pack !== number || place.isQuarantined) continue
      const key = keyOf(multihash)
      const cid = rawCidOf(multihash)
      const bytes = cid === undefined ? undefined : await packs.read(place, this.#options.signal)
      if (cid !== undefined && bytes !== undefined && await isBlock(cid, bytes)) continue
      if (cid !== undefined && await this.#isNamedAt(place, multihash)) {
        if (book.quarantine(key, place)) this.#found(cid, place)
        continue
      }
      const present = table.findByKey(key)
      if (present === undefined || !isSamePlace(present, place)) continue
      await this.#dropOrQuarantine(key, place, cid)
    }
  }

  /** Another block stands there: the entry is of no use. No sound block stands there: what is left of this one may be it. */
  async #dropOrQuarantine (key: string, place: Location, cid: CID | undefined): Promise<void> {
    const { book } = this.#parts
    const header = await this.#headerAt(place)
    const isOfAnother = header !== undefined && await isSoundAt(this.#parts.packs, header, place)
    if (cid !== undefined && !isOfAnother) {
      if (book.quarantine(key, place)) this.#found(cid, place)
      return
    }
    await this.#distrust()
    book.table.set(key, undefined)
    this.#counts.indexRepairs++
  }

  async #isNamedAt (place: Location, multihash: Uint8Array): Promise<boolean> {
    const header = await this.#headerAt(place)
    return header !== undefined && Buffer.compare(header.cid.multihash.bytes, multihash) === 0
  }

  async #headerAt ({ pack, offset, headerByteLength }: Location): Promise<SectionHeader | undefined> {
    const bytes = await this.#parts.packs.read({ pack, offset: Math.max(offset - headerByteLength, 0), byteLength: headerByteLength }, this.#options.signal)
    return bytes === undefined ? undefined : readSectionHeader(bytes, 0)
  }

  #found (cid: CID, { pack, offset }: Location): void {
    this.#parts.log.error('Block is damaged and was quarantined', { cid: cid.toString(), pack, byteOffset: offset })
    if (this.#damaged.length < MAX_REPORTED_BLOCKS) this.#damaged.push(cid)
  }
}

/** Asked anew each time: packs come and go meanwhile. */
function nextPack (table: BlockTable, from: number): PackInfo | undefined {
  return table.packs().find(({ number }) => number >= from)
}

/** Lets so many bytes a second pass. */
class Throttle {
  readonly #bytesPerSecond: number
  readonly #signal: AbortSignal | undefined
  readonly #begin = performance.now()
  #taken = 0

  constructor (bytesPerSecond: number, signal: AbortSignal | undefined) {
    this.#bytesPerSecond = bytesPerSecond
    this.#signal = signal
  }

  async take (byteLength: number): Promise<void> {
    if (this.#bytesPerSecond === Infinity) return
    this.#taken += byteLength
    const aheadMs = this.#taken / this.#bytesPerSecond * 1000 - (performance.now() - this.#begin)
    if (aheadMs > MIN_REST_MS) await sleep(aheadMs, undefined, this.#signal === undefined ? {} : { signal: this.#signal })
  }
}

/** Shorter rests are saved up, in milliseconds. */
const MIN_REST_MS = 10
