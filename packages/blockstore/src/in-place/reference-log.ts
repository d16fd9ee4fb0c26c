import type { Logger } from '@holdfast/core'
import { decodeReferenceRecord, encodeReferences, encodeReleases, REFERENCE_KINDS, type ReferenceRecord } from './reference-record.ts'
import { type Reference, type ReferenceTable } from './reference-table.ts'

/** Keeps records, in order, through a crash: what of a journal this needs. */
export interface ReferenceRecords {
  /** Adds records, all or none of which survive a crash; durable when it resolves. */
  append(records: readonly ReferenceRecord[]): Promise<void>
  /** Yields all records of every kind, in order. */
  replay(): AsyncIterable<ReferenceRecord>
  /** Replaces the records of these kinds. */
  compact(records: Iterable<ReferenceRecord>, options: { kinds: string[] }): Promise<void>
}

/** References that may have gone before the records are written anew, whatever there are. */
const MIN_DEAD_REFERENCES = 10_000

/** Longest that a reference which went waits for its record, in milliseconds. */
const RELEASE_DELAY_MS = 1000

/** References which went that wait at most: then their record is written. */
const MAX_WAITING_RELEASES = 65_536

/** References of one batch of records: of as many files, whose paths have 4 KiB at most, it has 9 MiB, and a journal takes 16. */
export const REFERENCES_AT_ONCE = 2048

/**
 * The records behind a table of references: a reference is in the table once it is durable, and out of it before that is.
 */
export class ReferenceLog implements AsyncDisposable {
  readonly #records: ReferenceRecords
  readonly #table: ReferenceTable
  readonly #log: Logger
  /** Went, and have no record of it yet. By multihash, one character a byte. */
  #released = new Map<string, Uint8Array>()
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()
  /** References in the records that are in them no more, or twice. */
  #deadCount: number
  #compacting: Promise<void> | undefined

  private constructor (records: ReferenceRecords, table: ReferenceTable, { log, deadCount }: { log: Logger, deadCount: number }) {
    this.#records = records
    this.#table = table
    this.#log = log
    this.#deadCount = deadCount
  }

  /** Fills the table from the records. */
  static async open (records: ReferenceRecords, table: ReferenceTable, log: Logger): Promise<ReferenceLog> {
    let changeCount = 0
    for await (const record of records.replay()) {
      for (const change of decodeReferenceRecord(record)) {
        changeCount++
        if ('referred' in change) table.set(change.referred)
        else table.delete(change.released)
      }
    }
    return new ReferenceLog(records, table, { log, deadCount: changeCount - table.count })
  }

  /** Adds references; durable, and in the table, when this resolves. */
  async refer (references: readonly Reference[]): Promise<void> {
    for (let at = 0; at < references.length; at += REFERENCES_AT_ONCE) {
      const batch = references.slice(at, at + REFERENCES_AT_ONCE)
      await this.#append(encodeReferences(batch).toArray())
      // In the turn in which they became durable: a compaction takes them from the table.
      for (const reference of batch) {
        if (this.#table.has(reference.multihash)) this.#deadCount++
        this.#table.set(reference)
      }
    }
  }

  /** Takes a reference out of the table; its record follows soon. */
  release (multihash: Uint8Array): void {
    if (!this.#table.delete(multihash)) return
    // Once for what was put, once for this.
    this.#deadCount += 2
    this.#released.set(Buffer.from(multihash.buffer, multihash.byteOffset, multihash.byteLength).toString('latin1'), Uint8Array.from(multihash))
    if (this.#released.size === MAX_WAITING_RELEASES) void this.flush()
    else this.#timer ??= setTimeout(() => { void this.flush() }, RELEASE_DELAY_MS).unref()
  }

  /** Resolves when it is written down which references went, or cannot be: a full disk keeps nothing from being deleted. */
  async flush (): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    try {
      await this.#append([])
      this.#compactIfDue()
    } catch (err) {
      this.#couldNot(err)
    }
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.flush()
    await this.#compacting
  }

  /** References that went are back after a restart then, and are garbage once more. */
  #couldNot (err: unknown): void {
    this.#log.warn('It could not be written down which files are no longer referred to', { err })
  }

  /** Those that went come first: one of them may be among those that are put. */
  #append (records: readonly ReferenceRecord[]): Promise<void> {
    const append = async (): Promise<void> => {
      const released = this.#released
      this.#released = new Map()
      const all = [...encodeReleases([...released.values()]), ...records]
      try {
        if (all.length > 0) await this.#records.append(all)
      } catch (err) {
        for (const [key, multihash] of released) if (!this.#released.has(key)) this.#released.set(key, multihash)
        throw err
      }
    }
    const appended = this.#writing.then(append)
    this.#writing = appended.catch(() => {})
    return appended
  }

  /** Writes the records anew when most of what they say is of no effect. */
  #compactIfDue (): void {
    const deadCount = this.#deadCount
    if (this.#compacting !== undefined || deadCount < Math.max(MIN_DEAD_REFERENCES, this.#table.count)) return
    this.#compacting = this.#records.compact(encodeReferences(this.#table.entries()), { kinds: [...REFERENCE_KINDS] })
      .then(() => { this.#deadCount -= deadCount }, (err: unknown) => { this.#log.warn('References to files could not be written anew', { err }) })
      .finally(() => { this.#compacting = undefined })
  }
}
