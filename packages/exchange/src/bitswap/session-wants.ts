import { type Block, multihashKey } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import type { AskedPeer } from './asked-peer.ts'
import type { BitswapClient, SessionObserver } from './client.ts'
import { SessionAsks, type SessionAsksDeps } from './session-asks.ts'
import { Waiters } from './waiters.ts'
import type { AskEnd, Want } from './want.ts'

export interface SessionWantsDeps extends Pick<SessionAsksDeps, 'host' | 'root' | 'search' | 'companions' | 'onChange'> {
  readonly client: BitswapClient
  /** A block came from a peer. */
  readonly onArrived: (block: Block) => void
  /** A block that came is stored now. */
  readonly onStored: () => void
  /** A block came and could not be stored. Reports whether it is given to who waits for it all the same. */
  readonly onUnstored: (reason: unknown) => boolean
  /** Such a block came before anybody waited for it. */
  readonly onUnawaited: (block: Block) => void
  /** Nobody wants the block any more, and it did not come. */
  readonly onReleased: (cid: CID) => void
}

/** The wants of one session and who waits for them: from the moment that a block is wanted until it is stored, or given up. */
export class SessionWants implements SessionObserver {
  readonly asks: SessionAsks
  readonly #deps: SessionWantsDeps
  readonly #waiters = new Waiters()
  /** Wants that are not over. */
  readonly #wants = new Map<string, Want>()

  constructor (deps: SessionWantsDeps) {
    this.#deps = deps
    this.asks = new SessionAsks({
      ...deps,
      isWanted: ({ key }) => this.#wants.has(key),
      isAwaited: ({ key }) => this.#waiters.has(key),
      wants: () => this.#wants.values()
    })
  }

  /** Blocks that somebody waits for. */
  get awaitedCount (): number {
    return this.#waiters.count
  }

  isWanted (cid: CID): boolean {
    return this.#wants.has(multihashKey(cid))
  }

  /** Wants a block and waits for it; the want is given up when the last one who waits leaves. */
  async fetch (cid: CID, expectedBytes: number, signal: AbortSignal | undefined): Promise<Block> {
    signal?.throwIfAborted()
    const want = this.open(cid, { expectedBytes, isDemanded: true })
    const block = this.#waiters.wait(want.key, { signal, onLeft: () => { this.#release(want) } })
    this.asks.demand(want)
    return await block
  }

  /** Wants a block; when nobody was asked for it, it is queued. */
  open (cid: CID, { expectedBytes, isDemanded }: { expectedBytes: number, isDemanded: boolean }): Want {
    const known = this.#wants.get(multihashKey(cid))
    if (known !== undefined) return known
    const want = this.#deps.client.open(cid, expectedBytes, this)
    this.#wants.set(want.key, want)
    if (want.askedForBlock.size === 0 && !want.hasArrived) this.asks.add(want, isDemanded)
    this.#deps.onChange()
    return want
  }

  /** The reader does not want the block after all, unless somebody waits for it. */
  passOver (cid: CID): void {
    const want = this.#wants.get(multihashKey(cid))
    if (want !== undefined && !this.#waiters.has(want.key)) this.#release(want)
  }

  /** Reports whether a block that somebody waits for is late only because its peer serves others first. */
  isInLine (sinceMs: number): boolean {
    return this.#wants.values().some((want) => this.#waiters.has(want.key) && this.asks.isInLine(want, sinceMs))
  }

  /** Gives every want up; whoever waits is told why. */
  giveUp (reasonFor: (cid: CID) => unknown): void {
    for (const want of Array.from(this.#wants.values())) {
      if (this.#waiters.has(want.key)) this.#waiters.reject(want.key, reasonFor(want.cid))
      this.#release(want)
    }
  }

  /** Ends the session. */
  end (reason: unknown): void {
    this.asks[Symbol.dispose]()
    for (const want of this.#wants.values()) this.#deps.client.release(want, this)
    this.#wants.clear()
    this.#waiters.rejectAll(reason)
  }

  onPeerConnected (peer: AskedPeer): void {
    if (!this.#deps.search.isProvider(peer.id)) this.asks.connected(peer)
    else if (this.#deps.client.peer(peer.id) === peer) this.asks.foundProvider(peer)
  }

  onPeerGone (peer: AskedPeer): void {
    this.asks.disconnected(peer)
  }

  onTick (): void {
    if (this.#wants.size === 0) return
    this.asks.tick()
    this.#deps.onChange()
  }

  onHave (want: Want, peer: AskedPeer): void {
    this.asks.has(want, peer)
  }

  onLack (want: Want, peer: AskedPeer): void {
    this.asks.lacks(want, peer)
  }

  onAskEnded (want: Want, peer: AskedPeer, why: AskEnd): void {
    this.asks.ended(want, peer, why)
  }

  onArrived (want: Want, block: Block, peer: AskedPeer): void {
    this.asks.arrived(want, peer)
    this.#deps.onArrived(block)
  }

  onStored (want: Want, block: Block): void {
    this.#wants.delete(want.key)
    this.asks.forget(want)
    if (!this.#waiters.resolve(want.key, block)) this.#deps.client.recentBlocks.add(block)
    this.#deps.onStored()
  }

  onFailed (want: Want, reason: unknown, block: Block): void {
    this.#wants.delete(want.key)
    if (!this.#deps.onUnstored(reason)) return this.#waiters.reject(want.key, reason)
    this.asks.forget(want)
    if (!this.#waiters.resolve(want.key, block)) this.#deps.onUnawaited(block)
  }

  #release (want: Want): void {
    this.#wants.delete(want.key)
    this.asks.forget(want)
    this.#deps.onReleased(want.cid)
    this.#deps.client.release(want, this)
  }
}
