import type { Host, PeerId } from '@holdfast/network'
import type { Replication } from '../replication.ts'
import type { FetchTold } from '../sync/messages.ts'
import { VIEW_MS } from './limits.ts'

/** A member as a place for copies. */
export interface KeepingMember {
  readonly peer: PeerId
  readonly zone: string | undefined
  /** Declared bytes; 0 when it did not say yet. */
  readonly weight: number
  readonly isFull: boolean
  readonly isSelf: boolean
  /** How long nothing was heard of it, in ms; 0 while it is connected or heard. */
  readonly goneMs: number
  /** Gone for longer than the grace period. */
  readonly isDown: boolean
  /** What its last heartbeat told. */
  readonly fetching: readonly FetchTold[]
}

/** How the cluster looks from here. */
export interface ClusterSight {
  readonly members: ReadonlyMap<PeerId, KeepingMember>
  /** This node is a member. */
  readonly isMember: boolean
  /** Fewer than half of the members are there: most likely this node is the one that is gone. */
  readonly isCutOff: boolean
  /** The earlier of the own clock and the median of all: nothing ends early because one clock is wrong. */
  readonly nowMs: number
  /** When a member was removed last: its copies do not count, and nothing that it said of them is kept. */
  readonly lastRemovalMs: number
  /** Changes whenever placement may. */
  readonly signature: string
}

export interface ClusterWatchDeps {
  readonly replication: Pick<Replication, 'members' | 'cluster'>
  readonly host: Pick<Host, 'isConnected'>
  readonly now: () => number
}

/** Sees who is there and who is gone, on the monotonic clock of this node. */
export class ClusterWatch {
  readonly #deps: ClusterWatchDeps
  readonly #graceMs: number
  readonly #openedAtMs = performance.now()
  #sight: ClusterSight | undefined
  #seenAtMs = -Infinity

  constructor (deps: ClusterWatchDeps, { graceMs }: { readonly graceMs: number }) {
    this.#deps = deps
    this.#graceMs = graceMs
  }

  /** How the cluster looked a moment ago. */
  get sight (): ClusterSight {
    if (this.#sight === undefined || performance.now() - this.#seenAtMs > VIEW_MS) this.#look()
    return this.#sight ?? this.#look()
  }

  /** To be called when members or profiles changed. */
  forget (): void {
    this.#sight = undefined
  }

  #look (): ClusterSight {
    const { replication, host, now } = this.#deps
    const nowMs = now()
    const clocks = [nowMs]
    const members = new Map<PeerId, KeepingMember>()
    for (const { peer, zone, capacityBytes = 0, isSelf, isAlive, lastSeenAgoMs, heartbeat } of replication.members()) {
      const goneMs = isSelf || isAlive || host.isConnected(peer) ? 0 : lastSeenAgoMs ?? performance.now() - this.#openedAtMs
      members.set(peer, { peer, zone, weight: capacityBytes, isFull: heartbeat?.isFull ?? false, isSelf, goneMs, isDown: goneMs > this.#graceMs, fetching: heartbeat?.fetching ?? [] })
      if (!isSelf && isAlive && heartbeat !== undefined) clocks.push(heartbeat.clockMs + (lastSeenAgoMs ?? 0))
    }
    const hereCount = [...members.values()].filter(({ goneMs }) => goneMs === 0).length
    const { role, lastRemovalMs = -Infinity } = replication.cluster ?? {}
    const isCutOff = hereCount * 2 < members.size
    const signature = [role, isCutOff, ...[...members.values()].map(({ peer, zone, weight, isDown }) => `${peer} ${zone} ${weight} ${isDown}`).sort()].join('\n')
    this.#seenAtMs = performance.now()
    this.#sight = { members, isMember: role !== undefined && role !== 'removed', isCutOff, nowMs: Math.min(nowMs, lowerMedian(clocks)), lastRemovalMs, signature }
    return this.#sight
  }
}

function lowerMedian (numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor((numbers.length - 1) / 2)] ?? 0
}
