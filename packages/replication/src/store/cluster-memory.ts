import { HoldfastError, type Logger } from '@holdfast/core'
import type { Identity } from '@holdfast/network'
import { type Applied, RecordMap } from '../map/record-map.ts'
import { RecordWriter } from '../map/record-writer.ts'
import { InviteBook } from '../members/invite-book.ts'
import type { ClusterRecord, GenesisRecord } from '../record/record.ts'
import type { LeftCluster } from './journal-records.ts'

/** The cluster of this node. */
export interface ClusterState {
  readonly map: RecordMap
  readonly writer: RecordWriter
}

export interface ClusterMemoryDeps {
  readonly identity: Identity
  readonly log: Logger
  readonly now: () => number
  readonly maxPins: number | undefined
}

/** What the journal says, in memory. */
export class ClusterMemory {
  readonly invites: InviteBook = new InviteBook()
  readonly #deps: ClusterMemoryDeps
  #cluster: ClusterState | undefined
  /** The last number that this node gave out in clusters that it left: it may come back to one. */
  #usedSeq = 0

  constructor (deps: ClusterMemoryDeps) {
    this.#deps = deps
  }

  /** `undefined` until a cluster was created or joined. */
  get cluster (): ClusterState | undefined {
    return this.#cluster
  }

  /** @throws `INVALID` while this node is in no cluster. */
  requireCluster (): ClusterState {
    if (this.#cluster === undefined) throw new HoldfastError('INVALID', 'This node is in no cluster. Invite a member, or join with an invite', { reason: 'no-cluster' })
    return this.#cluster
  }

  /** Begins with a cluster. A genesis read again changes nothing: after a compaction records may come twice. */
  start (genesis: GenesisRecord): void {
    if (this.#cluster?.map.genesis.hash === genesis.hash) return
    // They would let somebody into a cluster that they were not meant for.
    this.invites.clear()
    const { identity, log, now, maxPins } = this.#deps
    const map = new RecordMap(genesis, { log, now, ...maxPins !== undefined && { maxPins } })
    const writer = new RecordWriter({ identity, map, now })
    writer.raiseSeq(this.#usedSeq)
    this.#cluster = { map, writer }
  }

  /** Forgets a cluster that this node left. */
  end ({ cluster, seq }: LeftCluster): void {
    if (this.#cluster === undefined || Buffer.compare(this.#cluster.map.cluster, cluster) !== 0) return
    this.invites.clear()
    this.#cluster = undefined
    this.#usedSeq = Math.max(this.#usedSeq, seq)
  }

  /** Forgets everything, to be read again. */
  reset (): void {
    this.invites.clear()
    this.#cluster = undefined
  }

  /** Takes in records that were screened. */
  apply (records: readonly ClusterRecord[]): Applied {
    const { map, writer } = this.requireCluster()
    for (const { fields } of records) if ('hlc' in fields) writer.clock.observe(fields.hlc)
    return map.apply(records)
  }

  /** Takes in records that are durable already. Reports whether somebody may do less by them than before. */
  merge (records: readonly ClusterRecord[]): boolean {
    let isStricter = false
    for (let next = records; next.length > 0;) {
      const fresh = this.requireCluster().map.screen(next, { anyTime: true })
      const applied = this.apply(fresh)
      isStricter ||= applied.isStricter
      next = applied.retry
    }
    return isStricter
  }
}
