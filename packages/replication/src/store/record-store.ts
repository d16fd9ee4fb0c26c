import { HoldfastError, type Logger } from '@holdfast/core'
import type { Identity } from '@holdfast/network'
import type { Journal, JournalRecord } from '@holdfast/pins'
import type { RecordChange, RecordMap } from '../map/record-map.ts'
import type { InviteBook } from '../members/invite-book.ts'
import type { ClusterRecord, GenesisRecord } from '../record/record.ts'
import { ClusterMemory, type ClusterState } from './cluster-memory.ts'
import { journalRecord, leftRecord } from './journal-records.ts'
import { replayJournal } from './replay.ts'
import { MIN_DEAD_RECORDS, Upkeep } from './upkeep.ts'

export interface RecordStoreDeps {
  readonly identity: Identity
  readonly journal: Journal
  readonly log: Logger
  readonly now: () => number
}

export interface RecordStoreOptions {
  /** @default MIN_DEAD_RECORDS */
  minDeadRecords?: number | undefined
  maxPins?: number | undefined
}

/** Records that were made durable and merged. */
export interface KeptRecords {
  readonly records: readonly ClusterRecord[]
  readonly changes: readonly RecordChange[]
  /** Whether this node wrote them, so that the others do not know of them yet. */
  readonly isOwn: boolean
}

/**
 * Reads the records from the journal: about a kilobyte of memory each.
 *
 * The journal stays the caller's, may hold records of others, and must outlive the store.
 */
export async function openRecordStore (deps: RecordStoreDeps, options: RecordStoreOptions = {}): Promise<RecordStore> {
  const store = new RecordStore(deps, options)
  await store.replay()
  return store
}

/** The records of this node's cluster, durable before they count. */
export class RecordStore implements AsyncDisposable {
  readonly #journal: Journal
  readonly #memory: ClusterMemory
  readonly #upkeep: Upkeep
  readonly #watchers = new Set<(kept: KeptRecords) => void>()
  /** Hashes of records that are on their way to the disk. */
  readonly #appending = new Set<string>()

  constructor ({ identity, journal, log, now }: RecordStoreDeps, { minDeadRecords = MIN_DEAD_RECORDS, maxPins }: RecordStoreOptions) {
    this.#journal = journal
    this.#memory = new ClusterMemory({ identity, log, now, maxPins })
    this.#upkeep = new Upkeep({ journal, memory: this.#memory, log, now }, { minDeadRecords })
  }

  /** `undefined` until a cluster was created or joined. */
  get cluster (): ClusterState | undefined {
    return this.#memory.cluster
  }

  get invites (): InviteBook {
    return this.#memory.invites
  }

  /** Calls for all that is kept from now on. */
  watch (watcher: (kept: KeptRecords) => void): Disposable {
    this.#watchers.add(watcher)
    return { [Symbol.dispose]: () => { this.#watchers.delete(watcher) } }
  }

  /** Begins with a cluster, and forgets the one before, when there was one. Durable when it resolves. */
  async begin (genesis: GenesisRecord, records: readonly ClusterRecord[]): Promise<void> {
    await this.#append([genesis, ...records].map(journalRecord))
    this.#memory.start(genesis)
    const { map } = this.#memory.requireCluster()
    for (let next = records; next.length > 0;) next = this.#apply(map.screen(next, { anyTime: true }), true)
  }

  /** Forgets the cluster. Durable when it resolves. */
  async leave (): Promise<void> {
    const { map: { cluster }, writer: { seq } } = this.#memory.requireCluster()
    await this.#append([leftRecord({ cluster, seq })])
    this.#memory.end({ cluster, seq })
    for (const watcher of this.#watchers) watcher({ records: [], changes: [{ kind: 'members' }], isOwn: true })
  }

  /**
   * Keeps a record of this node, durable when it resolves, together with journal records of the caller.
   *
   * @throws `LIMIT` when the cluster has no room for it; what `Journal.append` throws.
   */
  async write (record: ClusterRecord, more: readonly JournalRecord[] = []): Promise<void> {
    const { map } = this.#memory.requireCluster()
    if (map.screen([record]).length === 0) throw new HoldfastError('LIMIT', `The cluster has no room for another ${record.kind} record`, { kind: record.kind })
    await this.#keep(map, [record], true, more)
  }

  /** Appends records of other kinds than `record`, so that they are counted for compaction. */
  async note (records: readonly JournalRecord[]): Promise<void> {
    await this.#append(records)
  }

  /**
   * Takes in records of others whose signatures were checked. What counts and is new is durable when this resolves.
   *
   * @throws what `Journal.append` throws.
   */
  async ingest (records: readonly ClusterRecord[]): Promise<void> {
    const { map } = this.#memory.requireCluster()
    for (let next = records; next.length > 0;) {
      const fresh = map.screen(next).filter(({ hash }) => !this.#appending.has(hash))
      next = fresh.length === 0 ? [] : await this.#keep(map, fresh, false)
    }
  }

  /** Takes in what waited for its time. */
  async ingestDue (): Promise<void> {
    const due = this.cluster?.map.takeDue() ?? []
    if (due.length > 0) await this.ingest(due)
  }

  /** Reads the journal. To be called once, before anything else. */
  async replay (): Promise<void> {
    this.#upkeep.count(await replayJournal(this.#journal, this.#memory))
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#watchers.clear()
    await this.#upkeep[Symbol.asyncDispose]()
  }

  async #keep (map: RecordMap, records: readonly ClusterRecord[], isOwn: boolean, more: readonly JournalRecord[] = []): Promise<readonly ClusterRecord[]> {
    for (const { hash } of records) this.#appending.add(hash)
    try {
      await this.#append([...records.map(journalRecord), ...more])
      // In the turn in which it became durable, as `Journal.compact` asks.
      return this.cluster?.map === map ? this.#apply(records, isOwn) : []
    } finally {
      for (const { hash } of records) this.#appending.delete(hash)
    }
  }

  #apply (records: readonly ClusterRecord[], isOwn: boolean): readonly ClusterRecord[] {
    const { changes, retry } = this.#memory.apply(records)
    for (const watcher of this.#watchers) watcher({ records, changes, isOwn })
    this.#upkeep.compactIfWorthwhile()
    return retry
  }

  async #append (records: readonly JournalRecord[]): Promise<void> {
    await this.#journal.append(records)
    this.#upkeep.count(records.length)
  }
}
