import { HoldfastError, type Logger } from '@holdfast/core'
import type { Journal, JournalRecord } from '@holdfast/pins'
import { envelopeOf } from '../map/stored-record.ts'
import type { ClusterMemory } from './cluster-memory.ts'
import { JOURNAL_KINDS, journalRecord, seqRecord } from './journal-records.ts'

/** Journal records without effect, and their share, from which on the journal is compacted; as in @holdfast/pins. */
export const MIN_DEAD_RECORDS = 10_000

export interface UpkeepDeps {
  readonly journal: Journal
  readonly memory: ClusterMemory
  readonly log: Logger
  readonly now: () => number
}

/** Counts our records in the journal, and replaces them by what is in memory when most of them are without effect. */
export class Upkeep implements AsyncDisposable {
  readonly #deps: UpkeepDeps
  readonly #minDeadRecords: number
  #journalCount = 0
  #compactAtCount = 0
  #compacting: Promise<void> | undefined
  #isClosed = false

  constructor (deps: UpkeepDeps, { minDeadRecords }: { readonly minDeadRecords: number }) {
    this.#deps = deps
    this.#minDeadRecords = minDeadRecords
  }

  /** So many records are in the journal, besides those that were counted. */
  count (recordCount: number): void {
    this.#journalCount += recordCount
  }

  /** To be called when memory is up to date, in the turn in which a record became durable, as `Journal.compact` asks. */
  compactIfWorthwhile (): void {
    const liveCount = this.#deps.memory.requireCluster().map.counts.records
    if (this.#isClosed || this.#compacting !== undefined || this.#journalCount < this.#compactAtCount) return
    if (this.#journalCount - liveCount < Math.max(this.#minDeadRecords, liveCount)) return
    this.#compacting = this.#compact().finally(() => { this.#compacting = undefined })
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#isClosed = true
    await this.#compacting
  }

  async #compact (): Promise<void> {
    const journalCount = this.#journalCount
    const records = this.#snapshot()
    try {
      await this.#deps.journal.compact(this.#whileOpen(records), { kinds: JOURNAL_KINDS })
      this.#journalCount += records.length - journalCount
    } catch (err) {
      if (!this.#isClosed) this.#deps.log.warn('Could not compact the journal of records', { err })
    }
    // After a failure the next try waits for as many changes again.
    this.#compactAtCount = this.#journalCount + this.#minDeadRecords
  }

  /** The state now, as functions: an envelope is made of its string when it is written. */
  #snapshot (): ReadonlyArray<() => JournalRecord> {
    const { memory, now } = this.#deps
    const { map, writer } = memory.requireCluster()
    const { seq } = writer
    return [
      () => journalRecord(map.genesis),
      ...[...map.records()].map((record) => () => journalRecord({ bytes: envelopeOf(record) })),
      () => seqRecord(seq),
      ...memory.invites.records(now()).map((record) => () => record)
    ]
  }

  * #whileOpen (records: ReadonlyArray<() => JournalRecord>): Generator<JournalRecord> {
    for (const record of records) {
      if (this.#isClosed) throw new HoldfastError('UNAVAILABLE', 'The record store is closed')
      yield record()
    }
  }
}
