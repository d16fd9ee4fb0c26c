import { HoldfastError } from '@holdfast/core'
import type { ClusterPin, CopyStatus, PinRequest, PinStatus } from '@holdfast/replication'
import type { ApiNode } from '../api-node.ts'
import type { Exchange } from '../exchange.ts'
import type { ArgsOf, ClusterPinArgs, ClusterPinEvent, EventOf, PinEvent, PinStatusEvent } from '../operations.ts'
import { resolveToCid } from './content-path.ts'

/** How long to wait for copies, in ms, unless the caller says something else. */
export const WAIT_TIMEOUT_MS: number = 10 * 60 * 1000

/** What is asked of the cluster, whatever it is pinned. */
export type NewPin = Omit<PinRequest, 'id' | 'cid'>

/** Reads what arguments ask of the cluster: nothing without a number of copies. */
export function clusterRequest ({ replication }: Pick<ApiNode, 'replication'>, { copies, meta, zones, expireAtMs, expireInMs }: ClusterPinArgs, { mode, name }: Pick<NewPin, 'mode' | 'name'>): NewPin | undefined {
  if (copies === undefined) {
    if (meta === undefined && zones === undefined && expireAtMs === undefined && expireInMs === undefined) return undefined
    throw new HoldfastError('INVALID', 'Meta, zones and an expiry are for pins of the cluster: say how many copies there shall be')
  }
  return { mode, name, copies, meta, zones, expireAtMs: expireInMs === undefined ? expireAtMs : Math.floor(replication.now() + expireInMs) }
}

/** Checks that the cluster would take such a pin, before work is done for it; makes a cluster of this node alone when it is in none. */
export async function prepareClusterPin ({ replication }: ApiNode, request: NewPin): Promise<void> {
  if (replication.cluster === undefined) await replication.createCluster()
  replication.requirePinnable(request)
}

/** A pin of the cluster as an event. */
export function clusterPinEvent ({ id, cid, mode, name, meta, copies, zones, expireAtMs, origin, createdMs }: ClusterPin): PinEvent & { readonly cluster: ClusterPinEvent } {
  return { cid: cid.toString(), kind: mode, name, createdMs, cluster: { id, meta, copies, zones, expireAtMs, origin } }
}

export async function pinStatus (node: ApiNode, { wait = false, waitFor, timeoutMs = WAIT_TIMEOUT_MS, ...match }: ArgsOf<'pin-status'>, exchange: Exchange<EventOf<'pin-status'>>): Promise<void> {
  const statuses = await statusesOf(node, match, exchange.signal)
  const deadline = AbortSignal.timeout(timeoutMs)
  for (const status of statuses) {
    if (wait) await waitForCopies(node, status.pin, { waitFor, deadline, timeoutMs }, exchange)
    else await exchange.emit({ status: statusEvent(node, status) })
  }
}

async function statusesOf (node: ApiNode, { path, id, kind, name }: Pick<ArgsOf<'pin-status'>, 'path' | 'id' | 'kind' | 'name'>, signal: AbortSignal): Promise<Iterable<PinStatus>> {
  if (id !== undefined) {
    const status = node.keeper.status(id)
    if (status === undefined) throw new HoldfastError('NOT_FOUND', `No pin of the cluster has the id ${JSON.stringify(id.slice(0, 80))}`, { reason: 'not-pinned' })
    return [status]
  }
  if (path === undefined) return node.keeper.statuses({ mode: kind, name })
  const cid = await resolveToCid(node.blocks, path, signal)
  const statuses = [...node.keeper.statuses({ cid, mode: kind, name })]
  if (statuses.length === 0) throw new HoldfastError('NOT_FOUND', `${cid} is not pinned in the cluster`, { reason: 'not-pinned', cid: cid.toString() })
  return statuses
}

export interface WaitOptions {
  /** @default the least that the pin asks for */
  readonly waitFor?: number | undefined
  readonly deadline: AbortSignal
  /** What the deadline was, for its message. */
  readonly timeoutMs: number
}

/** Tells how a pin is until it has enough copies. @throws `UNAVAILABLE` with what is missing at the deadline. */
export async function waitForCopies (node: ApiNode, { id, cid }: ClusterPin, { waitFor, deadline, timeoutMs }: WaitOptions, exchange: Pick<Exchange<{ readonly status: PinStatusEvent }>, 'signal' | 'emit'>): Promise<void> {
  let last: PinStatus | undefined
  try {
    for await (const status of node.keeper.watch(id, { signal: AbortSignal.any([exchange.signal, deadline]) })) {
      last = status
      await exchange.emit({ status: statusEvent(node, status) })
      if (status.countedCount >= wantedOf(status, waitFor)) return
    }
  } catch (err) {
    exchange.signal.throwIfAborted()
    if (!deadline.aborted || last === undefined) throw err
    const why = last.missing ?? 'they are not made yet'
    throw new HoldfastError('UNAVAILABLE', `${cid} has ${last.countedCount} of ${wantedOf(last, waitFor)} copies after ${Math.round(timeoutMs / 1000)} s: ${why}. The node goes on; see holdfast pin status ${cid}`, { cause: err, cid: cid.toString() })
  }
  throw new HoldfastError('NOT_FOUND', `${cid} was unpinned while its copies were waited for, or the node stops`, { reason: 'not-pinned', cid: cid.toString() })
}

function wantedOf ({ pin: { cid }, copies: { min, max } }: PinStatus, waitFor: number = min): number {
  if (waitFor > max) throw new HoldfastError('INVALID', `${waitFor} copies would be waited for in vain: the pin of ${cid} asks for ${max}`)
  return waitFor
}

/** A status as it travels, with the names of the members. */
function statusEvent ({ replication }: ApiNode, { pin, state, copies, countedCount, zoneCount, holders, missing }: PinStatus): PinStatusEvent {
  const { cluster, cid, kind, name, createdMs } = clusterPinEvent(pin)
  const names = new Map(replication.members().map(({ peer, name }) => [peer, name]))
  return { cid, kind, name, createdMs, ...cluster, state, copies, countedCount, zoneCount, holders: holders.map((holder) => holderEvent(holder, names.get(holder.peer))), missing }
}

function holderEvent (holder: CopyStatus, name: string | undefined): PinStatusEvent['holders'][number] {
  return { ...holder, ...name !== undefined && { name } }
}
