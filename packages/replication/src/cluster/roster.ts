import type { PeerId } from '@holdfast/network'
import { ALIVE_INTERVALS } from '../limits.ts'
import type { ClusterClock } from '../members/cluster-clock.ts'
import { clusterIdText } from '../members/membership.ts'
import type { Role } from '../record/record.ts'
import type { MemberState, MemberTable } from '../members/member-table.ts'
import type { RecordStore } from '../store/record-store.ts'
import type { Heartbeat } from '../sync/messages.ts'
import type { RecordSync } from '../sync/record-sync.ts'
import type { Standing } from './standing.ts'

/** The cluster that this node is in. */
export interface ClusterView {
  /** Hash of the genesis, in base32. */
  readonly id: string
  readonly name: string
  /** What this node may do; `removed` when an admin took it out. */
  readonly role: Role | 'removed'
  /** When a member was removed or left last, in ms since 1970 on the clock of the admin who signed it; `undefined` when none was. */
  readonly lastRemovalMs: number | undefined
}

/** A member of the cluster, as far as this node knows. */
export interface MemberView {
  readonly peer: PeerId
  readonly role: Role
  readonly isSelf: boolean
  /** What it calls itself. */
  readonly name: string | undefined
  /** What an admin said, else what the member says. */
  readonly zone: string | undefined
  /** Declared; `undefined` until its profile came. */
  readonly capacityBytes: number | undefined
  readonly version: string | undefined
  readonly addresses: readonly string[]
  /** Heard of within the last three heartbeats, on the clock of this node. */
  readonly isAlive: boolean
  /** How long ago it was heard, in ms; `undefined` when it was not since this node started. */
  readonly lastSeenAgoMs: number | undefined
  /** What its last heartbeat said; of this node, how it is now. */
  readonly heartbeat: Heartbeat | undefined
  /** Copies that it says it has. */
  readonly copyCount: number
  /** How far its clock is ahead of the time that most members agree on, in ms; below 0 when it is behind. `undefined` when it was not heard since this node started. */
  readonly clockAheadMs: number | undefined
}

export interface RosterDeps {
  readonly self: PeerId
  readonly store: RecordStore
  readonly standing: Standing
  /** How this node is now. */
  readonly beat: () => Heartbeat
  readonly clock: Pick<ClusterClock, 'aheadMs'>
  readonly intervalMs: number
}

/** The cluster and its members, as this node sees them. */
export class Roster {
  readonly #deps: RosterDeps
  /** Hears the others; absent until the exchange runs. */
  sync: Pick<RecordSync, 'heard'> | undefined

  constructor (deps: RosterDeps) {
    this.#deps = deps
  }

  get cluster (): ClusterView | undefined {
    const { store, standing: { role } } = this.#deps
    const map = store.cluster?.map
    return map === undefined || role === undefined ? undefined : { id: clusterIdText(map.cluster), name: map.genesis.fields.name, role, lastRemovalMs: lastRemovalMs(map.members) }
  }

  members (): MemberView[] {
    const map = this.#deps.store.cluster?.map
    if (map === undefined) return []
    const copies = map.copyTotals()
    return [...map.members.byPeer.values()].filter(({ isActive }) => isActive).map((member) => this.#view(member, copies.get(member.peer)?.count ?? 0))
  }

  #view ({ peer, role, zone }: MemberState, copyCount: number): MemberView {
    const { self, store, beat, clock, intervalMs } = this.#deps
    const profile = store.cluster?.map.profile(peer)?.fields
    const isSelf = peer === self
    const heard = this.sync?.heard(peer)
    const lastSeenAgoMs = isSelf ? 0 : heard === undefined ? undefined : performance.now() - heard.atMs
    return {
      peer,
      role,
      isSelf,
      name: profile?.name,
      zone: zone ?? (profile?.zone === '' ? undefined : profile?.zone),
      capacityBytes: profile?.capacityBytes,
      version: heard?.beat?.version ?? profile?.version,
      addresses: profile?.addresses ?? [],
      isAlive: lastSeenAgoMs !== undefined && lastSeenAgoMs <= intervalMs * ALIVE_INTERVALS,
      lastSeenAgoMs,
      heartbeat: isSelf ? beat() : heard?.beat,
      copyCount,
      clockAheadMs: clock.aheadMs(peer)
    }
  }
}

function lastRemovalMs ({ byPeer }: MemberTable): number | undefined {
  const times = [...byPeer.values()].flatMap(({ isActive, record }) => isActive || record === undefined ? [] : [record.fields.hlc[0]])
  return times.length === 0 ? undefined : Math.max(...times)
}
