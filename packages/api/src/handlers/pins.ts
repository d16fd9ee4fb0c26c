import { HoldfastError } from '@holdfast/core'
import { parseContentPath } from '@holdfast/dag'
import { indirectPin, type IndirectPin, indirectPins, type Pin, pinDag } from '@holdfast/pins'
import type { ClusterPin } from '@holdfast/replication'
import type { CID } from 'multiformats/cid'
import type { ApiNode } from '../api-node.ts'
import { type Exchange, progressReporter } from '../exchange.ts'
import type { ArgsOf, EventOf, PinEvent, ProgressEvent } from '../operations.ts'
import { clusterPinEvent, clusterRequest, prepareClusterPin } from './cluster-pins.ts'
import { resolveToCid } from './content-path.ts'
import { openFound, openReader } from './open-reader.ts'

/**
 * Pins on this node, and with `copies` in the cluster: first here, so that somebody has all of it, then the record.
 *
 * With `local: false` nothing is fetched: the members that the pin falls to do that.
 */
export async function pinAdd (node: ApiNode, { path, kind, name, local = true, ...args }: ArgsOf<'pin-add'>, exchange: Exchange<EventOf<'pin-add'>>): Promise<void> {
  const wanted = clusterRequest(node, args, { mode: kind, name })
  if (wanted === undefined && !local) throw new HoldfastError('INVALID', 'A pin that is not on this node is for the cluster: say how many copies there shall be')
  if (wanted !== undefined) await prepareClusterPin(node, wanted)
  const pinned = local ? await pinHere(node, { path, kind, name }, exchange) : undefined
  const cid = pinned?.cid ?? await resolveThere(node, path, exchange)
  const event = wanted === undefined ? undefined : clusterPinEvent(await node.replication.putPin({ ...wanted, cid }))
  const pin = event ?? (pinned === undefined ? undefined : toEvent(pinned))
  if (pin !== undefined) await exchange.emit({ pin })
}

/** Walks what is pinned, fetches what is not here, and pins it for the user. */
export async function pinHere (node: ApiNode, { path, kind, name }: { readonly path: string, readonly kind: 'recursive' | 'direct', readonly name?: string | undefined }, exchange: Pick<Exchange<ProgressEvent>, 'signal' | 'emit'>): Promise<Pin> {
  const { signal } = exchange
  const { found: cid, reader } = await openFound(node, path, exchange, { walk: kind === 'recursive', find: async (blocks) => await resolveToCid(blocks, path, signal) })
  using blocks = reader
  const pin = await pinDag({ blocks, pins: node.pins, leases: node.leases, cache: node.cache, references: node.references }, { cid, kind, ...(name === undefined ? {} : { name }) }, { signal, onProgress: progressReporter(exchange) })
  node.announcer.announce(cid)
  return pin
}

/** Only a path needs blocks to know what it names. */
async function resolveThere (node: ApiNode, path: string, exchange: Exchange<EventOf<'pin-add'>>): Promise<CID> {
  const { root, segments } = parseContentPath(path)
  if (segments.length === 0) return root
  using blocks = openReader(node, path, exchange)
  return await resolveToCid(blocks, path, exchange.signal)
}

/** Removes the user's pins and the cluster's that fit; what this node keeps for the cluster goes when the cluster's pins do. */
export async function pinRm (node: ApiNode, { path, id, ...match }: ArgsOf<'pin-rm'>, exchange: Exchange<EventOf<'pin-rm'>>): Promise<void> {
  if ((path === undefined) === (id === undefined)) throw new HoldfastError('INVALID', 'Say what to unpin: a CID or the id of a pin')
  if (id !== undefined) return await exchange.emit({ pin: clusterPinEvent(await node.replication.deletePin(id)) })
  const cid = await resolveToCid(node.blocks, path ?? '', exchange.signal)
  const { here, there } = pinsOf(node, cid, match)
  for (const { id } of there) await exchange.emit({ pin: clusterPinEvent(await node.replication.deletePin(id)) })
  if (here.length === 0 && there.length > 0) return
  const { kind, name } = match
  const removed = await node.pins.remove({ cid, kind, name, owner: 'user' })
  for (const pin of removed) await exchange.emit({ pin: toEvent(pin) })
}

/** The user's pins of a CID on this node, and the cluster's. */
export function pinsOf (node: ApiNode, cid: CID, { kind, name, local = false }: Pick<ArgsOf<'pin-rm'>, 'kind' | 'name' | 'local'> = {}): { here: Pin[], there: ClusterPin[] } {
  // Who was removed from its cluster has no say in its pins.
  const isOut = local || node.replication.cluster?.role === 'removed'
  return {
    here: [...node.pins.list({ cid, kind, name, owner: 'user' })],
    there: isOut ? [] : [...node.replication.pins({ cid, mode: kind, name })]
  }
}

export async function pinLs (node: ApiNode, { path, kind = 'all', name }: ArgsOf<'pin-ls'>, exchange: Exchange<EventOf<'pin-ls'>>): Promise<void> {
  const { signal } = exchange
  const cid = path === undefined ? undefined : await resolveToCid(node.blocks, path, signal)
  let found = 0
  for (const pin of kind === 'indirect' ? [] : node.pins.list()) {
    if (kind !== 'all' && pin.kind !== kind) continue
    if (name !== undefined && pin.name !== name) continue
    if (cid !== undefined && !sameMultihash(pin.cid, cid)) continue
    found++
    await exchange.emit(toEvent(pin))
  }
  // Indirect pins have no names, and are many: only when they are asked for.
  if (name === undefined && (kind === 'indirect' || (cid !== undefined && kind === 'all' && found === 0))) {
    for await (const indirect of cid === undefined ? indirectPins(node, { signal }) : oneIndirect(node, cid, signal)) {
      found++
      await exchange.emit({ cid: indirect.cid.toString(), kind: 'indirect', root: indirect.root.toString() })
    }
  }
  if (cid !== undefined && found === 0) throw new HoldfastError('NOT_FOUND', `${cid} is not pinned`, { cid: cid.toString() })
}

async function * oneIndirect (node: ApiNode, cid: CID, signal: AbortSignal): AsyncGenerator<IndirectPin> {
  const found = await indirectPin(node, cid, { signal })
  if (found !== undefined) yield found
}

function sameMultihash (a: CID, b: CID): boolean {
  return Buffer.compare(a.multihash.bytes, b.multihash.bytes) === 0
}

/** A pin of this node as the door tells it. */
export function toEvent ({ cid, kind, name, owner, createdMs }: Pin): PinEvent {
  return { cid: cid.toString(), kind, name, owner, createdMs }
}
