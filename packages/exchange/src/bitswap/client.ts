import type { BlockReader, BlockWriter } from '@holdfast/blockstore'
import { type Logger, multihashKey } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import type { ExchangeHost } from '../exchange-host.ts'
import { AskedPeer } from './asked-peer.ts'
import { Bans } from './bans.ts'
import { FetchAllowances } from './fetch-allowances.ts'
import type { BitswapMessage } from './message.ts'
import type { Outbox } from './outbox.ts'
import { Receiver, type ReceiverStats } from './receiver.ts'
import { RecentBlocks } from './recent-blocks.ts'
import { WantBook } from './want-book.ts'
import type { Want, WantObserver } from './want.ts'

/** How often overdue blocks are looked for, in milliseconds. */
const TICK_MS = 100

/** Told of peers that come and go, besides what becomes of its wants. */
export interface SessionObserver extends WantObserver {
  onPeerConnected(peer: AskedPeer): void
  onPeerGone(peer: AskedPeer): void
  /** Time went by: somebody may be late. */
  onTick(): void
}

export interface ClientDeps {
  readonly host: Pick<ExchangeHost, 'allowBytes'>
  readonly blocks: BlockReader & BlockWriter
  readonly log: Logger
  /** Fetched blocks are stored now: peers may wait for them. */
  readonly onStored: (cids: readonly CID[]) => void
}

export interface ClientStats extends ReceiverStats {
  readonly openWantCount: number
}

/**
 * What is common to all sessions: the wants of this node, the peers that may have what is wanted, and when an
 * answer is overdue.
 *
 * Sessions decide whom to ask; `Receiver` takes in the answers.
 */
export class BitswapClient implements Disposable {
  readonly recentBlocks: RecentBlocks = new RecentBlocks()
  readonly #wants = new WantBook()
  readonly #bans = new Bans()
  readonly #receiver: Receiver
  readonly #allowances: FetchAllowances
  readonly #peers = new Map<PeerId, AskedPeer>()
  readonly #sessions = new Set<SessionObserver>()
  #timer: NodeJS.Timeout | undefined

  constructor (deps: ClientDeps) {
    this.#allowances = new FetchAllowances((peer, maxBytes) => deps.host.allowBytes(peer, maxBytes))
    this.#receiver = new Receiver({ ...deps, wants: this.#wants, bans: this.#bans })
  }

  get stats (): ClientStats {
    return { openWantCount: this.#wants.count, ...this.#receiver.stats }
  }

  get peers (): Iterable<AskedPeer> {
    return this.#peers.values().filter(({ id }) => !this.isBanned(id))
  }

  peer (id: PeerId): AskedPeer | undefined {
    return this.isBanned(id) ? undefined : this.#peers.get(id)
  }

  isBanned (id: PeerId): boolean {
    return this.#bans.has(id)
  }

  addSession (session: SessionObserver): void {
    this.#sessions.add(session)
    this.#timer ??= setInterval(() => { this.#expire() }, TICK_MS).unref()
  }

  removeSession (session: SessionObserver): void {
    this.#sessions.delete(session)
    if (this.#sessions.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  connected (id: PeerId, outbox: Outbox): void {
    const peer = new AskedPeer(id, { outbox, allowance: this.#allowances.open(id) })
    this.#peers.set(id, peer)
    if (!this.isBanned(id)) for (const session of Array.from(this.#sessions)) session.onPeerConnected(peer)
  }

  /** The peer is gone, or does not answer: everything it owes is asked elsewhere. */
  disconnected (id: PeerId): void {
    const peer = this.#peers.get(id)
    if (peer === undefined) return
    this.#peers.delete(id)
    for (const session of Array.from(this.#sessions)) session.onPeerGone(peer)
    for (const want of peer.endAll()) want.askEnded(peer, 'gone')
  }

  heard (id: PeerId): void {
    this.#peers.get(id)?.heard()
  }

  /** Joins an observer to the want of a block, which is opened when nobody wanted it before. */
  open (cid: CID, expectedBytes: number, observer: WantObserver): Want {
    return this.#wants.open(cid, expectedBytes, observer)
  }

  find (cid: CID): Want | undefined {
    return this.#wants.get(multihashKey(cid))
  }

  /** Leaves a want; when nobody else has it, it is taken back from every peer. */
  release (want: Want, observer: WantObserver): void {
    this.#wants.release(want, observer)
  }

  /** Takes in what a peer sent. Waits while the store is behind, which slows the peer down. */
  async receive (id: PeerId, message: BitswapMessage): Promise<void> {
    const peer = this.#peers.get(id)
    if (peer === undefined) return
    if (message.blocks.length > 0) peer.heard()
    await this.#receiver.receive(peer, message)
  }

  /** A peer is silent though others have this block: all that it owes is asked elsewhere, unless it sent blocks since. */
  giveUp (peer: AskedPeer, want: Want): void {
    this.#missed(peer, peer.giveUp(want))
  }

  /** These blocks were stored by someone else: nobody needs to fetch them. */
  stored (cids: readonly CID[]): void {
    if (this.#wants.count === 0) return
    for (const cid of cids) {
      const want = this.find(cid)
      if (want !== undefined && !want.hasArrived) void this.#receiver.deliverStored(want)
    }
  }

  [Symbol.dispose] (): void {
    clearInterval(this.#timer)
    for (const id of Array.from(this.#peers.keys())) this.disconnected(id)
  }

  #expire (): void {
    const nowMs = performance.now()
    for (const peer of this.#peers.values()) {
      this.#missed(peer, peer.takeExpired(nowMs))
      // A window may have grown though nothing came.
      peer.room.giveTurns()
    }
    for (const session of Array.from(this.#sessions)) session.onTick()
  }

  /** A block that comes late is still welcome. */
  #missed (peer: AskedPeer, wants: readonly Want[]): void {
    for (const want of wants) {
      peer.end(want)
      want.missedBy.add(peer.id)
      want.askEnded(peer, 'timeout')
    }
  }
}
