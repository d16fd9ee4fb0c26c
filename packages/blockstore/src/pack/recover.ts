/**
 * Brings table, packs and marks to the same state after whatever happened before.
 *
 * ```
 * 1  a newest pack without a whole header goes: nothing was acknowledged in it
 * 2  what the index says of packs and marks is taken; the rest of each is read and added
 * 3  of the newest pack every section is hashed: a torn tail is cut off, so that the file is a CARv1 again
 * 4  entries whose bytes are gone are quarantined, so that they are reported and not forgotten
 * ```
 *
 * Without an index, or with one of another store, step 2 reads everything.
 */
import { HoldfastError, isErrorCode, type Logger, multihashKey } from '@holdfast/core'
import { randomBytes } from 'node:crypto'
import { BlockTable, keyOf, UNSOUND_PACK_BYTES } from './block-table.ts'
import { isLater, type Location } from './location.ts'
import { MarksWriter, type ReadMarks, readMarks } from './marks.ts'
import type { OpenPacks } from './open-packs.ts'
import { cutFile, PackAppender, removeFiles, syncFile } from './pack-appender.ts'
import type { PackDisk } from './pack-disk.ts'
import { decodePackHeader, PACK_HEADER_BYTES, type PackHeader, STORE_ID_BYTES } from './pack-format.ts'
import type { IndexOpener, PackIndex } from './pack-index.ts'
import { marksName, marksNumberOf, packName, packNumberOf } from './pack-names.ts'
import { scanPack } from './scan-pack.ts'
import { SectionBook } from './section-book.ts'
import { watchCommit } from './watch-commit.ts'

/** How far reading the packs has come; cumulative. */
export interface RecoveryProgress {
  readonly packsRead: number
  readonly bytesRead: number
  readonly sectionsRead: number
}

export interface RecoverParts {
  readonly disk: PackDisk
  readonly packs: OpenPacks
  readonly opener: IndexOpener
  readonly log: Logger
  readonly packBytes: number
  readonly commitEntries?: number | undefined
  readonly onProgress?: ((progress: RecoveryProgress) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

export interface Recovered {
  readonly book: SectionBook
  readonly appender: PackAppender
  /** The index was not there, or could not be used: all of it is new. */
  readonly isIndexNew: boolean
  /** Packs with bytes that are no sections; to be written anew. */
  readonly damagedPacks: ReadonlySet<number>
}

/** @throws `UNAVAILABLE` or `LIMIT` when the disk does not let it, `UNSUPPORTED` for files of a newer version. */
export async function recover (parts: RecoverParts): Promise<Recovered> {
  return await new Recovery(parts).run()
}

interface PackFile {
  readonly number: number
  byteLength: number
}

class Recovery {
  readonly #parts: RecoverParts
  readonly #damaged = new Set<number>()
  /** Packs to which nothing may be appended. */
  readonly #sealed = new Set<number>()
  #progress = { packsRead: 0, bytesRead: 0, sectionsRead: 0 }
  /** Bytes of the packs by number. */
  readonly #byteLengths = new Map<number, number>()
  #isIndexNew = false

  constructor (parts: RecoverParts) {
    this.#parts = parts
  }

  async run (): Promise<Recovered> {
    const { log } = this.#parts
    const files = await this.#findPacks()
    const storeId = await this.#storeId(files)
    await using undo = new AsyncDisposableStack()
    const index = undo.use(await this.#openIndex(storeId, files))
    const book = this.#openBook(index, storeId)
    // Its timer commits behind us, and its index is closed above when we fail.
    const isWhole = index.state()?.isWhole !== false

    const short = this.#cutInfos(book, files)
    const newest = files.at(-1)
    for (const { number, byteLength } of files) this.#byteLengths.set(number, byteLength)
    for (const file of files) await this.#replay(book, file, file === newest)
    await this.#removeOrphanMarks(files)
    if (!isWhole) book.table.recount()
    if (!isWhole || short.length > 0) await this.#quarantineMissing(book, files, short)
    if (this.#progress.sectionsRead > 0 || this.#isIndexNew) {
      await book.table.flush()
      if (this.#isIndexNew && files.length > 0) log.info('Index of the packs was made anew', { ...this.#progress })
    }
    const appender = await this.#openAppender(book, newest, storeId)
    undo.move()
    return { book, appender, isIndexNew: this.#isIndexNew && files.length > 0, damagedPacks: this.#damaged }
  }

  async #findPacks (): Promise<PackFile[]> {
    const { disk } = this.#parts
    const names = await Array.fromAsync(disk.operations.list(disk.folder))
    const numbers = names.map(packNumberOf).filter((number) => number !== undefined).sort((a, b) => a - b)
    const files: PackFile[] = []
    for (const number of numbers) files.push({ number, byteLength: await disk.operations.byteLengthAt(disk.pathOf(packName(number))) })

    const newest = files.at(-1)
    if (newest !== undefined && newest.byteLength <= PACK_HEADER_BYTES && await this.#header(newest) === undefined) {
      await removeFiles(disk, [packName(newest.number)])
      files.pop()
    }
    return files
  }

  async #header ({ number }: PackFile): Promise<PackHeader | undefined> {
    const bytes = await this.#parts.packs.read({ pack: number, offset: 0, byteLength: PACK_HEADER_BYTES })
    const header = bytes === undefined ? undefined : decodePackHeader(bytes)
    if (header === undefined) await this.#parts.packs.drop(number)
    return header?.number === number ? header : undefined
  }

  async #storeId (files: readonly PackFile[]): Promise<Uint8Array> {
    for (const file of files) {
      const header = await this.#header(file)
      if (header !== undefined) return header.storeId
    }
    return Uint8Array.from(randomBytes(STORE_ID_BYTES))
  }

  async #openIndex (storeId: Uint8Array, files: PackFile[]): Promise<PackIndex> {
    const { opener, log } = this.#parts
    try {
      const index = await opener.open()
      const state = index.state()
      if (state !== undefined && Buffer.compare(state.storeId, storeId) === 0) {
        await this.#finishRetiring(index, files)
        return index
      }
      await index[Symbol.asyncDispose]()
    } catch (err) {
      if (!isErrorCode(err, 'CORRUPT')) throw err
      log.warn('Index of the packs is damaged and is made anew', { err })
    }
    this.#isIndexNew = true
    await opener.remove()
    return await opener.open()
  }

  /** A crash came after the index had let go of these packs and before their files were gone. */
  async #finishRetiring (index: PackIndex, files: PackFile[]): Promise<void> {
    const { disk, packs } = this.#parts
    const retired = index.retiredPacks()
    if (retired.length === 0) return
    for (const number of retired) await packs.drop(number)
    await removeFiles(disk, retired.map(packName))
    await removeFiles(disk, retired.map(marksName))
    await index.forget(retired)
    const isRetired = new Set(retired)
    files.splice(0, files.length, ...files.filter(({ number }) => !isRetired.has(number)))
  }

