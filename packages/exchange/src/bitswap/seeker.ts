import { multihashKey } from '@holdfast/core'
import type { ConnectedPeer } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import type { ExchangeHost } from '../exchange-host.ts'
import type { AskedPeer } from './asked-peer.ts'
import type { BitswapClient } from './client.ts'
import { BITSWAP_PROTOCOLS } from './protocols.ts'
import type { ProviderSearch } from './provider-search.ts'
import type { SessionPeers } from './session-peers.ts'
import type { Want } from './want.ts'

/** Connected peers that are asked whether they hold a block that nobody is believed to hold. */
export const MAX_ASKED_PEERS = 64

/** Peers that are asked whether they hold a block which those believed to hold it did not send. */
export const MAX_PROBES = 3

/** Time after which a block that nobody had is asked for again, in milliseconds. */
const ASK_AGAIN_MS = 5_000

export interface SeekerDeps {
  readonly host: ExchangeHost
  readonly client: BitswapClient
  readonly search: ProviderSearch
  readonly peers: SessionPeers
  /** What providers announce, most of them alone. */
  readonly root: CID
  /** Asks a peer for the block itself. */
  readonly ask: (want: Want, peer: AskedPeer) => void
  /** The wants of the session that are not over. */
  readonly wants: () => Iterable<Want>
  /** The want is to be asked of somebody again. */
  readonly queue: (want: Want) => void
}

/** Finds out who holds the blocks of one session that nobody is believed to hold: asks connected peers and content routing, at once. */
export class Seeker implements Disposable {
  readonly #deps: SeekerDeps
  /** Wants that nobody is believed to hold. */
  readonly #sought = new Set<Want>()
  /** Peers that came while nothing was wanted: they are probed with the next wants. */
  readonly #unknown = new Set<AskedPeer>()
  #againTimer: NodeJS.Timeout | undefined

  constructor (deps: SeekerDeps) {
    this.#deps = deps
  }

  /** Nobody is believed to hold it: asks the peers that are connected and content routing. */
  seek (want: Want): void {
    this.#sought.add(want)
    this.#startSearch(want)
    const [first, ...others] = this.#candidates(want).slice(0, MAX_ASKED_PEERS)
    // The likeliest one is asked for the block itself: a round trip less when it has it.
    if (first !== undefined && this.#deps.peers.holderCount === 0) this.#deps.ask(want, first)
    else if (first !== undefined) this.#askWhether(want, first)
    for (const peer of others) this.#askWhether(want, peer)
    this.#againTimer ??= setTimeout(() => { this.#seekAgain() }, ASK_AGAIN_MS).unref()
  }

  /** Those believed to hold it did not send it in time: a few others may. */
  probe (want: Want): void {
    this.#startSearch(want)
    const others = this.#candidates(want).filter((peer) => !this.#deps.peers.isHolder(peer))
    for (const peer of others.slice(0, MAX_PROBES)) this.#askWhether(want, peer)
  }

  /** A want is on its way to a holder: peers that nobody knows yet are asked whether they hold it, too. */
  probeUnknown (want: Want): void {
    for (const peer of this.#unknown.values().take(MAX_PROBES)) {
      this.#unknown.delete(peer)
      this.#askWhether(want, peer)
    }
  }

  connected (peer: AskedPeer): void {
    if (this.#sought.size === 0) this.#probeOrRemember(peer)
    for (const want of this.#sought) this.#askWhether(want, peer)
  }

  disconnected (peer: AskedPeer): void {
    this.#unknown.delete(peer)
  }

  /** Somebody is believed to hold the DAG that was not before: what is sought and asked of nobody is asked of a holder. */
  foundHolder (): void {
    for (const want of Array.from(this.#sought)) if (want.askedForBlock.size === 0) this.#deps.queue(want)
  }

  forget (want: Want): void {
    this.#sought.delete(want)
  }

  [Symbol.dispose] (): void {
    clearTimeout(this.#againTimer)
  }

  /** All that is wanted may have been asked of others already, and then no next want tells what this peer holds. */
  #probeOrRemember (peer: AskedPeer): void {
    const open = Iterator.from(this.#deps.wants()).find(({ hasArrived }) => !hasArrived)
    if (open === undefined) this.#unknown.add(peer)
    else this.#askWhether(open, peer)
  }

  /** What a peer lacked it may hold by now, and an answer may have been lost. */
  #seekAgain (): void {
    this.#againTimer = undefined
    for (const want of Array.from(this.#sought)) {
      want.lackedBy.clear()
      for (const peer of Array.from(want.askedForHave)) peer.cancel(want)
      this.#deps.queue(want)
    }
  }

  #askWhether (want: Want, peer: AskedPeer): void {
    if (want.lackedBy.has(peer.id) || want.askedForHave.has(peer) || want.askedForBlock.has(peer)) return
    this.#deps.peers.note(peer.id, 'silent')
    peer.askForHave(want)
  }

  #startSearch (want: Want): void {
    const { search, root } = this.#deps
    search.start(root)
    if (multihashKey(root) !== want.key) search.start(want.cid)
  }

  /** Connected peers that may hold it, those that sent most blocks first. Relayed connections carry no blocks. */
  #candidates (want: Want): AskedPeer[] {
    const speakers = new Set(this.#deps.host.peers().filter((peer) => !peer.isRelayed && mayExchange(peer)).map(({ peer }) => peer))
    return Array.from(this.#deps.client.peers)
      .filter(({ id }) => speakers.has(id) && !want.lackedBy.has(id))
      .toSorted((a, b) => b.receivedBlockCount - a.receivedBlockCount)
  }
}

/** A peer that did not say yet what it speaks may speak Bitswap. */
function mayExchange ({ protocols }: ConnectedPeer): boolean {
  return protocols.length === 0 || BITSWAP_PROTOCOLS.some((protocol) => protocols.includes(protocol))
}
