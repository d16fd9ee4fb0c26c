import { HoldfastError, type Ipld, type Logger } from '@holdfast/core'
import type { Identity } from '@holdfast/network'
import type { Journal, JournalRecord } from '@holdfast/pins'
import { RecordMap, type RecordChange } from '../map/record-map.ts'
import { RecordWriter } from '../map/record-writer.ts'
import { envelopeOf } from '../map/stored-record.ts'
import { InviteBook } from '../members/invite-book.ts'
import { decodeEnvelope, type RecordKind } from '../record/envelope.ts'
import { type AnyRecord, type ClusterRecord, type GenesisRecord, parseRecord } from '../record/record.ts'

/** Kinds of journal records that are read and written here. */
export const JOURNAL_KINDS: readonly string[] = ['record', 'record-seq', 'invite', 'left']

/** Journal records without effect, and their share, from which on the journal is compacted; as in @holdfast/pins. */
export const MIN_DEAD_RECORDS = 10_000

/** Records that are read from the journal before they are merged together. */
const REPLAY_BATCH = 1024

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

/** The cluster of this node. */
export interface ClusterState {
  readonly map: RecordMap
  readonly writer: RecordWriter
}

/** A cluster that this node left, and the number of its last record there. */
interface LeftCluster {
  readonly cluster: Uint8Array
  readonly seq: number
}

/** Records that were made durable and merged. */
export interface KeptRecords {
  readonly records: readonly ClusterRecord[]
  readonly changes: readonly RecordChange[]
  /** Whether this node wrote them, so that the others do not know of them yet. */
  readonly isOwn: boolean
}

