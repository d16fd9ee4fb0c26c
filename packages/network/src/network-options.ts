import type { Logger } from '@holdfast/core'
import type { DhtRouting } from './dht/dht-routing.ts'
import type { BackoffOptions } from './discovery/backoff.ts'
import type { Host } from './host.ts'
import type { Identity } from './identity.ts'

/** `public`: the IPFS network and this LAN. `lan`: this LAN and this machine only. `off`: nobody. */
export type NetworkMode = 'public' | 'lan' | 'off'

/** `auto`: client on the WAN until others can dial this node, server on the LAN. `off`: no DHT. */
export type DhtMode = 'auto' | 'client' | 'server' | 'off'

/** How a node finds others and is found. Each part is loaded only when it is on. */
export interface DiscoveryOptions {
  /**
   * Multiaddrs with `/p2p/…` that are dialled in the background until enough peers are connected. The word `auto` stands for
   * the public peers of IPFS in mode `public` without a swarm key, else for nobody. Empty: nobody is dialled unasked, also
   * none that is remembered. @default ['auto']
   */
  readonly bootstrap?: readonly string[]
  /** Finds peers on the LAN by multicast DNS. @default true */
  readonly mdns?: boolean
  /** Asks the router to forward the port. @default true in mode `public` */
  readonly upnp?: boolean
  /** Lets a relay carry connections to this node while nobody can dial it, and dials others through relays. @default true in mode `public` */
  readonly relayClient?: boolean
  /** Asks peers to dial this node back, and dials back for others. @default true in mode `public` */
  readonly autonat?: boolean
  /** Replaces relayed connections by direct ones (DCUtR). @default true in mode `public` */
  readonly holePunching?: boolean
}

export interface NetworkOptions extends DiscoveryOptions {
  readonly mode: NetworkMode
  /** Multiaddrs to listen on. None: this node dials only. @default `DEFAULT_LISTEN` */
  readonly listen?: readonly string[]
  /** Multiaddrs that others are told instead of those that this node listens on and learns of: of a router that forwards a port. @default none */
  readonly announce?: readonly string[]
  /** @default 'auto' */
  readonly dht?: DhtMode
  /** The waits between rounds that did not reach enough bootstrap peers. @default 5 s, doubled up to 10 min */
  readonly bootstrapRetry?: BackoffOptions
  /** The bytes of a `swarm.key`: connects only to nodes that have the same. A secret. */
  readonly swarmKey?: Uint8Array | undefined
  /** Whether the limits per address group also hold for loopback, where every program of this machine has the same. @default false */
  readonly limitLoopback?: boolean
}

export interface NetworkDeps {
  readonly identity: Identity
  readonly log: Logger
  /** Where good peers are remembered from one run to the next; nowhere when absent. */
  readonly peerFile?: string
}

/** Port 4001 as Kubo, on every interface. */
export const DEFAULT_LISTEN: readonly string[] = ['/ip4/0.0.0.0/tcp/4001', '/ip6/::/tcp/4001']

/** Finds nobody and asks nobody: for tests, and for who connects peers by hand. */
export const NO_DISCOVERY: Required<DiscoveryOptions> = { bootstrap: [], mdns: false, upnp: false, relayClient: false, autonat: false, holePunching: false }

/** A host and what its DHT can do. */
export type NetworkHost = Host & { readonly routing: DhtRouting }
