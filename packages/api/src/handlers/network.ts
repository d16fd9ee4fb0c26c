import { HoldfastError } from '@holdfast/core'
import { parseContentPath } from '@holdfast/dag'
import type { ApiNode } from '../api-node.ts'
import type { Exchange } from '../exchange.ts'
import type { ArgsOf, EventOf } from '../operations.ts'

/** How long a search for providers goes on, in milliseconds, unless the caller ends it. */
export const FIND_PROVIDERS_TIMEOUT_MS: number = 60 * 1000

export async function peers (node: ApiNode, _args: object, exchange: Exchange<EventOf<'peers'>>): Promise<void> {
  for (const peer of node.host.peers()) await exchange.emit(peer)
}

export async function connect (node: ApiNode, { address }: ArgsOf<'connect'>, exchange: Exchange<EventOf<'connect'>>): Promise<void> {
  await exchange.emit({ peer: await node.host.connect(address, exchange) })
}

export async function disconnect (node: ApiNode, { peer }: ArgsOf<'disconnect'>, exchange: Exchange<EventOf<'disconnect'>>): Promise<void> {
  if (!node.host.isConnected(peer)) throw new HoldfastError('NOT_FOUND', `Peer ${peer} is not connected`, { peer })
  await node.host.disconnect(peer)
  await exchange.emit({ peer })
}

export async function stats (node: ApiNode, _args: object, exchange: Exchange<EventOf<'stats'>>): Promise<void> {
  const { last, ...announcements } = node.announcer.status()
  await exchange.emit({
    peerCount: node.host.peers().length,
    reachability: node.host.reachability(),
    traffic: node.host.traffic(),
    announcements: { ...announcements, ...(last === undefined ? {} : { last: { ...last, cid: last.cid.toString() } }) }
  })
}

export async function provide (node: ApiNode, { cid: text }: ArgsOf<'provide'>, exchange: Exchange<EventOf<'provide'>>): Promise<void> {
  const { root } = parseContentPath(text)
  // Announcing what is not here would send others to a node that cannot help them.
  if (!await node.blocks.has(root, exchange)) throw new HoldfastError('NOT_FOUND', `Block ${root} is not here, so it is not announced`, { cid: root.toString() })
  await exchange.emit({ cid: root.toString(), ...await node.announcer.provide(root, exchange) })
}

export async function findProviders (node: ApiNode, { cid: text, limit = 20 }: ArgsOf<'find-providers'>, exchange: Exchange<EventOf<'find-providers'>>): Promise<void> {
  const { root } = parseContentPath(text)
  const signal = AbortSignal.any([exchange.signal, AbortSignal.timeout(FIND_PROVIDERS_TIMEOUT_MS)])
  let count = 0
  try {
    for await (const provider of node.routing.findProviders(root, { signal })) {
      await exchange.emit(provider)
      if (++count >= limit) return
    }
  } catch (err) {
    // The deadline ends a search that found somebody; without anybody it is a failure.
    if (exchange.signal.aborted || count === 0) throw err
  }
  if (count === 0) throw new HoldfastError('NOT_FOUND', `No provider of ${root} was found among ${node.host.peers().length} connected peers and whom they know`, { cid: root.toString() })
}