  #openBook (index: PackIndex, storeId: Uint8Array): SectionBook {
    return openBook({ ...this.#parts, index, storeId })
  }

  async #replay (book: SectionBook, file: PackFile, isNewest: boolean): Promise<void> {
    const { number, byteLength } = file
    const known = book.table.pack(number)
    const marks = await readMarks(this.#parts.disk, number)
    await this.#cutMarks(number, marks)
    const hasNewMarks = marks.byteLength !== (known?.marksByteLength ?? 0)
    const hasNewSections = byteLength > (known?.byteLength ?? 0)
    if (hasNewMarks) this.#applyMarks(book, number, marks)
    if (known?.byteLength === UNSOUND_PACK_BYTES) {
      // A crash came before it was written anew.
      this.#damaged.add(number)
      book.table.extend(number, { byteLength })
      book.table.markUnsound(number)
      return
    }
    if (!hasNewSections) return
    // An earlier process may have been killed between write and sync; what is found here counts as durable.
    await syncFile(this.#parts.disk, packName(number))
    if (isNewest && await this.#header(file) === undefined) this.#sealed.add(number)
    const from = Math.max(known?.byteLength ?? 0, PACK_HEADER_BYTES)
    book.table.extend(number, { byteLength: from })
    await this.#readSections(book, file, { marks, from, isNewest })
    this.#progress.packsRead++
    this.#parts.onProgress?.({ ...this.#progress })
  }

  async #readSections (book: SectionBook, file: PackFile, { marks, from, isNewest }: { marks: ReadMarks, from: number, isNewest: boolean }): Promise<void> {
    const { packs, signal, log } = this.#parts
    const { number } = file
    const kinds = new Map(marks.marks.map(({ mark }) => [mark.offset, mark.kind]))
    const unsound: Array<{ key: string, place: Location }> = []
    let torn: number | undefined
    for await (const part of scanPack(packs, { number, from, byteLength: file.byteLength, verifying: isNewest, signal })) {
      if (part.kind === 'gap') {
        torn ??= part.begin
        if (part.end < file.byteLength || !isNewest) this.#damaged.add(number)
        continue
      }
      const key = multihashKey(part.cid)
      const { offset, byteLength, headerByteLength } = part
      const place = { pack: number, offset, byteLength, headerByteLength, isQuarantined: false }
      // A mark says that the section was durable once.
      if (!part.isSound && !kinds.has(offset)) {
        torn ??= offset - headerByteLength
        unsound.push({ key, place })
        continue
      }
      if (torn !== undefined) this.#damaged.add(number)
      this.#enter(book, key, place, kinds.get(offset))
      this.#progress.sectionsRead++
      this.#progress.bytesRead += byteLength + headerByteLength
      if (book.table.isFull) await book.table.flush()
    }
    if (torn !== undefined && !this.#damaged.has(number)) await this.#cutTail(file, torn, marks)
    else this.#enterUnsound(book, unsound)
    if (this.#damaged.has(number)) {
      book.table.markUnsound(number)
      log.error('Pack has damaged bytes between blocks that are sound', { pack: number, byteOffset: torn })
    }
    book.table.extend(number, { byteLength: file.byteLength, marksByteLength: marks.byteLength })
  }

  #enter (book: SectionBook, key: string, place: Location, kind: 'dead' | 'quarantined' | undefined): void {
    if (kind === 'dead') return
    if (kind === undefined) {
      // After a crash between the steps of a commit the index may know of the later section already.
      const present = book.table.findByKey(key)
      if (present === undefined) book.table.replace(key, undefined, place)
      else if (!present.isQuarantined && isLater(present, place) && this.#isThere(present)) book.markDead(key, place)
      else book.add(key, place)
      return
    }
    if (this.#isHeld(book, key)) return
    book.table.set(key, { ...place, isQuarantined: true })
  }

  /**
   * Behind an index that knew the rest, what is unsound is of a write that a crash tore; else it may be a block that rotted.
   * What does not count gets a mark: an index made anew would take it for the latest section of its block.
   */
  #enterUnsound (book: SectionBook, unsound: ReadonlyArray<{ key: string, place: Location }>): void {
    for (const { key, place } of unsound) {
      if (!this.#isIndexNew || this.#isHeld(book, key)) {
        book.markDead(key, place)
        continue
      }
      book.table.set(key, place)
      book.quarantine(key, place)
    }
  }

  /** Whether the file reaches so far: an index may speak of packs that are lost. */
  #isThere ({ pack, offset, byteLength }: Location): boolean {
    return offset + byteLength <= (this.#byteLengths.get(pack) ?? 0)
  }

  #isHeld (book: SectionBook, key: string): boolean {
    return book.table.findByKey(key)?.isQuarantined === false
  }

  /** After a crash the newest pack may end in what was never acknowledged. */
  async #cutTail (file: PackFile, byteLength: number, marks: ReadMarks): Promise<void> {
    const { disk, log, packs } = this.#parts
    const cutByteLength = file.byteLength - byteLength
    log.warn('Pack ended in a write that was cut short; it was taken back', { pack: file.number, byteOffset: byteLength, cutByteLength })
    await packs.drop(file.number)
    await cutFile(disk, packName(file.number), byteLength)
    file.byteLength = byteLength
    // A mark from beyond would count against the next section there.
    if (marks.marks.some(({ mark }) => mark.offset >= byteLength)) this.#sealed.add(file.number)
  }

  async #cutMarks (number: number, { byteLength, fileByteLength }: ReadMarks): Promise<void> {
    const { disk, log } = this.#parts
    if (fileByteLength === undefined || (fileByteLength === byteLength && byteLength > 0)) return
    log.warn('Marks of a pack ended in what makes no sense; it was taken back', { pack: number, byteOffset: byteLength, cutByteLength: fileByteLength - byteLength })
    if (byteLength === 0) await removeFiles(disk, [marksName(number)])
    else await cutFile(disk, marksName(number), byteLength)
  }

