import type { Connection, PeerId as LibraryPeerId } from '@libp2p/interface'
import { type KadDHT, type KadDHTComponents, kadDHT, type KadDHTInit } from '@libp2p/kad-dht'
import { isPrivate } from '@libp2p/utils'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { PeerId } from '../host.ts'
import type { ByteLedger } from '../limits/byte-ledger.ts'
import type { ConnectionMeters } from '../limits/connection-meters.ts'
import { addressGroup } from '../limits/address-group.ts'
import { TokenBuckets } from '../limits/token-buckets.ts'
import { MAX_DHT_INBOUND_STREAMS, MAX_DHT_OUTBOUND_STREAMS, MAX_DHT_QUESTION_BURST, MAX_DHT_QUESTIONS_PER_SECOND, MAX_DHT_RECORD_BURST, MAX_DHT_RECORDS_PER_SECOND, MAX_RATED_PEERS } from '../limits.ts'
import type { DhtMode } from '../network-options.ts'
import type { StreamBooks } from '../peer-stream.ts'
import type { TrafficBook } from '../traffic.ts'
import type { ServerRates } from './dht-filters.ts'
import { filteredComponents } from './filtered-components.ts'
import { ProviderBook } from './provider-book.ts'
import { TableGuard } from './table-guard.ts'

/** One DHT that this node takes part in. */
export interface KadNetwork {
  readonly name: KadName
  readonly protocol: string
  readonly book: ProviderBook
  /** The library's half; there once libp2p was made. */
  readonly dht: () => KadDHT
  /** Servers in the routing table. */
  readonly serverCount: () => number
  readonly isInTable: (peer: PeerId) => boolean
  /** For a stream of ours beside the library's. */
  readonly booksOf: (connection: Connection) => StreamBooks
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

export interface KadDeps {
  readonly traffic: TrafficBook
  readonly ledger: ByteLedger
  readonly meters: ConnectionMeters
}

export interface KadOptions {
  readonly mode: 'public' | 'lan'
  readonly dht: DhtMode
  readonly hasSwarmKey: boolean
  readonly limitLoopback?: boolean
}

/** The networks of a node: of the public one WAN and LAN, of a private one its own, else the LAN with loopback addresses kept. */
export function kadNetworks (deps: KadDeps, options: KadOptions): KadNetwork[] {
  return profilesOf(options).map((profile) => createKadNetwork(profile, deps, options))
}

function profilesOf ({ mode, dht, hasSwarmKey }: KadOptions): KadProfile[] {
  if (dht === 'off') return []
  const clientMode = dht === 'client'
  if (hasSwarmKey) return [{ name: 'wan', protocol: PRIVATE_KAD, scope: 'all', clientMode }]
  if (mode === 'lan') return [{ name: 'lan', protocol: LAN_KAD, scope: 'all', clientMode }]
  return [
    { name: 'wan', protocol: WAN_KAD, scope: 'public', clientMode: dht === 'auto' ? undefined : clientMode },
    { name: 'lan', protocol: LAN_KAD, scope: 'private', clientMode }
  ]
}

function createKadNetwork (profile: KadProfile, { traffic, ledger, meters }: KadDeps, { limitLoopback = false }: KadOptions): KadNetwork {
  const { name, protocol, scope } = profile
  const book = new ProviderBook()
  const counter = traffic.counterOf(protocol)
  const rates = serverRates()
  const inScope = (addresses: readonly Multiaddr[]): Multiaddr[] => addresses.filter((address) => belongs(address, scope))
  let made: { dht: KadDHT, table: RoutingTable, guard: TableGuard } | undefined
  return {
    name,
    protocol,
    book,
    inScope,
    dht () {
      if (made === undefined) throw new Error('The DHT is asked for before libp2p was made')
      return made.dht
    },
    serverCount: () => made?.table.size ?? 0,
    isInTable: (peer) => made?.guard.has(peer) ?? false,
    booksOf: (connection) => ({ counter, held: ledger.hold(connection.remotePeer.toString()), sample: () => meters.sample(connection) }),
    service (components) {
      const guard = new TableGuard(components.peerId.toMultihash().bytes, { limitLoopback })
      const admit = (peer: LibraryPeerId): void => {
        const ip = components.connectionManager.getConnections(peer).map((connection) => traffic.ipOf(connection)).find((ip) => ip !== undefined)
        guard.admit({ peer: peer.toString(), id: peer.toMultihash().bytes, group: addressGroup(ip ?? '') })
      }
      const booksOf = (peer: LibraryPeerId): Pick<StreamBooks, 'counter' | 'held'> => ({ counter, held: ledger.hold(peer.toString()) })
      const dht = kadDHT(initOf(profile))(filteredComponents(components, { protocol, book, inScope, rates, booksOf, admit }))
      const table = tableOf(dht)
      table.addEventListener('peer:add', ({ detail }) => { guard.added(detail.toString()) })
      table.addEventListener('peer:remove', ({ detail }) => { guard.removed(detail.toString()) })
      made = { dht, table, guard }
      return dht
    }
  }
}

function serverRates (): ServerRates {
  const records = new TokenBuckets({ perSecond: MAX_DHT_RECORDS_PER_SECOND, burst: MAX_DHT_RECORD_BURST, maxKeys: MAX_RATED_PEERS })
  const questions = new TokenBuckets({ perSecond: MAX_DHT_QUESTIONS_PER_SECOND, burst: MAX_DHT_QUESTION_BURST, maxKeys: MAX_RATED_PEERS })
  return { takeRecord: (peer) => records.take(peer), takeQuestion: (peer) => questions.take(peer) }
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

/** What we use of the library's routing table. */
interface RoutingTable {
  readonly size: number
  addEventListener(type: 'peer:add' | 'peer:remove', listener: (event: CustomEvent<LibraryPeerId>) => void): void
}

/** The routing table is a public field of the library's class, which its interface leaves out. */
function tableOf (dht: KadDHT): RoutingTable {
  const table: unknown = 'routingTable' in dht ? dht.routingTable : undefined
  if (!isRoutingTable(table)) throw new Error('This version of the DHT has no routing table that can be watched')
  return table
}

function isRoutingTable (value: unknown): value is RoutingTable {
  return typeof value === 'object' && value !== null && 'size' in value && typeof value.size === 'number' && 'addEventListener' in value && typeof value.addEventListener === 'function'
}

/** The longest a timer can wait: 24.8 days. Above it Node fires at once. */
const NEVER_MS = 2 ** 31 - 1
