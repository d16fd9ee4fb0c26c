import { keepersOf } from '@holdfast/pins'
import type { CID } from 'multiformats/cid'
import type { ApiNode } from '../api-node.ts'
import type { Exchange } from '../exchange.ts'
import type { ArgsOf, EventOf, WhyEvent } from '../operations.ts'
import { resolveToCid } from './content-path.ts'
import { toEvent } from './pins.ts'

/** Tells which pins keep a block and by which links; of one that no pin keeps, why it is here. */
export async function pinWhy (node: ApiNode, { path }: ArgsOf<'pin-why'>, exchange: Exchange<EventOf<'pin-why'>>): Promise<void> {
  const { signal } = exchange
  const cid = await resolveToCid(node.blocks, path, signal)
  const keepers = keepersOf(node, cid, { signal })
  let count = 0
  let next = await keepers.next()
  for (; next.done !== true; next = await keepers.next()) {
    count++
    const { pin, path } = next.value
    await exchange.emit({ keeper: { pin: toEvent(pin), path: path.map(String) } })
  }
  if (!next.value) await exchange.emit({ cutShort: true })
  else if (count === 0) await exchange.emit({ other: await whyStored(node, cid, signal) })
}

async function whyStored (node: ApiNode, cid: CID, signal: AbortSignal): Promise<Extract<WhyEvent, { other: unknown }>['other']> {
  if (!await node.blocks.has(cid, { signal })) return 'absent'
  if (node.leases.isProtected(cid)) return 'in use'
  return node.cache.has(cid) ? 'cached' : 'garbage'
}

/** Tells how large a kept DAG is, and how much of it nothing else keeps. */
export async function pinStat (node: ApiNode, { path }: ArgsOf<'pin-stat'>, exchange: Exchange<EventOf<'pin-stat'>>): Promise<void> {
  const { signal } = exchange
  const cid = await resolveToCid(node.blocks, path, signal)
  await exchange.emit({ size: { cid: cid.toString(), ...await node.dagSizes.of(cid, { signal }) } })
}
