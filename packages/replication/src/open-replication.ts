import { FORGET_AFTER_MS, FORGET_INTERVAL_MS, HEARTBEAT_INTERVAL_MS } from './limits.ts'
import { ClusterReplication } from './cluster/cluster-replication.ts'
import { ClusterClock, type ClockOwner } from './members/cluster-clock.ts'
import { Departure } from './members/departure.ts'
import { Membership } from './members/membership.ts'
import type { NodeLoad, Replication, ReplicationDeps, ReplicationOptions } from './replication.ts'
import { openRecordStore } from './store/record-store.ts'
import type { Heartbeat } from './sync/messages.ts'
import { openRecordSync } from './sync/record-sync.ts'

const NO_LOAD: NodeLoad = { usedBytes: 0, freeBytes: 0, isFull: false, queueLength: 0, fetching: [] }

/** Opens what this node knows of its cluster, and begins to exchange it. The journal and the host stay the caller's. */
export async function openReplication ({ identity, host, journal, log, now = Date.now, load = () => NO_LOAD }: ReplicationDeps, { profile: given, intervalMs = HEARTBEAT_INTERVAL_MS, minDeadRecords, forgetAfterMs = FORGET_AFTER_MS, forgetIntervalMs = FORGET_INTERVAL_MS }: ReplicationOptions): Promise<Replication> {
  await using opening = new AsyncDisposableStack()
  const owners = (): ClockOwner[] => [...store.cluster?.map.members.byPeer.values() ?? []].filter(({ isActive }) => isActive).map(({ peer, role }) => ({ peer, isAdmin: role === 'admin' }))
  const clock = new ClusterClock({ self: identity.peerId, now, owners, log })
  const store = opening.use(await openRecordStore({ identity, journal, log, now: clock.now }, { minDeadRecords }))
  const membership = opening.use(new Membership({ identity, host, store, log, now: clock.now }))
  await membership.open()
  const departure = opening.use(new Departure({ self: identity.peerId, host, store, membership, log }))
  await departure.open()
  const profile = typeof given === 'function' ? given(store.cluster?.map.copyTotals().get(identity.peerId)?.byteLength ?? 0) : given
  const beat = (): Heartbeat => ({ ...load(), version: profile.version, clockMs: Math.max(0, Math.floor(now())) })
  const replication = new ClusterReplication({ identity, host, store, membership, departure, clock, profile, beat, intervalMs, log, forgetAfterMs, forgetIntervalMs })
  const sync = opening.use(await openRecordSync({ host, store, log, beat, clock }, { intervalMs }))
  await replication.start(sync, opening)
  replication.closes(opening.move())
  return replication
}
