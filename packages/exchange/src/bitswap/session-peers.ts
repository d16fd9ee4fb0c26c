import type { PeerId } from '@holdfast/network'
import type { FetchReport, PeerAnswer } from '../fetch-report.ts'
import type { AskedPeer } from './asked-peer.ts'
import type { RoomWaiter } from './room-queue.ts'
import type { Want } from './want.ts'

/** DONT_HAVE answers in a row after which a peer is no longer believed to hold the DAG (boxo: peerDontHaves). */
export const MAX_DONT_HAVES = 16

/** Peers whose answers are kept for the report. */
const MAX_REPORTED_PEERS = 256

/** What a block that a peer did not send counts against it when the same block is asked for, in milliseconds. */
const MISSED_BLOCK_MS = 5_000

const ANSWER_RANK: readonly PeerAnswer[] = ['silent', 'dont-have', 'have', 'wrong bytes', 'block']

export interface SessionPeersOptions {
  /** Reports whether a peer is asked before others while it has what is wanted, because it fetches for them, too. */
  readonly isPreferred: (peer: AskedPeer) => boolean
}

export type Choice = AskedPeer | 'full' | 'nobody'

/** What one session believes of the peers: who holds the DAG, and who answered what. */
export class SessionPeers {
  readonly #options: SessionPeersOptions
  readonly #holders = new Map<AskedPeer, { dontHaveRun: number }>()
  /** Peers that sent a block of this DAG. */
  readonly #proven = new WeakSet<AskedPeer>()
  /** Peers in whose rooms a place is taken. */
  readonly #waitedFor = new Set<AskedPeer>()
  readonly #answers = new Map<PeerId, PeerAnswer>()

  constructor (options: SessionPeersOptions = { isPreferred: () => false }) {
    this.#options = options
  }

  get holderCount (): number {
    return this.#holders.size
  }

  get holders (): IteratorObject<AskedPeer> {
    return this.#holders.keys()
  }

  get report (): FetchReport['peersAsked'] {
    return this.#answers.entries().map(([peer, answer]) => ({ peer, answer })).toArray()
  }

  isHolder (peer: AskedPeer): boolean {
    return this.#holders.has(peer)
  }

  /** Reports whether the block was asked of a peer that sent blocks of this DAG before, and goes on. */
  isInGoodHands (want: Want): boolean {
    return want.askedForBlock.values().some((peer) => this.#proven.has(peer) && !peer.trust.isLate)
  }

  /** The peer sent a block. */
  prove (peer: AskedPeer): void {
    this.#proven.add(peer)
  }

  /** The peer is believed to hold the DAG. */
  addHolder (peer: AskedPeer): void {
    const known = this.#holders.get(peer)
    if (known === undefined) this.#holders.set(peer, { dontHaveRun: 0 })
    else known.dontHaveRun = 0
  }

  lacks (peer: AskedPeer): void {
    const holder = this.#holders.get(peer)
    if (holder !== undefined && ++holder.dontHaveRun >= MAX_DONT_HAVES) this.#holders.delete(peer)
  }

  remove (peer: AskedPeer): void {
    this.#holders.delete(peer)
  }

  /** Keeps the best answer of a peer: a block says more than a HAVE. */
  note (peer: PeerId, answer: PeerAnswer): void {
    const known = this.#answers.get(peer)
    if (known === undefined && this.#answers.size >= MAX_REPORTED_PEERS) return
    if (known === undefined || ANSWER_RANK.indexOf(answer) > ANSWER_RANK.indexOf(known)) this.#answers.set(peer, answer)
  }

  /**
   * Chooses the holder from whom the block is expected first; `'full'` when holders have no room left, `'nobody'` when none has it.
   *
   * One that did not send what it owed is asked when there is no other: a block is sooner here when it waits for room at one
   * that does.
   *
   * @param waiter Who asks: it gets its turn after those who were refused before.
   */
  choose (want: Want, waiter: RoomWaiter): Choice {
    const nowMs = performance.now()
    const candidates = this.#holders.keys().filter((peer) => !want.lackedBy.has(peer.id)).toArray()
    const trusted = candidates.filter((peer) => peer.trust.isGiven(nowMs) && !want.missedBy.has(peer.id))
    const able = trusted.length > 0 ? trusted : candidates
    if (able.length === 0) return 'nobody'
    const preferred = able.filter(this.#options.isPreferred)
    return soonest((preferred.length > 0 ? preferred : able).filter((peer) => peer.hasRoomFor(waiter, want.expectedBytes)), want) ?? 'full'
  }

  /** Another holder than those that were asked. */
  other (want: Want): AskedPeer | undefined {
    return this.#holders.keys().find((peer) => !want.askedForBlock.has(peer) && !want.lackedBy.has(peer.id))
  }

  /** Has `waiter` called when a holder has room for the block. */
  waitForRoom (want: Want, waiter: RoomWaiter): void {
    for (const peer of this.#holders.keys()) {
      if (want.lackedBy.has(peer.id)) continue
      peer.room.wait(waiter, want.expectedBytes)
      this.#waitedFor.add(peer)
    }
  }

  /** There is nothing more to ask for. */
  waitNoMore (waiter: RoomWaiter): void {
    for (const peer of this.#waitedFor) peer.room.leave(waiter)
    this.#waitedFor.clear()
  }
}

function soonest (peers: readonly AskedPeer[], { expectedBytes, missedBy }: Want): AskedPeer | undefined {
  let best: AskedPeer | undefined
  let bestMs = Infinity
  for (const peer of peers) {
    const ms = peer.expectedMs(expectedBytes) + (missedBy.has(peer.id) ? MISSED_BLOCK_MS : 0)
    if (ms >= bestMs) continue
    best = peer
    bestMs = ms
  }
  return best
}
