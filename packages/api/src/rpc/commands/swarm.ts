import { HoldfastError } from '@holdfast/core'
import type { ConnectedPeer } from '@holdfast/network'
import { connect as connectHandler, disconnect as disconnectHandler } from '../../handlers/network.ts'
import { type RpcCommand, rpcCommand } from '../rpc-command.ts'
import { callExchange } from './call-exchange.ts'
import { publicKeyOf } from './node.ts'

/** Numbers of go-libp2p for who dialled whom. */
const DIRECTIONS = { inbound: 1, outbound: 2 } as const

export const peers: RpcCommand = rpcCommand({
  options: { verbose: ['bool', 'v'], streams: ['bool'], latency: ['bool'], direction: ['bool', 'd'], identify: ['bool'] },
  async run ({ node, options: { verbose = false, latency = verbose, direction = verbose, identify = verbose }, reply }) {
    const Peers = node.host.peers().map((peer) => ({
      Addr: withoutPeer(peer.addresses[0] ?? ''),
      Peer: peer.peer,
      ...(latency ? { Latency: peer.latencyMs === undefined ? 'n/a' : durationText(peer.latencyMs) } : {}),
      ...(direction ? { Direction: DIRECTIONS[peer.direction] } : {}),
      ...(identify ? { Identify: identityOf(peer) } : {})
    }))
    await reply.one({ Peers })
  }
})

/** A duration as Go writes it, to three places: `102.534ms`, `1.5s`. */
function durationText (ms: number): string {
  return ms < 1000 ? `${Number(ms.toFixed(3))}ms` : `${Number((ms / 1000).toFixed(3))}s`
}

/** What a connected peer said of itself; of its addresses those that it is connected by. */
function identityOf ({ peer, addresses, agent = '', protocols }: ConnectedPeer): object {
  return { ID: peer, PublicKey: publicKeyOf(peer), Addresses: addresses.map((address) => `${withoutPeer(address)}/p2p/${peer}`), AgentVersion: agent, Protocols: protocols }
}

export const connect: RpcCommand = rpcCommand({
  args: { names: ['address'], repeats: true },
  async run (call) {
    const { node, args, reply } = call
    const Strings: string[] = []
    for (const address of args) await connectHandler(node, { address }, callExchange(call, async ({ peer }) => { Strings.push(`connect ${peer} success`) }))
    await reply.one({ Strings })
  }
})

export const disconnect: RpcCommand = rpcCommand({
  args: { names: ['address'], repeats: true },
  async run (call) {
    const { node, args, reply } = call
    const Strings: string[] = []
    for (const address of args) await disconnectHandler(node, { peer: peerIn(address) }, callExchange(call, async ({ peer }) => { Strings.push(`disconnect ${peer} success`) }))
    await reply.one({ Strings })
  }
})

/** The addresses of the peers that are connected; others are not remembered for show. */
export const addrs: RpcCommand = rpcCommand({
  async run ({ node, reply }) {
    await reply.one({ Addrs: Object.fromEntries(node.host.peers().map(({ peer, addresses }) => [peer, addresses.map(withoutPeer)])) })
  }
})

export const addrsLocal: RpcCommand = rpcCommand({
  options: { id: ['bool'] },
  async run ({ node, options: { id = false }, reply }) {
    const addresses = node.host.addresses()
    await reply.one({ Strings: id ? addresses : addresses.map(withoutPeer) })
  }
})

export const addrsListen: RpcCommand = rpcCommand({
  async run ({ node, reply }) { await reply.one({ Strings: node.host.addresses().map(withoutPeer) }) }
})

function withoutPeer (address: string): string {
  return address.replace(/\/p2p\/[^/]+$/, '')
}

function peerIn (address: string): string {
  const peer = /(?:^|\/p2p\/|\/ipfs\/)([^/]{1,128})$/.exec(address)?.[1]
  if (peer === undefined) throw new HoldfastError('INVALID', `Address ${address.slice(0, 200)} names no peer`)
  return peer
}
