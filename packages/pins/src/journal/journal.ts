import { HoldfastError, isHoldfastError, type Logger, silentLogger } from '@holdfast/core'
import { resolve } from 'node:path'
import { AppendQueue } from './append-queue.ts'
import { createLog, createSnapshot } from './create-segment.ts'
import { JournalDisk } from './journal-disk.ts'
import { diskWith, type JournalFs, removeFiles } from './journal-fs.ts'
import { type Segment, segmentName } from './layout.ts'
import { encodePayload, encodeRecord, type JournalRecord } from './record.ts'
import { recoverJournal, type RecoveredJournal } from './recover.ts'
import { damaged, readRecords, SegmentReader } from './segment-reader.ts'
import { type FrameDraft, MARK, type SegmentWriter } from './segment-writer.ts'

/** Bytes after which the next records begin a new log: what a scan for rot reads, and a damaged file affects, stays small. */
export const MAX_LOG_BYTES: number = 64 * 1024 * 1024

/**
 * What people decided, in the order they decided it: an append-only, checksummed log that outlives crashes.
 *
 * Shared by everyone who has decisions to keep; each reads the kinds it knows. One process at a time opens it.
 *
 * @see docs/formats/journal.md
 */
export interface Journal extends AsyncDisposable {
  /**
   * Adds records, all or none of which survive a crash; durable when it resolves.
   *
   * Calls that wait at the same time share one write and one sync. After a rejection the records
   * may or may not be there when the journal is opened again, except with `LIMIT`: then they are not.
   *
   * @throws `INVALID` for a record that cannot be written; `LIMIT` for too many bytes at once, a full disk or a full queue,
   * none of which stop later calls; `UNAVAILABLE` when the journal is closed, or read-only since the disk failed.
   */
  append(records: readonly JournalRecord[]): Promise<void>

  /**
   * Yields every durable record of every kind, in order. May be called at any time, and more than once.
   *
   * A record may come again after a compaction, so consumers must not mind repetition.
   *
   * @throws `CORRUPT` when bytes were damaged since the journal was opened.
   */
  replay(): AsyncIterable<JournalRecord>

  /**
   * Replaces what appends had made durable by now with `records`.
   *
   * Appends that resolve later stay, and follow `records`; so do those that resolved in this very turn of the
   * event loop, which others may not have acted on. So a state kept in memory makes the right `records` when it is
   * brought up to date in the turn in which `append` resolves, and bears repeated records.
   * With `kinds` only records of these kinds are replaced; all others are carried over as they are.
   * A crash at any point leaves either the old records or the new ones.
   *
   * @throws `UNAVAILABLE` and `LIMIT` as `append` does; the old records then stay.
   */
  compact(records: AsyncIterable<JournalRecord> | Iterable<JournalRecord>, options?: CompactOptions): Promise<void>

  /** Bytes on disk. */
  readonly byteLength: number
}

export interface CompactOptions {
  /** Kinds of records to replace. @default all */
  kinds?: readonly string[]
}

export interface JournalOptions {
  /** @default silent */
  log?: Logger
  /** Called once, when the disk failed and the journal turned read-only: the daemon should stop. */
  onFatal?: (reason: HoldfastError) => void
  /** @default MAX_LOG_BYTES */
  maxLogBytes?: number
  /** Replaces parts of the disk, for tests that make it fail. */
  fs?: Partial<JournalFs>
}

/**
 * Opens the journal in `folder`, creating it when absent.
 *
 * Checks every checksum. A write that a crash cut short is removed and logged; it was never acknowledged.
 *
 * @throws `CORRUPT` naming file and byte offset when records that were durable are damaged: nothing is changed then;
 * `UNSUPPORTED` when a newer version wrote it; `UNAVAILABLE` when the disk failed.
 */
export async function openJournal (folder: string, options: JournalOptions = {}): Promise<Journal> {
  const disk = new JournalDisk(diskWith(options.fs ?? {}), resolve(folder), options.log ?? silentLogger)
  await using opening = new AsyncDisposableStack()
  const journal = opening.use(new SegmentedJournal(disk, await recover(disk), options.maxLogBytes ?? MAX_LOG_BYTES))
  await journal.mark()
  disk.requireSound()
  disk.watch(options.onFatal)
  opening.move()
  return journal
}

async function recover (disk: JournalDisk): Promise<RecoveredJournal> {
  try {
    return await recoverJournal(disk)
  } catch (cause) {
    if (isHoldfastError(cause)) throw cause
    throw new HoldfastError('UNAVAILABLE', `Could not open the journal in ${disk.folder}`, { cause, path: disk.folder })
  }
}

class SegmentedJournal implements Journal {
  readonly #disk: JournalDisk
  readonly #maxLogBytes: number
  readonly #queue = new AppendQueue(async (frames) => { await this.#commit(frames) })
  /** In the order of replay, without the log that is being written. */
  #closed: readonly Segment[]
  #writer: SegmentWriter
  /** Whether rot in the last frames would pass for a torn write. */
  #unmarked: boolean
  #closing: Promise<void> | undefined
  #compacting: Promise<void> = Promise.resolve()
  #replayCount = 0
  /** Names of files that a snapshot has replaced; a replay may still read them. */
  #obsolete: readonly string[] = []

  constructor (disk: JournalDisk, { closed, last }: RecoveredJournal, maxLogBytes: number) {
    this.#disk = disk
    this.#maxLogBytes = maxLogBytes
    this.#closed = closed
    this.#writer = last.writer
    this.#unmarked = last.unmarked
  }

  get byteLength (): number {
    return this.#segments().reduce((sum, { byteLength }) => sum + byteLength, 0)
  }