  /** Of all sections that the index knows; those that it does not know are entered with their marks. */
  #applyMarks (book: SectionBook, number: number, { marks, byteLength }: ReadMarks): void {
    const known = book.table.pack(number)?.marksByteLength ?? 0
    for (const { mark, end } of marks) {
      if (end <= known && known <= byteLength) continue
      const key = keyOf(mark.multihash)
      const present = book.table.findByKey(key)
      if (present === undefined || present.pack !== number || present.offset !== mark.offset) continue
      if (mark.kind === 'dead') book.table.set(key, undefined)
      else if (!present.isQuarantined) book.table.set(key, { ...present, isQuarantined: true })
    }
    book.table.extend(number, { marksByteLength: byteLength })
  }

  async #removeOrphanMarks (files: readonly PackFile[]): Promise<void> {
    const { disk } = this.#parts
    const present = new Set(files.map(({ number }) => number))
    const names = await Array.fromAsync(disk.operations.list(disk.folder))
    const orphans = names.filter((name) => {
      const number = marksNumberOf(name)
      return name.endsWith('.marks') && number !== undefined && !present.has(number)
    })
    if (orphans.length > 0) await removeFiles(disk, orphans)
  }

  /** Takes back what the index says of packs, or ends of packs, that are not there, and returns their numbers. */
  #cutInfos ({ table }: SectionBook, files: readonly PackFile[]): number[] {
    const lengths = new Map(files.map(({ number, byteLength }) => [number, byteLength]))
    const short = table.packs().filter(({ number, byteLength }) => !lengths.has(number) || byteLength > (lengths.get(number) ?? 0))
    for (const { number } of short) {
      const byteLength = lengths.get(number)
      table.extend(number, byteLength === undefined ? { byteLength: 0, marksByteLength: 0 } : { byteLength })
      this.#sealed.add(number)
    }
    return short.map(({ number }) => number)
  }

  /** Entries whose bytes are not there any more. */
  async #quarantineMissing ({ table }: SectionBook, files: readonly PackFile[], short: readonly number[]): Promise<void> {
    const lengths = new Map(files.map(({ number, byteLength }) => [number, byteLength]))
    await table.flush()
    const missing: Array<readonly [string, Location]> = []
    for (const [multihash, place] of table.indexed()) {
      if (!place.isQuarantined && place.offset + place.byteLength > (lengths.get(place.pack) ?? 0)) missing.push([keyOf(multihash), place])
    }
    for (const [key, place] of missing) table.set(key, { ...place, isQuarantined: true })
    if (missing.length > 0) this.#parts.log.error('Packs are missing or shorter than they were; their blocks are quarantined', { packs: short, blockCount: missing.length })
    for (const { number, blockCount, quarantinedCount } of table.packs()) {
      if (!lengths.has(number) && blockCount + quarantinedCount === 0) table.removePack(number)
    }
    await table.flush()
  }

  async #openAppender (book: SectionBook, newest: PackFile | undefined, storeId: Uint8Array): Promise<PackAppender> {
    const { disk, packBytes } = this.#parts
    const canGoOn = newest !== undefined && newest.byteLength < packBytes && !this.#sealed.has(newest.number) && !this.#damaged.has(newest.number)
    if (canGoOn) {
      // A run with less durability may have left it to the system.
      if (disk.durability === 'disk') await syncFile(disk, packName(newest.number))
      return await PackAppender.resume(disk, newest.number, newest.byteLength)
    }
    const highest = Math.max(0, ...book.table.packs().map(({ number }) => number), newest?.number ?? 0)
    const appender = await PackAppender.create(disk, highest + 1, storeId)
    book.table.extend(appender.number, { byteLength: appender.byteLength })
    return appender
  }
}

/** Table and marks over an open index. */
export function openBook ({ disk, index, storeId, log, commitEntries }: { disk: PackDisk, index: PackIndex, storeId: Uint8Array, log: Logger, commitEntries?: number | undefined }): SectionBook {
  const marks: MarksWriter = new MarksWriter({
    disk,
    storeId,
    log,
    byteLengthOf: (number) => {
      const pack = table.pack(number)
      return pack === undefined || pack.byteLength === 0 ? undefined : pack.marksByteLength
    },
    onWritten: (number, marksByteLength) => {
      // A compaction may have been done with the pack meanwhile.
      if (table.pack(number) !== undefined) table.extend(number, { marksByteLength })
    }
  })
  const table: BlockTable = new BlockTable({
    index,
    storeId,
    log,
    commitEntries,
    beforeCommit: async () => {
      await marks.flush()
      disk.requireSound()
    },
    watch: async (commit) => { await watchCommit(disk, commit) }
  })
  return new SectionBook(table, marks)
}

/** Thrown for a folder that holds no packs, by those who only read. */
export function noStore (path: string): HoldfastError {
  return new HoldfastError('NOT_FOUND', `There is no store of packs in ${path}`, { path })
}
