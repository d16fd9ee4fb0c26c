import type { Logger } from '@holdfast/core'
import type { DhtRouting } from './dht/dht-routing.ts'
import type { Host } from './host.ts'
import type { Identity } from './identity.ts'

/** `public`: the IPFS network and this LAN. `lan`: this LAN and this machine only. `off`: nobody. */
export type NetworkMode = 'public' | 'lan' | 'off'

/** `auto`: client on the WAN until others can dial this node, server on the LAN. `off`: no DHT. */
export type DhtMode = 'auto' | 'client' | 'server' | 'off'

export interface NetworkOptions {
  readonly mode: NetworkMode
  /** Multiaddrs to listen on. None: this node dials only. @default `DEFAULT_LISTEN` */
  readonly listen?: readonly string[]
  /** @default 'auto' */
  readonly dht?: DhtMode
  /** Whether the limits per address group also hold for loopback, where every program of this machine has the same. @default false */
  readonly limitLoopback?: boolean
}

export interface NetworkDeps {
  readonly identity: Identity
  readonly log: Logger
}

/** Port 4001 as Kubo, on every interface. */
export const DEFAULT_LISTEN: readonly string[] = ['/ip4/0.0.0.0/tcp/4001', '/ip6/::/tcp/4001']

/** A host and what its DHT can do. */
export type NetworkHost = Host & { readonly routing: DhtRouting }
