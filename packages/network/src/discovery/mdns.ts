import { HoldfastError, type Logger } from '@holdfast/core'
import type { Libp2p, PeerDiscovery, PeerInfo, PeerId as LibraryPeerId } from '@libp2p/interface'
import { mdns, type MulticastDNSComponents } from '@libp2p/mdns'
import { isPrivate } from '@libp2p/utils'
import { deadline } from '../deadline.ts'
import { DIAL_TIMEOUT_MS, MAX_PEER_ADDRESSES } from '../limits.ts'
import { MAX_MDNS_DIALS, MAX_MDNS_MEMORY, MAX_MDNS_PEERS, MDNS_INTERVAL_MS, MDNS_REDIAL_MS } from './discovery-limits.ts'

/** The library's mDNS, and whom it found. */
export interface MdnsDiscovery {
  /** For `peerDiscovery` of libp2p. */
  readonly service: (components: MulticastDNSComponents) => PeerDiscovery
  /** Connects to the peers that are found, once libp2p was made. */
  attach(node: Pick<Libp2p, 'dial' | 'getConnections'>, log: Logger): Disposable
}

/** Finds peers on this LAN. Anybody there may answer, so only private addresses are dialled, few at a time, and each peer once a minute at most. */
export function mdnsDiscovery (): MdnsDiscovery {
  /** Who answered while libp2p was still starting, when nobody can be dialled. */
  const early: PeerInfo[] = []
  let take = (peer: PeerInfo): void => {
    if (early.length < MAX_MDNS_DIALS) early.push(peer)
  }
  return {
    service (components) {
      const service = mdns({ interval: MDNS_INTERVAL_MS })(components)
      service.addEventListener('peer', ({ detail }) => { take(detail) })
      return service
    },
    attach (node, log) {
      const dialler = new LanDialler(node, log)
      take = (peer) => { dialler.found(peer) }
      for (const peer of early.splice(0)) take(peer)
      return {
        [Symbol.dispose] () {
          take = () => {}
          dialler.stop()
        }
      }
    }
  }
}

class LanDialler {
  readonly #node: Pick<Libp2p, 'dial' | 'getConnections'>
  readonly #log: Logger
  readonly #stopped = new AbortController()
  readonly #dialledMs = new Map<string, number>()
  #dialCount = 0

  constructor (node: Pick<Libp2p, 'dial' | 'getConnections'>, log: Logger) {
    this.#node = node
    this.#log = log
  }

  stop (): void {
    this.#stopped.abort(new HoldfastError('UNAVAILABLE', 'The network stops'))
  }

  found ({ id, multiaddrs }: PeerInfo): void {
    const addresses = multiaddrs.filter(isPrivate).slice(0, MAX_PEER_ADDRESSES)
    if (addresses.length === 0 || !this.#isDue(id)) return
    void this.#dial(id, addresses)
  }

  #isDue (id: LibraryPeerId): boolean {
    if (this.#stopped.signal.aborted || this.#dialCount >= MAX_MDNS_DIALS) return false
    if (this.#node.getConnections().filter(({ remoteAddr }) => isPrivate(remoteAddr)).length >= MAX_MDNS_PEERS) return false
    if (this.#node.getConnections(id).length > 0) return false
    const lastMs = this.#dialledMs.get(id.toString())
    return lastMs === undefined || performance.now() - lastMs > MDNS_REDIAL_MS
  }

  async #dial (id: LibraryPeerId, addresses: PeerInfo['multiaddrs']): Promise<void> {
    this.#note(id.toString())
    this.#dialCount++
    using timeout = deadline(DIAL_TIMEOUT_MS, this.#stopped.signal)
    try {
      await this.#node.dial(addresses.map((address) => address.encapsulate(`/p2p/${id.toString()}`)), { signal: timeout.signal })
    } catch (err) {
      this.#log.debug('A peer that mDNS found cannot be reached', { peer: id.toString(), err })
    } finally {
      this.#dialCount--
    }
  }

  #note (peer: string): void {
    this.#dialledMs.delete(peer)
    this.#dialledMs.set(peer, performance.now())
    const [oldest] = this.#dialledMs.keys()
    if (this.#dialledMs.size > MAX_MDNS_MEMORY && oldest !== undefined) this.#dialledMs.delete(oldest)
  }
}
