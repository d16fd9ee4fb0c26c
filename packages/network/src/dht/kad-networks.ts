import { type KadDHT, type KadDHTComponents, kadDHT, type KadDHTInit } from '@libp2p/kad-dht'
import { isPrivate } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'
import { MAX_DHT_INBOUND_STREAMS, MAX_DHT_OUTBOUND_STREAMS } from '../limits.ts'
import type { DhtMode } from '../network-options.ts'
import type { TrafficBook } from '../traffic.ts'
import { filteredComponents } from './filtered-components.ts'
import { ProviderBook } from './provider-book.ts'

/** One DHT that this node takes part in. */
export interface KadNetwork {
  readonly name: KadName
  readonly protocol: string
  readonly book: ProviderBook
  /** The library's half; there once libp2p was made. */
  readonly dht: () => KadDHT
  /** Servers in the routing table. */
  readonly serverCount: () => number
  /** For `services` of libp2p. */
  readonly service: (components: KadDHTComponents) => KadDHT
  /** The addresses that belong on this network. */
  readonly inScope: (addresses: readonly Multiaddr[]) => Multiaddr[]
}

export type KadName = 'wan' | 'lan'

export const WAN_KAD = '/ipfs/kad/1.0.0'
export const LAN_KAD = '/ipfs/lan/kad/1.0.0'

/** The DHT of networks with a swarm key: their addresses may be private, which the name of the WAN must never carry. */
export const PRIVATE_KAD = '/holdfast/kad/1.0.0'

/** Which addresses belong into the records of a network. */
type Scope = 'public' | 'private' | 'all'

interface KadProfile {
  readonly name: KadName
  readonly protocol: string
  readonly scope: Scope
  /** `undefined`: client until this node has a public address. */
  readonly clientMode: boolean | undefined
}

/** The networks of a node: of the public one WAN and LAN, of a private one its own, else the LAN with loopback addresses kept. */
export function kadNetworks (traffic: TrafficBook, options: { mode: 'public' | 'lan', dht: DhtMode, hasSwarmKey: boolean }): KadNetwork[] {
  return profilesOf(options).map((profile) => createKadNetwork(profile, traffic))
}

function profilesOf ({ mode, dht, hasSwarmKey }: { mode: 'public' | 'lan', dht: DhtMode, hasSwarmKey: boolean }): KadProfile[] {
  if (dht === 'off') return []
  const clientMode = dht === 'client'
  if (hasSwarmKey) return [{ name: 'wan', protocol: PRIVATE_KAD, scope: 'all', clientMode }]
  if (mode === 'lan') return [{ name: 'lan', protocol: LAN_KAD, scope: 'all', clientMode }]
  return [
    { name: 'wan', protocol: WAN_KAD, scope: 'public', clientMode: dht === 'auto' ? undefined : clientMode },
    { name: 'lan', protocol: LAN_KAD, scope: 'private', clientMode }
  ]
}

function createKadNetwork (profile: KadProfile, traffic: TrafficBook): KadNetwork {
  const { name, protocol, scope } = profile
  const book = new ProviderBook()
  const inScope = (addresses: readonly Multiaddr[]): Multiaddr[] => addresses.filter((address) => belongs(address, scope))
  let made: KadDHT | undefined
  return {
    name,
    protocol,
    book,
    inScope,
    dht () {
      if (made === undefined) throw new Error('The DHT is asked for before libp2p was made')
      return made
    },
    serverCount: () => made === undefined ? 0 : tableCount(made),
    service (components) {
      made = kadDHT(initOf(profile))(filteredComponents(components, { protocol, book, inScope, counter: traffic.counterOf(protocol) }))
      return made
    }
  }
}

function initOf ({ name, protocol, scope, clientMode }: KadProfile): KadDHTInit {
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

/** The routing table is a public field of the library's class, which its interface leaves out. */
function tableCount (dht: KadDHT): number {
  if (!('routingTable' in dht)) return 0
  const { routingTable } = dht
  return typeof routingTable === 'object' && routingTable !== null && 'size' in routingTable && typeof routingTable.size === 'number' ? routingTable.size : 0
}

/** The longest a timer can wait: 24.8 days. Above it Node fires at once. */
const NEVER_MS = 2 ** 31 - 1
