import { type AbortOptions, HoldfastError, type Logger } from '@holdfast/core'
import type { Libp2p, PeerId as LibraryPeerId, PeerInfo } from '@libp2p/interface'
import { peerIdFromMultihash } from '@libp2p/peer-id'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import * as Digest from 'multiformats/hashes/digest'
import { setTimeout as sleep } from 'node:timers/promises'
import { parsePeerId, readMultiaddr } from '../addresses.ts'
import { deadline } from '../deadline.ts'
import type { PeerId } from '../host.ts'
import { announceTo } from './announce.ts'
import type { DhtPeer } from './dht-message.ts'
import type { KadNetwork } from './kad-networks.ts'
import { merge } from './merge.ts'
import { Turns } from './turns.ts'

/** A peer that is said to have a block, and where it may be found. */
export interface FoundProvider {
  readonly peer: PeerId
  /** Multiaddrs; none when only the peer id is known. */
  readonly addresses: readonly string[]
}

export interface ProvideResult {
  /** Peers that took the record, and said so. */
  readonly acceptedCount: number
  /** Why others did not; one sentence each. */
  readonly failures: readonly string[]
}

/** What the DHT can do, WAN and LAN as one. */
export interface DhtRouting {
  /** Yields providers as they are found, each peer once; ends when the search is over. */
  findProviders(key: Uint8Array, options?: AbortOptions): AsyncIterable<FoundProvider>

  /**
   * Leaves a record with the peers nearest to the key that this node has the block.
   *
   * @param key The bytes of a multihash.
   */
  provide(key: Uint8Array, options?: AbortOptions): Promise<ProvideResult>

  findPeer(peer: PeerId, options?: AbortOptions): Promise<FoundProvider | undefined>

  /** Whether there is anybody to ask. In the first `READY_WAIT_MS` of a node a search waits for that, later it ends at once. */
  readonly isReady: boolean
}

/** How long one search or walk may take, in ms. Walks on the public DHT end within 60 s or not at all. */
export const WALK_TIMEOUT_MS = 60_000

/** How long after its start a node's searches wait for the first DHT server, in ms: it needs one or two seconds. */
export const READY_WAIT_MS = 5_000

/** Walks that run at once. Each asks a peer over one stream at a time, and others allow 32: with more, records get lost. */
export const MAX_PARALLEL_WALKS = 24

/** Peers that get a record at the same time, per walk. */
const PARALLEL_ANNOUNCEMENTS = 10

/** How often the wait for a DHT server looks again, in ms. */
const READY_POLL_MS = 50

export interface DhtRoutingDeps {
  readonly node: Libp2p
  readonly networks: readonly KadNetwork[]
  readonly log: Logger
}

export function createDhtRouting (deps: DhtRoutingDeps): DhtRouting {
  return new KadRouting(deps)
}

class KadRouting implements DhtRouting {
  readonly #node: Libp2p
  readonly #networks: readonly KadNetwork[]
  readonly #log: Logger
  readonly #openedMs = performance.now()
  readonly #walks = new Turns(MAX_PARALLEL_WALKS)

  constructor ({ node, networks, log }: DhtRoutingDeps) {
    this.#node = node
    this.#networks = networks
    this.#log = log
  }

  get isReady (): boolean {
    return this.#networks.some(({ serverCount }) => serverCount() > 0)
  }

