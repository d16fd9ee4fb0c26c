import type { Libp2p, StreamMiddleware } from '@libp2p/interface'
import { type KadDHT, type KadDHTComponents, kadDHT, type KadDHTInit } from '@libp2p/kad-dht'
import { isPrivate } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'
import { readMultiaddr } from '../addresses.ts'
import { MAX_DHT_INBOUND_STREAMS, MAX_DHT_OUTBOUND_STREAMS } from '../limits.ts'
import type { DhtMode } from '../network-options.ts'
import type { TrafficBook } from '../traffic.ts'
import { clientFilter, serverFilter } from './dht-filters.ts'
import type { DhtPeer } from './dht-message.ts'
import { filteredStream } from './filtered-stream.ts'
import { ProviderBook } from './provider-book.ts'

/** Which addresses belong into the records of a network. */
type Scope = 'public' | 'private' | 'all'

/** One DHT that this node takes part in. */
export interface KadNetwork {
  readonly name: 'wan' | 'lan'
  readonly protocol: string
  readonly book: ProviderBook
  /** The library's half; there once libp2p was made. */
  readonly dht: () => KadDHT
  /** For `services` of libp2p. */
  readonly service: (components: KadDHTComponents) => KadDHT
  /** The addresses that belong on this network. */
  readonly inScope: (addresses: readonly Multiaddr[]) => Multiaddr[]
}

export const WAN_KAD = '/ipfs/kad/1.0.0'
export const LAN_KAD = '/ipfs/lan/kad/1.0.0'

/** The DHT of networks with a swarm key: their addresses may be private, which the name of the WAN must never carry. */
export const PRIVATE_KAD = '/holdfast/kad/1.0.0'

/** The networks of a node: of the public one WAN and LAN, of a private one its own, else the LAN with loopback addresses kept. */
export function kadNetworks ({ mode, dht, hasSwarmKey }: { mode: 'public' | 'lan', dht: DhtMode, hasSwarmKey: boolean }): KadNetwork[] {
  if (dht === 'off') return []
  const isClient = dht === 'client'
  if (hasSwarmKey) return [kadNetwork('wan', PRIVATE_KAD, 'all', isClient)]
  if (mode === 'lan') return [kadNetwork('lan', LAN_KAD, 'all', isClient)]
  return [kadNetwork('wan', WAN_KAD, 'public', dht === 'auto' ? undefined : isClient), kadNetwork('lan', LAN_KAD, 'private', isClient)]
}

/** Puts our limits between the library and its peers, on both sides of every network. */
export function filterKadStreams (node: Libp2p, networks: readonly KadNetwork[], traffic: TrafficBook): void {
  for (const network of networks) node.use(network.protocol, middleware(network, traffic))
}

function middleware (network: KadNetwork, traffic: TrafficBook): StreamMiddleware {
  const addressesFor = ({ id, addresses }: DhtPeer): DhtPeer => {
    const known = addresses.map(readMultiaddr).filter((address) => address !== undefined)
    return { id, addresses: network.inScope(known).map(({ bytes }) => bytes) }
  }
  return (stream, connection, next) => {
    const filter = stream.direction === 'inbound'
      ? serverFilter(connection.remotePeer.toMultihash().bytes, { book: network.book, addressesFor })
      : clientFilter()
    next(filteredStream(stream, filter, traffic.counterOf(network.protocol)), connection)
  }
}

function kadNetwork (name: 'wan' | 'lan', protocol: string, scope: Scope, clientMode: boolean | undefined): KadNetwork {
  let made: KadDHT | undefined
  const init = initOf(name, protocol, scope, clientMode)
  return {
    name,
    protocol,
    book: new ProviderBook(),
    dht () {
      if (made === undefined) throw new Error('The DHT is asked for before libp2p was made')
      return made
    },
    service (components) {
      made = kadDHT(init)(components)
      return made
    },
    inScope: (addresses) => addresses.filter((address) => belongs(address, scope))
  }
}

function initOf (name: string, protocol: string, scope: Scope, clientMode: boolean | undefined): KadDHTInit {
  return {
    protocol,
    logPrefix: `dht-${name}`,
    datastorePrefix: `/dht-${name}`,
    metricsPrefix: `dht_${name}`,
    peerInfoMapper: (peer) => ({ ...peer, multiaddrs: peer.multiaddrs.filter((address) => belongs(address, scope)) }),
    ...(clientMode === undefined ? {} : { clientMode }),
    maxInboundStreams: MAX_DHT_INBOUND_STREAMS,
    maxOutboundStreams: MAX_DHT_OUTBOUND_STREAMS,
    // Nobody to ask is an answer; we do the waiting, with a deadline.
    allowQueryWithZeroPeers: true,
    // Our own book expires what it holds and our own schedule announces again.
    reprovide: { interval: NEVER_MS }
  }
}

function belongs (address: Multiaddr, scope: Scope): boolean {
  return scope === 'all' || isPrivate(address) === (scope === 'private')
}

/** The longest a timer can wait: 24.8 days. Above it Node fires at once. */
const NEVER_MS = 2 ** 31 - 1
