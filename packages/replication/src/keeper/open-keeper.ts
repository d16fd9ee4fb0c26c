import { ClusterWatch } from './cluster-watch.ts'
import type { Keeper, KeeperDeps, KeeperOptions } from './keeper.ts'
import { GRACE_MS, KEEPER_INTERVAL_MS } from './limits.ts'
import { NodeKeeper } from './node-keeper.ts'
import { OwnCopies } from './own-copies.ts'

/** Begins to keep what falls to this node. What it is given stays the caller's, and must outlive it. */
export function openKeeper ({ replication, exchange, blocks, pins, leases, cache, host, log, now = () => replication.now() }: KeeperDeps, { capacityBytes, graceMs = GRACE_MS, intervalMs = KEEPER_INTERVAL_MS, repairBytesPerSecond, stallMs, retryMs }: KeeperOptions): Keeper {
  const watch = new ClusterWatch({ replication, host, now }, { graceMs })
  const copies = new OwnCopies({ self: host.peer, exchange, pins, leases, cache, replication, log }, { capacityBytes, repairBytesPerSecond, stallMs, retryMs })
  const keeper = new NodeKeeper({ replication, pins, blocks, host, self: host.peer, watch, copies, log, graceMs, intervalMs })
  keeper.open()
  return keeper
}