  async * findProviders (key: Uint8Array, { signal }: AbortOptions = {}): AsyncIterable<FoundProvider> {
    signal?.throwIfAborted()
    const cid = cidOf(key)
    const seen = new Set<PeerId>([this.#node.peerId.toString()])
    const isNew = ({ peer }: FoundProvider): boolean => !seen.has(peer) && seen.add(peer).has(peer)
    yield * this.#networks.flatMap((network) => network.book.find(key).map((provider) => found(network, peerInfoOf(provider)))).filter(isNew)

    using walk = deadline(WALK_TIMEOUT_MS, signal)
    await this.#untilReady(walk.signal)
    using _turn = await this.#walks.take(walk.signal)
    try {
      for await (const provider of merge(this.#networks.map((network) => this.#search(network, cid, walk.signal)))) if (isNew(provider)) yield provider
    } finally {
      walk.abort(new Error('The search is over'))
    }
    signal?.throwIfAborted()
  }

  async provide (key: Uint8Array, { signal }: AbortOptions = {}): Promise<ProvideResult> {
    signal?.throwIfAborted()
    cidOf(key)
    // Whoever announces much at once waits in line here, which is no fault of the walk.
    using _turn = await this.#walks.take(signal)
    using walk = deadline(WALK_TIMEOUT_MS, signal)
    await this.#untilReady(walk.signal)
    const results = await Promise.all(this.#networks.map(async (network) => await this.#provideOn(network, key, walk.signal)))
    signal?.throwIfAborted()
    return { acceptedCount: results.reduce((sum, { acceptedCount }) => sum + acceptedCount, 0), failures: results.flatMap(({ failures }) => failures) }
  }

  async findPeer (peer: PeerId, { signal }: AbortOptions = {}): Promise<FoundProvider | undefined> {
    signal?.throwIfAborted()
    const id = parsePeerId(peer)
    using walk = deadline(WALK_TIMEOUT_MS, signal)
    await this.#untilReady(walk.signal)
    using _turn = await this.#walks.take(walk.signal)
    try {
      for await (const found of merge(this.#networks.map((network) => this.#searchPeer(network, id, walk.signal)))) {
        if (found.addresses.length > 0) return found
      }
    } finally {
      walk.abort(new Error('The search is over'))
    }
    signal?.throwIfAborted()
    return undefined
  }

  async * #search (network: KadNetwork, cid: CID, signal: AbortSignal): AsyncGenerator<FoundProvider> {
    try {
      for await (const event of network.dht().findProviders(cid, { signal })) {
        if (event.name === 'PROVIDER') for (const provider of event.providers) yield found(network, provider)
      }
    } catch (err) {
      this.#log.debug('A search for providers ended early', { network: network.name, cid: cid.toString(), err })
    }
  }

  async * #searchPeer (network: KadNetwork, id: LibraryPeerId, signal: AbortSignal): AsyncGenerator<FoundProvider> {
    try {
      for await (const event of network.dht().findPeer(id, { signal })) {
        if (event.name === 'FINAL_PEER') yield found(network, event.peer)
      }
    } catch (err) {
      this.#log.debug('A search for a peer ended without it', { network: network.name, peer: id.toString(), err })
    }
  }

  async #provideOn (network: KadNetwork, key: Uint8Array, signal: AbortSignal): Promise<ProvideResult> {
    const addresses = this.#ownAddresses(network)
    if (addresses.length === 0) return { acceptedCount: 0, failures: [`No address of this node belongs on the ${network.name.toUpperCase()}: nobody there could dial it`] }
    network.book.addOwn(key, { id: this.#node.peerId.toMultihash().bytes, addresses })
    const nearest = await this.#nearest(network, key, signal)
    if (nearest.length === 0) return { acceptedCount: 0, failures: [`No DHT server of the ${network.name.toUpperCase()} answered`] }

    const failures: string[] = []
    let acceptedCount = 0
    const announceNext = async (): Promise<void> => {
      for (let peer = nearest.shift(); peer !== undefined; peer = nearest.shift()) {
        const failure = await announceTo({ node: this.#node, protocol: network.protocol, booksOf: network.booksOf, peer, key, addresses }, signal)
        if (failure === undefined) acceptedCount++
        else failures.push(`${peer.toString()}: ${failure}`)
      }
    }
    await Promise.all(Array.from({ length: PARALLEL_ANNOUNCEMENTS }, announceNext))
    return { acceptedCount, failures }
  }

  async #nearest (network: KadNetwork, key: Uint8Array, signal: AbortSignal): Promise<LibraryPeerId[]> {
    const peers: LibraryPeerId[] = []
    try {
      for await (const event of network.dht().getClosestPeers(key, { signal })) {
        if (event.name === 'FINAL_PEER') peers.push(event.peer.id)
      }
    } catch (err) {
      this.#log.debug('A walk to the nearest peers ended early', { network: network.name, err })
    }
    return peers
  }

  #ownAddresses (network: KadNetwork): Uint8Array[] {
    const suffix = `/p2p/${this.#node.peerId.toString()}`
    return network.inScope(this.#node.getMultiaddrs()).map((address) => (address.toString().endsWith(suffix) ? address.decapsulate(suffix) : address).bytes)
  }

  async #untilReady (signal: AbortSignal): Promise<void> {
    if (this.#networks.length === 0) return
    while (!this.isReady && performance.now() < this.#openedMs + READY_WAIT_MS) {
      signal.throwIfAborted()
      await sleep(READY_POLL_MS)
    }
    signal.throwIfAborted()
  }
}

/** @throws `INVALID` for bytes that are not one multihash. */
function cidOf (key: Uint8Array): CID {
  try {
    return CID.createV1(raw.code, Digest.decode(key))
  } catch (cause) {
    throw new HoldfastError('INVALID', 'The key of a provider record is not a multihash', { cause })
  }
}

function peerInfoOf ({ id, addresses }: DhtPeer): PeerInfo {
  return { id: peerIdFromMultihash(Digest.decode(id)), multiaddrs: addresses.map(readMultiaddr).filter((address) => address !== undefined) }
}

function found (network: KadNetwork, { id, multiaddrs }: PeerInfo): FoundProvider {
  return { peer: id.toString(), addresses: network.inScope(multiaddrs).map(String) }
}
