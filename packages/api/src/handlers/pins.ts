import type { BlockReader } from '@holdfast/blockstore'
import { HoldfastError } from '@holdfast/core'
import { parseContentPath, resolvePath } from '@holdfast/dag'
import { indirectPins, type Pin, pinDag } from '@holdfast/pins'
import type { CID } from 'multiformats/cid'
import type { ApiNode } from '../api-node.ts'
import { type Exchange, progressReporter } from '../exchange.ts'
import type { ArgsOf, EventOf, PinEvent, ProgressEvent } from '../operations.ts'
import { openFound } from './open-reader.ts'

export async function pinAdd (node: ApiNode, { path, kind, name }: ArgsOf<'pin-add'>, exchange: Exchange<EventOf<'pin-add'>>): Promise<void> {
  const { signal } = exchange
  const { found: cid, reader } = await openFound(node, path, exchange, { walk: kind === 'recursive', find: async (blocks) => await resolveToCid(blocks, path, signal) })
  using blocks = reader
  const pin = await pinDag({ blocks, pins: node.pins, leases: node.leases, cache: node.cache }, { cid, kind, ...(name === undefined ? {} : { name }) }, { signal, onProgress: progressReporter(exchange) })
  node.announcer.announce(cid)
  await exchange.emit({ pin: toEvent(pin) })
}

export async function pinRm (node: ApiNode, { path, kind, name }: ArgsOf<'pin-rm'>, exchange: Exchange<EventOf<'pin-rm'>>): Promise<void> {
  const cid = await resolveToCid(node.blocks, path, exchange.signal)
  const removed = await node.pins.remove({ cid, ...(kind === undefined ? {} : { kind }), ...(name === undefined ? {} : { name }) })
  for (const pin of removed) await exchange.emit({ pin: toEvent(pin) })
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
  // Indirect pins have no names, and listing them walks every pinned DAG: only when they are asked for.
  if (name === undefined && (kind === 'indirect' || (cid !== undefined && kind === 'all' && found === 0))) {
    for await (const indirect of indirectPins(node, { signal })) {
      if (cid !== undefined && !sameMultihash(indirect.cid, cid)) continue
      found++
      await exchange.emit({ cid: indirect.cid.toString(), kind: 'indirect', root: indirect.root.toString() })
      if (cid !== undefined) break
    }
  }
  if (cid !== undefined && found === 0) throw new HoldfastError('NOT_FOUND', `${cid} is not pinned`, { cid: cid.toString() })
}

/**
 * Pins another DAG instead of one that is pinned, under the same name. What both share is read once more but fetched from nobody.
 *
 * The new pin is durable before the old one goes.
 */
export async function pinUpdate (node: ApiNode, { from, to, unpin }: { readonly from: string, readonly to: string, readonly unpin: boolean }, exchange: Exchange<ProgressEvent>): Promise<{ from: CID, to: CID }> {
  const { signal } = exchange
  const old = await resolveToCid(node.blocks, from, signal)
  const [pin] = node.pins.list({ cid: old, kind: 'recursive' })
  if (pin === undefined) throw new HoldfastError('NOT_FOUND', `${old} is not pinned recursively`, { reason: 'not-pinned', cid: old.toString() })
  const { name } = pin
  const { found: cid, reader } = await openFound(node, to, exchange, { walk: true, find: async (blocks) => await resolveToCid(blocks, to, signal) })
  using blocks = reader
  await pinDag({ blocks, pins: node.pins, leases: node.leases, cache: node.cache }, { cid, kind: 'recursive', ...(name === undefined ? {} : { name }) }, { signal, onProgress: progressReporter(exchange) })
  node.announcer.announce(cid)
  if (unpin && !sameMultihash(old, cid)) await node.pins.remove({ cid: old, kind: 'recursive' })
  return { from: old, to: cid }
}

/** A bare CID needs no block of its own: a pin whose DAG is damaged can still be removed. */
export async function resolveToCid (blocks: BlockReader, path: string, signal: AbortSignal): Promise<CID> {
  const { root, segments } = parseContentPath(path)
  if (segments.length === 0) return root
  const { cid, remainder } = await resolvePath(blocks, root, segments, { signal })
  if (remainder.length > 0) throw new HoldfastError('INVALID', `Path ${path} does not name a block`, { path })
  return cid
}

function sameMultihash (a: CID, b: CID): boolean {
  return Buffer.compare(a.multihash.bytes, b.multihash.bytes) === 0
}

function toEvent ({ cid, kind, name, createdMs }: Pin): PinEvent {
  return { cid: cid.toString(), kind, name, createdMs }
}
