import { HoldfastError } from '@holdfast/core'
import type { ClusterPin } from '@holdfast/replication'
import type { CID } from 'multiformats/cid'
import type { ApiNode } from '../api-node.ts'
import type { Exchange } from '../exchange.ts'
import type { ArgsOf, EventOf, ProgressEvent } from '../operations.ts'
import { prepareClusterPin, WAIT_TIMEOUT_MS, waitForCopies } from './cluster-pins.ts'
import { resolveToCid } from './content-path.ts'
import { pinForCluster, pinHere, pinsOf } from './pins.ts'

/**
 * Pins another DAG instead of one that is pinned: on this node, in the cluster, or both, as the old one is.
 *
 * The new pin of the cluster asks for what the old one did, which is deleted when the new one has its least copies. Until then both are kept,
 * also when this fails.
 */
export async function pinUpdate (node: ApiNode, { from, to, unpin = true, timeoutMs = WAIT_TIMEOUT_MS }: ArgsOf<'pin-update'>, exchange: Exchange<EventOf<'pin-update'>>): Promise<void> {
  const { signal } = exchange
  const old = await resolveToCid(node.blocks, from, signal)
  const { here, there } = pinsOf(node, old, { kind: 'recursive' })
  if (here.length === 0 && there.length === 0) throw notPinned(old)
  for (const pin of there) await prepareClusterPin(node, requestOf(pin))
  // Somebody has to have all of it before others look for it.
  using expected = new DisposableStack()
  const forCluster = there.length === 0 ? undefined : await pinForCluster(node, { path: to, kind: 'recursive' }, expected, exchange)
  await forCluster?.reported()
  const cid = here.length === 0 && forCluster !== undefined ? forCluster.cid : (await pinHere(node, { path: to, kind: 'recursive', name: here[0]?.name }, exchange)).cid
  if (!isSame(old, cid)) {
    const deadline = AbortSignal.timeout(timeoutMs)
    for (const pin of there) await replace(node, pin, cid, { unpin, deadline, timeoutMs }, exchange)
    if (unpin && here.length > 0) await node.pins.remove({ cid: old, kind: 'recursive', owner: 'user' })
  }
  await exchange.emit({ updated: { from: old.toString(), to: cid.toString() } })
}

interface ReplaceOptions {
  readonly unpin: boolean
  readonly deadline: AbortSignal
  readonly timeoutMs: number
}

async function replace (node: ApiNode, old: ClusterPin, cid: CID, { unpin, ...wait }: ReplaceOptions, exchange: Exchange<EventOf<'pin-update'>>): Promise<void> {
  const pin = await node.replication.putPin({ ...requestOf(old), cid })
  if (!unpin) return
  await waitForCopies(node, pin, wait, exchange)
  await node.replication.deletePin(old.id)
}

function requestOf ({ mode, name, meta, copies, zones, expireAtMs }: ClusterPin): Parameters<typeof prepareClusterPin>[1] {
  return { mode, name, meta, copies: copies.max, zones, expireAtMs }
}

/** The same for the pins of this node alone, as Kubo means it. */
export async function pinUpdateHere (node: ApiNode, { from, to, unpin }: { readonly from: string, readonly to: string, readonly unpin: boolean }, exchange: Exchange<ProgressEvent>): Promise<{ from: CID, to: CID }> {
  const old = await resolveToCid(node.blocks, from, exchange.signal)
  const { here: [pin] } = pinsOf(node, old, { kind: 'recursive', local: true })
  if (pin === undefined) throw notPinned(old)
  const { cid } = await pinHere(node, { path: to, kind: 'recursive', name: pin.name }, exchange)
  if (unpin && !isSame(old, cid)) await node.pins.remove({ cid: old, kind: 'recursive', owner: 'user' })
  return { from: old, to: cid }
}

function notPinned (cid: CID): HoldfastError {
  return new HoldfastError('NOT_FOUND', `${cid} is not pinned recursively`, { reason: 'not-pinned', cid: cid.toString() })
}

function isSame (a: CID, b: CID): boolean {
  return Buffer.compare(a.multihash.bytes, b.multihash.bytes) === 0
}