/**
 * Reads the records from the journal.
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
  readonly invites: InviteBook = new InviteBook()
  readonly #deps: RecordStoreDeps
  readonly #minDeadRecords: number
  readonly #maxPins: number | undefined
  readonly #watchers = new Set<(kept: KeptRecords) => void>()
  /** Hashes of records that are on their way to the disk. */
  readonly #appending = new Set<string>()
  /** Read from the journal and not merged yet. */
  readonly #replayed: ClusterRecord[] = []
  #cluster: ClusterState | undefined
  /** The last number that this node gave out in clusters that it left: it may come back to one. */
  #usedSeq = 0
  #journalCount = 0
  #compactAtCount = 0
  #compacting: Promise<void> | undefined
  #isClosed = false

  constructor (deps: RecordStoreDeps, { minDeadRecords = MIN_DEAD_RECORDS, maxPins }: RecordStoreOptions) {
    this.#deps = deps
    this.#minDeadRecords = minDeadRecords
    this.#maxPins = maxPins
  }

  /** `undefined` until a cluster was created or joined. */
  get cluster (): ClusterState | undefined {
    return this.#cluster
  }

  /** Calls for all that is kept from now on. */
  watch (watcher: (kept: KeptRecords) => void): Disposable {
    this.#watchers.add(watcher)
    return { [Symbol.dispose]: () => { this.#watchers.delete(watcher) } }
  }

  /** Begins with a cluster, and forgets the one before, when there was one. Durable when it resolves. */
  async begin (genesis: GenesisRecord, records: readonly ClusterRecord[]): Promise<void> {
    await this.#append([genesis, ...records].map(journalRecord))
    this.#start(genesis)
    this.#merge(records, true)
  }

  /** Forgets the cluster. Durable when it resolves. */
  async leave (): Promise<void> {
    const { map: { cluster }, writer: { seq } } = this.#requireCluster()
    await this.#append([{ kind: 'left', value: { cluster, seq } }])
    this.#end({ cluster, seq })
    for (const watcher of this.#watchers) watcher({ records: [], changes: [{ kind: 'members' }], isOwn: true })
  }

  /**
   * Keeps a record of this node, durable when it resolves, together with journal records of the caller.
   *
   * @throws `LIMIT` when the cluster has no room for it; what `Journal.append` throws.
   */
  async write (record: ClusterRecord, more: readonly JournalRecord[] = []): Promise<void> {
    const map = this.#requireCluster().map
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
    const map = this.#requireCluster().map
    for (let next = records; next.length > 0;) {
      const fresh = map.screen(next).filter(({ hash }) => !this.#appending.has(hash))
      next = fresh.length === 0 ? [] : await this.#keep(map, fresh, false)
    }
  }

  /** Takes in what waited for its time. */
  async ingestDue (): Promise<void> {
    const due = this.#cluster?.map.takeDue() ?? []
    if (due.length > 0) await this.ingest(due)
  }

  /**
   * Reads the members first, then the rest: so a record that a removal made void replaces nothing, although it came before.
   */
  async replay (): Promise<void> {
    for await (const { kind, value } of this.#journal()) {
      this.#journalCount++
      if (kind === 'invite') this.invites.apply(value)
      else if (kind === 'left') this.#end(leftOf(value))
      else if (kind === 'record-seq') this.#cluster?.writer.raiseSeq(seqOf(value))
      else this.#replayMember(value)
    }
    this.#merge(this.#replayed.splice(0), false)
    // Left behind by a cluster that this node left.
    if (this.#cluster === undefined) return
    for await (const { kind, value } of this.#journal()) {
      if (kind === 'record' && isOf(value, ['pin', 'hold', 'profile'])) this.#replayed.push(...clusterRecordsOf(value))
      if (this.#replayed.length >= REPLAY_BATCH) this.#merge(this.#replayed.splice(0), false)
    }
    this.#merge(this.#replayed.splice(0), false)
  }

  async * #journal (): AsyncGenerator<JournalRecord> {
    for await (const record of this.#deps.journal.replay()) if (JOURNAL_KINDS.includes(record.kind)) yield record
  }

  #replayMember (value: Ipld): void {
    // A write that was under way when the cluster was left may come after that.
    if (this.#cluster !== undefined && isOf(value, ['member'])) this.#replayed.push(...clusterRecordsOf(value))
    if (!isOf(value, ['genesis'])) return
    this.#merge(this.#replayed.splice(0), false)
    const genesis = recordOf(value)
    if (genesis.kind === 'genesis') this.#start(genesis)
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#isClosed = true
    this.#watchers.clear()
    await this.#compacting
  }

  /** A genesis read again changes nothing: after a compaction records may come twice. */
  #start (genesis: GenesisRecord): void {
    if (this.#cluster?.map.genesis.hash === genesis.hash) return
    // They would let somebody into a cluster that they were not meant for.
    this.invites.clear()
    const { identity, log, now } = this.#deps
    const map = new RecordMap(genesis, { log, now, ...this.#maxPins !== undefined && { maxPins: this.#maxPins } })
    const writer = new RecordWriter({ identity, map, now })
    writer.raiseSeq(this.#usedSeq)
    this.#cluster = { map, writer }
  }

  #end ({ cluster, seq }: LeftCluster): void {
    if (this.#cluster === undefined || Buffer.compare(this.#cluster.map.cluster, cluster) !== 0) return
    this.#replayed.length = 0
    this.invites.clear()
    this.#cluster = undefined
    this.#usedSeq = Math.max(this.#usedSeq, seq)
  }

  async #keep (map: RecordMap, records: readonly ClusterRecord[], isOwn: boolean, more: readonly JournalRecord[] = []): Promise<readonly ClusterRecord[]> {
    for (const { hash } of records) this.#appending.add(hash)
    try {
      await this.#append([...records.map(journalRecord), ...more])
      // In the turn in which it became durable, as `Journal.compact` asks.
      return this.#cluster?.map === map ? this.#apply(records, isOwn) : []
    } finally {
      for (const { hash } of records) this.#appending.delete(hash)
    }
  }

  #apply (records: readonly ClusterRecord[], isOwn: boolean): readonly ClusterRecord[] {
    const { map, writer } = this.#requireCluster()
    for (const { fields } of records) if ('hlc' in fields) writer.clock.observe(fields.hlc)
    const { changes, retry } = map.apply(records)
    for (const watcher of this.#watchers) watcher({ records, changes, isOwn })
    this.#compactIfWorthwhile(map)
    return retry
  }

  /** Merges what is durable already. */
  #merge (records: readonly ClusterRecord[], isOwn: boolean): void {
    for (let next = records; next.length > 0;) {
      const fresh = this.#requireCluster().map.screen(next, { anyTime: true })
      next = fresh.length === 0 ? [] : this.#apply(fresh, isOwn)
    }
  }

  async #append (records: readonly JournalRecord[]): Promise<void> {
    await this.#deps.journal.append(records)
    this.#journalCount += records.length
  }

  #requireCluster (): ClusterState {
    if (this.#cluster === undefined) throw new HoldfastError('INVALID', 'This node is in no cluster. Invite a member, or join with an invite', { reason: 'no-cluster' })
    return this.#cluster
  }

  #compactIfWorthwhile (map: RecordMap): void {
    const liveCount = map.counts.records
    if (this.#isClosed || this.#compacting !== undefined || this.#journalCount < this.#compactAtCount) return
    if (this.#journalCount - liveCount < Math.max(this.#minDeadRecords, liveCount)) return
    this.#compacting = this.#compact().finally(() => { this.#compacting = undefined })
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
    const { map, writer } = this.#requireCluster()
    const { seq } = writer
    return [
      () => journalRecord(map.genesis),
      ...[...map.records()].map((record) => () => journalRecord({ bytes: envelopeOf(record) })),
      () => ({ kind: 'record-seq', value: { seq } }),
      ...this.invites.records(this.#deps.now()).map((record) => () => record)
    ]
  }

  * #whileOpen (records: ReadonlyArray<() => JournalRecord>): Generator<JournalRecord> {
    for (const record of records) {
      if (this.#isClosed) throw new HoldfastError('UNAVAILABLE', 'The record store is closed')
      yield record()
    }
  }
}

function journalRecord ({ bytes }: { readonly bytes: Uint8Array }): JournalRecord {
  return { kind: 'record', value: bytes }
}

/** Reports whether a record of the journal is of these kinds, without reading its fields. */
function isOf (value: Ipld, kinds: readonly RecordKind[]): boolean {
  return kinds.includes(readRecord(value, (bytes) => decodeEnvelope(bytes, { isTrusted: true })).kind)
}

function clusterRecordsOf (value: Ipld): ClusterRecord[] {
  return [recordOf(value)].filter((record) => record.kind !== 'genesis')
}

/** Signatures were checked before the record was kept, and the journal has checksums of its own. */
function recordOf (value: Ipld): AnyRecord {
  return readRecord(value, (bytes) => parseRecord(bytes, { isTrusted: true }))
}

function readRecord<T> (value: Ipld, read: (bytes: Uint8Array) => T): T {
  if (!(value instanceof Uint8Array)) throw new HoldfastError('CORRUPT', 'A record of the journal is not bytes')
  try {
    return read(value)
  } catch (cause) {
    throw new HoldfastError('CORRUPT', 'A record of the journal is not of a form that is read here', { cause })
  }
}

function seqOf (value: Ipld): number {
  if (typeof value !== 'object' || value === null || !('seq' in value) || typeof value.seq !== 'number') throw new HoldfastError('CORRUPT', 'A record-seq of the journal is not of the form that is read here')
  return value.seq
}

function leftOf (value: Ipld): LeftCluster {
  if (typeof value !== 'object' || value === null || !('cluster' in value) || !(value.cluster instanceof Uint8Array) || !('seq' in value) || typeof value.seq !== 'number') throw new HoldfastError('CORRUPT', 'A left of the journal is not of the form that is read here')
  return { cluster: value.cluster, seq: value.seq }
}
