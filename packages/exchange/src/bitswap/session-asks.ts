import type { CID } from 'multiformats/cid'
import type { ExchangeHost } from '../exchange-host.ts'
import type { AskedPeer } from './asked-peer.ts'
import type { BitswapClient } from './client.ts'
import type { Companions } from './companions.ts'
import { Hedges } from './hedges.ts'
import type { ProviderSearch } from './provider-search.ts'
import type { RoomWaiter } from './room-queue.ts'
import { Seeker } from './seeker.ts'
import { SessionPeers } from './session-peers.ts'
import { stealFrom } from './steal.ts'
import { WantQueue } from './want-queue.ts'
import type { AskEnd, Want } from './want.ts'

export interface SessionAsksDeps {
  readonly host: ExchangeHost
  readonly client: BitswapClient
  readonly root: CID
  readonly search: ProviderSearch
  readonly companions: Companions
  /** Reports whether the want is one of this session and not over. */
  readonly isWanted: (want: Want) => boolean
  /** Reports whether a reader waits for the block. */
  readonly isAwaited: (want: Want) => boolean
  /** The wants that are not over. */
  readonly wants: () => Iterable<Want>
  /** There may be more to ask for: `fill` should be called soon. */
  readonly onChange: () => void
}

/**
 * Decides whom one session asks for which block.
 *
 * A block is asked of the holder from whom it is expected first, within the holders' windows. While nobody is
 * believed to hold it, `Seeker` asks around. At the end, holders that owe nothing take over from slower ones. What companions
 * fetch is waited for, as long as they do.
 */
export class SessionAsks implements RoomWaiter, Disposable {
  readonly peers: SessionPeers
  readonly #deps: SessionAsksDeps
  readonly #queue = new WantQueue()
  readonly #seeker: Seeker
  readonly #hedges: Hedges

