import { HoldfastError } from '@holdfast/core'
import { parseContentPath } from '@holdfast/dag'
import { indirectPin, type IndirectPin, indirectPins, type Pin, pinDag, type PinKind, type PinOwner, type PinProgress } from '@holdfast/pins'
import type { ClusterPin } from '@holdfast/replication'
import { base32 } from 'multiformats/bases/base32'
import type { CID } from 'multiformats/cid'
import type { ApiNode } from '../api-node.ts'
import { type Exchange, PROGRESS_INTERVAL_MS, progressReporter } from '../exchange.ts'
import type { ArgsOf, EventOf, PinEvent, ProgressEvent } from '../operations.ts'
import { clusterPinEvent, clusterRequest, prepareClusterPin } from './cluster-pins.ts'
import { resolveToCid } from './content-path.ts'
import { openFound, openReader } from './open-reader.ts'

/**
 * Pins on this node, for its user, or with `copies` for the cluster: first here, so that somebody has all of it, then the record.
 *
 * A pin for the cluster goes with the record, whoever ends that; what the user pinned besides stays.
 * With `local: false` nothing is fetched: the members that the pin falls to do that.
 */
export async function pinAdd (node: ApiNode, { path, kind, name, local = true, ...args }: ArgsOf<'pin-add'>, exchange: Exchange<EventOf<'pin-add'>>): Promise<void> {
  const wanted = clusterRequest(node, args, { mode: kind, name })
  if (wanted === undefined && !local) throw new HoldfastError('INVALID', 'A pin that is not on this node is for the cluster: say how many copies there shall be')
  if (wanted !== undefined) await prepareClusterPin(node, wanted)
  if (wanted === undefined) return await exchange.emit({ pin: toEvent(await pinHere(node, { path, kind, name }, exchange)) })
  using expected = new DisposableStack()
  const { cid, reported } = local ? await pinForCluster(node, { path, kind }, expected, exchange) : { cid: await resolveThere(node, path, exchange), reported: undefined }
  // What this node has is said first, so that nobody else makes a copy in its place.
  const [, pin] = await Promise.all([reported?.(), node.replication.putPin({ ...wanted, cid })])
  await exchange.emit({ pin: clusterPinEvent(pin) })
}

/** Walks what is pinned, fetches what is not here, and pins it for the cluster, whose record has to be put before `expected` is disposed. */
export async function pinForCluster (node: ApiNode, { path, kind }: Pick<PinTarget, 'path' | 'kind'>, expected: DisposableStack, exchange: Pick<Exchange<ProgressEvent>, 'signal' | 'emit'>): Promise<{ cid: CID, reported: () => Promise<void> }> {
  let byteLength = 0
  const { cid } = await pinHere(node, {
    path,
    kind,
    owner: 'cluster',
    onFound: (cid) => { expected.use(node.keeper.expect(cid, kind)) },
    onProgress: (progress) => { byteLength = progress.byteLength }
  }, exchange)
  return { cid, reported: async () => { await node.keeper.reportCopy(cid, kind, { byteLength, isVerified: true }) } }
}

interface PinTarget {
  readonly path: string
  readonly kind: PinKind
  readonly name?: string | undefined
  /** @default the user */
  readonly owner?: PinOwner | undefined
  /** Told what the path names, before anything is pinned. */
  readonly onFound?: (cid: CID) => void
  readonly onProgress?: (progress: PinProgress) => void
}

/** Walks what is pinned, fetches what is not here, and pins it. */
export async function pinHere (node: ApiNode, { path, kind, name, owner, onFound, onProgress }: PinTarget, exchange: Pick<Exchange<ProgressEvent>, 'signal' | 'emit'>): Promise<Pin> {
  const { signal } = exchange
  const { found: cid, reader } = await openFound(node, path, exchange, { walk: kind === 'recursive', find: async (blocks) => await resolveToCid(blocks, path, signal) })
  using blocks = reader
  onFound?.(cid)
  // Of a copy for the cluster every block is read: it is claimed to be verified.
  const references = owner === 'cluster' ? undefined : node.references
  const report = progressReporter(exchange, { firstAfterMs: PROGRESS_INTERVAL_MS })
  const pin = await pinDag({ blocks, pins: node.pins, leases: node.leases, cache: node.cache, references }, { cid, kind, name, owner }, {
    signal,
    onProgress: (progress) => {
      report(progress)
      onProgress?.(progress)
    }
  })
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
  if (here.length === 0 && isForCluster(node, cid, kind)) throw new HoldfastError('NOT_FOUND', `${cid} has no pin of this node alone: it is kept here for the cluster, and goes with the cluster's pin`, { reason: 'not-pinned', cid: cid.toString() })
  const removed = await node.pins.remove({ cid, kind, name, owner: 'user' })
  for (const pin of removed) await exchange.emit({ pin: toEvent(pin) })
}

function isForCluster ({ pins }: ApiNode, cid: CID, kind: PinKind | undefined): boolean {
  return pins.list({ cid, kind, owner: 'cluster' })[Symbol.iterator]().next().done !== true
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
    const names = pin.owner === 'cluster' ? node.keeper.namesOf(pin.cid, pin.kind) : pin.name === undefined ? [] : [pin.name]
    if (name !== undefined && !names.includes(name)) continue
    if (cid !== undefined && !sameMultihash(pin.cid, cid)) continue
    found++
    await exchange.emit({ ...toEvent(pin), name: name ?? names[0] })
  }
  // Indirect pins have no names, and are many: only when they are asked for.
  if (name === undefined && (kind === 'indirect' || (cid !== undefined && kind === 'all' && found === 0))) {
    for await (const indirect of cid === undefined ? indirectPins(node, { signal }) : oneIndirect(node, cid, signal)) {
      found++
      await exchange.emit({ cid: textOf(indirect.cid), kind: 'indirect', root: indirect.root.toString() })
    }
  }
  if (cid !== undefined && found === 0) throw new HoldfastError('NOT_FOUND', `${cid} is not pinned`, { cid: cid.toString() })
}

/** As `toString`, which also keeps the text of each CID: of very many that costs more than all else. */
function textOf (cid: CID): string {
  return cid.version === 1 ? base32.encode(cid.bytes) : cid.toString()
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
