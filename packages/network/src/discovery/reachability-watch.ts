import type { Connection, Libp2p } from '@libp2p/interface'
import type { AddressManager } from './libp2p-parts.ts'
import { isPrivate } from '@libp2p/utils'
import { CODE_P2P_CIRCUIT, type Multiaddr } from '@multiformats/multiaddr'
import type { Reachability } from '../host.ts'
import { MAX_DIAL_BACK_RESULTS } from './discovery-limits.ts'
import { type DialBackResult, reachabilityOf } from './reachability.ts'

export interface ReachabilityOptions {
  readonly mode: 'public' | 'lan'
  readonly asksPeers: boolean
  readonly listens: boolean
}

/** Collects what tells whether this node can be dialled. */
export class ReachabilityWatch {
  readonly #options: ReachabilityOptions
  readonly #dialBacks = new Map<string, DialBackResult>()
  #node: Pick<Libp2p, 'getConnections'> | undefined
  #addressManager: AddressManager | undefined
  #inbound: { readonly address: string, readonly atMs: number } | undefined

  constructor (options: ReachabilityOptions) {
    this.#options = options
  }

  /** Begins to watch, once libp2p was made. */
  attach (node: Pick<Libp2p, 'getConnections' | 'addEventListener'>, addressManager: AddressManager): void {
    this.#node = node
    this.#addressManager = addressManager
    node.addEventListener('connection:open', ({ detail }) => { this.#onConnection(detail, node) })
  }

  /** Takes the outcome of AutoNAT for one address; a later one replaces it. */
  noteDialBack (result: DialBackResult): void {
    this.#dialBacks.delete(result.address)
    this.#dialBacks.set(result.address, result)
    const [oldest] = this.#dialBacks.keys()
    if (this.#dialBacks.size > MAX_DIAL_BACK_RESULTS && oldest !== undefined) this.#dialBacks.delete(oldest)
  }

  reachability (): Reachability {
    const known = this.#addressManager?.getAddressesWithMetadata() ?? []
    const peers = this.#node?.getConnections() ?? []
    return reachabilityOf({
      ...this.#options,
      publicAddresses: known.map(({ multiaddr }) => multiaddr).filter(isPublic).map(String),
      dialBacks: [...this.#dialBacks.values()],
      inbound: this.#inbound,
      publicPeerCount: new Set(peers.filter(({ remoteAddr, direct }) => direct && isPublic(remoteAddr)).map(({ remotePeer }) => remotePeer.toString())).size,
      nowMs: Date.now()
    })
  }

  #onConnection ({ direction, direct, remoteAddr, remotePeer }: Connection, node: Pick<Libp2p, 'getConnections'>): void {
    if (direction !== 'inbound' || !direct || !isPublic(remoteAddr)) return
    // Beside a relayed connection it may be one that came through a hole that we punched.
    if (node.getConnections(remotePeer).some((other) => !other.direct)) return
    this.#inbound = { address: remoteAddr.toString(), atMs: Date.now() }
  }
}

function isPublic (address: Multiaddr): boolean {
  return !isPrivate(address) && !address.getComponents().some(({ code }) => code === CODE_P2P_CIRCUIT)
}