  constructor (deps: SessionAsksDeps) {
    this.#deps = deps
    this.peers = new SessionPeers({ isPreferred: (peer) => deps.companions.includes(peer) })
    this.#seeker = new Seeker({
      ...deps,
      peers: this.peers,
      ask: (want, peer) => { this.#ask(want, peer) },
      queue: (want) => { this.#enqueue(want) }
    })
    this.#hedges = new Hedges({
      isDoubtful: (want) => !want.hasArrived && deps.isAwaited(want) && !this.peers.isInGoodHands(want),
      ask: (want, peer) => { this.#askAnother(want, peer) }
    })
    // One that began sooner has blocks of our share, too.
    for (const peer of deps.companions.peers) this.#seeker.connected(peer)
  }

  /** Reports whether every want that nobody waits for yet was asked of somebody. */
  get hasNoneAhead (): boolean {
    return this.#queue.hasNoneAhead
  }

  add (want: Want, isDemanded: boolean): void {
    this.#queue.add(want, isDemanded)
  }

  /** A reader waits for the block now. */
  demand (want: Want): void {
    this.#queue.demand(want)
    this.#hedge(want)
  }

  forget (want: Want): void {
    this.#queue.delete(want)
    this.#seeker.forget(want)
    this.#deps.companions.forget(want)
  }

  connected (peer: AskedPeer): void {
    this.#seeker.connected(peer)
  }

  disconnected (peer: AskedPeer): void {
    this.peers.remove(peer)
    this.#seeker.disconnected(peer)
    for (const want of this.#deps.companions.gone(peer)) this.#enqueue(want)
  }

  foundProvider (peer: AskedPeer): void {
    this.peers.note(peer.id, 'silent')
    this.#believe(peer)
  }

  /** A peer says that it has a block. */
  has (want: Want, peer: AskedPeer): void {
    this.peers.note(peer.id, 'have')
    this.#deps.companions.heardFrom(peer)
    this.#believe(peer)
    if (want.askedForBlock.size === 0) this.#enqueue(want)
    else this.#hedges.add(want, peer)
  }

  lacks (want: Want, peer: AskedPeer): void {
    this.peers.note(peer.id, 'dont-have')
    this.peers.lacks(peer)
    for (const owed of this.#deps.companions.ended(want, peer)) this.#enqueue(owed)
  }

  /** A peer that was asked for a block will not send it. */
  ended (want: Want, peer: AskedPeer, why: AskEnd): void {
    for (const owed of this.#deps.companions.ended(want, peer)) this.#enqueue(owed)
    if (why === 'dont-have') this.lacks(want, peer)
    if (why === 'wrong') this.peers.note(peer.id, 'wrong bytes')
    if (why === 'wrong' && this.#deps.client.isBanned(peer.id)) this.peers.remove(peer)
    if (why === 'timeout') this.#seeker.probe(want)
    if (want.askedForBlock.size === 0) this.#enqueue(want)
  }

  arrived (want: Want, peer: AskedPeer): void {
    this.peers.note(peer.id, 'block')
    this.peers.prove(peer)
    // A companion sends its own share: that it has ours it says itself.
    if (!this.#deps.companions.includes(peer)) this.#believe(peer)
    this.#deps.companions.arrived(want, peer)
    this.forget(want)
  }

  /**
   * Asks for what is queued, as far as the windows of the holders allow, and other sessions that wait for them. Reports
   * whether nothing is left; otherwise it goes on when there is room.
   */
  fill (): boolean {
    const isDrained = this.#queue.drain((want) => this.#askOne(want))
    if (isDrained) this.peers.waitNoMore(this)
    return isDrained
  }

  onRoom (): void {
    if (this.fill()) this.#deps.onChange()
  }

  /** Time went by: what companions did not send is asked of others. */
  tick (): void {
    for (const want of this.#deps.companions.takeOverdue(() => this.#isBusy())) this.#enqueue(want)
  }

  /** Reports whether a block is late only because others are served first, by a peer that sent some since `sinceMs`. */
  isInLine (want: Want, sinceMs: number): boolean {
    const isServed = (peer: AskedPeer): boolean => peer.hasDeliveredSince(sinceMs)
    if (want.askedForBlock.size > 0) return want.askedForBlock.values().some((peer) => isServed(peer) && peer.owesBefore(want))
    return this.peers.holders.some((peer) => isServed(peer) && peer.room.isWaiting(this) && !want.missedBy.has(peer.id))
  }

  /** Nothing is left to ask for: a peer that owes nothing takes over from one that will be late. */
  steal (): void {
    const nowMs = performance.now()
    for (const peer of this.peers.holders) {
      // What it lacks would be asked for in vain, and may come twice.
      if (this.#deps.companions.includes(peer)) continue
      const stolen = stealFrom(peer, { holders: this.peers.holders, isOurs: this.#deps.isWanted, nowMs })
      if (stolen === undefined) continue
      stolen.from.cancel(stolen.want)
      this.#ask(stolen.want, peer)
    }
  }

  [Symbol.dispose] (): void {
    this.peers.waitNoMore(this)
    this.#seeker[Symbol.dispose]()
    this.#hedges[Symbol.dispose]()
  }

  #askOne (want: Want): boolean {
    if (want.askedForBlock.size > 0 || this.#deps.companions.take(want)) return true
    const choice = this.peers.choose(want, this)
    if (choice === 'full') this.peers.waitForRoom(want, this)
    else if (choice === 'nobody') this.#seeker.seek(want)
    else this.#ask(want, choice)
    return choice !== 'full'
  }

  /** Reports whether blocks of the own share are on their way. */
  #isBusy (): boolean {
    const isComing = (want: Want): boolean => !want.hasArrived && !this.#deps.companions.isOwed(want) && want.askedForBlock.values().some(({ trust }) => !trust.isLate)
    return Iterator.from(this.#deps.wants()).some(isComing)
  }

  #ask (want: Want, peer: AskedPeer): void {
    this.peers.note(peer.id, 'silent')
    peer.askForBlock(want)
    this.#seeker.probeUnknown(want)
    this.#hedge(want)
  }

  /** Whoever was asked may be silent: until it proved itself, another holder is asked soon, too. */
  #hedge (want: Want): void {
    if (want.askedForBlock.size === 0 || this.peers.isInGoodHands(want)) return
    const other = this.peers.other(want)
    if (other !== undefined) this.#hedges.add(want, other)
  }

  /** Nothing came from those who were asked, though `peer` has it. */
  #askAnother (want: Want, peer: AskedPeer): void {
    for (const asked of Array.from(want.askedForBlock)) this.#deps.client.giveUp(asked, want)
    if (want.hasArrived || !this.#deps.isWanted(want) || want.askedForBlock.has(peer)) return
    if (want.askedForBlock.size === 0 || !peer.hasRoom(want.expectedBytes)) return this.#enqueue(want)
    this.forget(want)
    this.#ask(want, peer)
  }

  #enqueue (want: Want): void {
    if (want.hasArrived || !this.#deps.isWanted(want)) return
    this.#seeker.forget(want)
    this.#queue.add(want, this.#deps.isAwaited(want))
    this.#deps.onChange()
  }

  #believe (peer: AskedPeer): void {
    if (this.#deps.client.peer(peer.id) !== peer) return
    const isNew = !this.peers.isHolder(peer)
    this.peers.addHolder(peer)
    if (isNew) {
      this.#seeker.foundHolder()
      for (const want of this.#deps.wants()) if (want.askedForBlock.size > 0) this.#hedges.add(want, peer)
    }
    this.#deps.onChange()
  }
}