  async append (records: readonly JournalRecord[]): Promise<void> {
    this.#requireOpen()
    if (records.length === 0) return
    await this.#queue.append({ kind: 'records', payload: encodePayload(records.map(encodeRecord)) })
  }

  async * replay (): AsyncGenerator<JournalRecord> {
    this.#requireOpen()
    this.#replayCount++
    try {
      yield * this.#read(this.#segments())
    } finally {
      this.#replayCount--
      await this.#removeObsolete()
    }
  }

  async compact (records: AsyncIterable<JournalRecord> | Iterable<JournalRecord>, { kinds }: CompactOptions = {}): Promise<void> {
    this.#requireOpen()
    const { number } = await this.#queue.interrupt(async (unsettled) => {
      const replaced = await this.#beginLog()
      if (unsettled.length > 0) await this.#write(unsettled)
      return replaced
    })
    const turn = this.#compacting.then(async () => await this.#replaceUpTo(number, this.#snapshotOf(number, records, kinds)))
    this.#compacting = turn.catch(() => {})
    await turn
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#closing ??= this.#close()
    await this.#closing
  }

  async #close (): Promise<void> {
    await this.#queue.idle()
    await this.#compacting
    if (!this.#disk.failed) await this.mark()
    await this.#writer[Symbol.asyncDispose]()
  }

  /** Lets rot in the last records be told from a torn write. Nothing else needs it, so a full disk is no failure. */
  async mark (): Promise<void> {
    if (!this.#unmarked) return
    try {
      await this.#write([MARK])
    } catch (err) {
      this.#disk.log.warn('Could not mark the end of the journal', { err })
    }
  }

  async #commit (frames: readonly FrameDraft[]): Promise<void> {
    this.#disk.requireSound()
    if (this.#writer.durableByteLength >= this.#maxLogBytes) await this.#beginLog()
    await this.#write(frames)
  }

  /** Writes one group of frames: the only bytes of the journal that are not durable. */
  async #write (frames: readonly FrameDraft[]): Promise<void> {
    const disk = this.#disk
    const writer = this.#writer
    const name = segmentName('log', writer.header.number)
    try {
      await disk.attempt('write to', name, async () => { await writer.write(frames) })
    } catch (err) {
      if (!disk.failed) await disk.durably('cut an unfinished write off', name, async () => { await writer.rollBack() })
      throw err
    }
    await disk.durably('sync', name, async () => { await writer.sync() })
    this.#unmarked = frames.at(-1)?.kind !== 'mark'
  }

  /** Begins the next log and returns the one before it. */
  async #beginLog (): Promise<Segment> {
    this.#disk.requireSound()
    const previous = this.#writer
    const closed = logOf(previous)
    this.#writer = await createLog(this.#disk, closed.number + 1, closed)
    this.#closed = [...this.#closed, closed]
    this.#unmarked = false
    await previous[Symbol.asyncDispose]()
    return closed
  }

  async * #snapshotOf (number: number, records: AsyncIterable<JournalRecord> | Iterable<JournalRecord>, kinds: readonly string[] | undefined): AsyncGenerator<JournalRecord> {
    if (kinds !== undefined) {
      const replaced = new Set(kinds)
      for await (const record of this.#read(this.#closed.filter((segment) => segment.number <= number))) {
        this.#requireOpen()
        if (!replaced.has(record.kind)) yield record
      }
    }
    for await (const record of records) {
      this.#requireOpen()
      yield record
    }
  }

  async #replaceUpTo (number: number, records: AsyncIterable<JournalRecord>): Promise<void> {
    this.#requireOpen()
    const snapshot = await createSnapshot(this.#disk, number, records)
    const replaced = this.#closed.filter((segment) => segment.number <= number)
    this.#closed = [snapshot, ...this.#closed.filter((segment) => segment.number > number)]
    this.#obsolete = [...this.#obsolete, ...replaced.map(({ kind, number }) => segmentName(kind, number))]
    await this.#removeObsolete()
  }

  async #removeObsolete (): Promise<void> {
    if (this.#replayCount > 0 || this.#obsolete.length === 0) return
    const names = this.#obsolete
    this.#obsolete = []
    try {
      await removeFiles(this.#disk.fs, this.#disk.folder, names)
    } catch (err) {
      // They do not count any more, and go when the journal is opened next.
      this.#disk.log.warn('Could not remove replaced journal segments', { names, err })
    }
  }

  async * #read (segments: readonly Segment[]): AsyncGenerator<JournalRecord> {
    for (const { kind, number, byteLength } of segments) {
      const path = this.#disk.pathOf(segmentName(kind, number))
      try {
        await using file = await this.#disk.fs.open(path, 'r')
        const reader = await SegmentReader.open(file, byteLength)
        yield * readRecords(reader, path)
        if (reader.byteLength < byteLength) throw damaged(path, reader.byteLength)
      } catch (cause) {
        if (isHoldfastError(cause)) throw cause
        throw new HoldfastError('UNAVAILABLE', `Could not read journal segment ${path}`, { cause, path })
      }
    }
  }

  /** All that is durable, in the order of replay. */
  #segments (): readonly Segment[] {
    return [...this.#closed, logOf(this.#writer)]
  }

  #requireOpen (): void {
    if (this.#closing !== undefined) throw new HoldfastError('UNAVAILABLE', `Journal in ${this.#disk.folder} is closed`, { path: this.#disk.folder })
    this.#disk.requireSound()
  }
}

function logOf ({ header: { number }, durableByteLength }: SegmentWriter): Segment {
  return { kind: 'log', number, byteLength: durableByteLength }
}
