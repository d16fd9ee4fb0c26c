import type { BlockReader, BlockWriter } from '@holdfast/blockstore'
import { type Block, type Logger, multihashKey } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import { setImmediate } from 'node:timers/promises'
import { AskedPeer } from './asked-peer.ts'
import { BlockKeeper } from './block-keeper.ts'
import { decodeCidPrefix } from './cid-prefix.ts'
import { BLOCKS_PER_SLICE, PRESENCES_PER_SLICE } from './limits.ts'
import type { BitswapMessage, BlockPayload, BlockPresence } from './message.ts'
import type { Outbox } from './outbox.ts'
import { RecentBlocks } from './recent-blocks.ts'
import { verifyPayload } from './verify-payload.ts'
import { type AskEnd, Want, type WantObserver } from './want.ts'

/** Blocks with wrong bytes after which nothing is asked of a peer. */
export const MAX_STRIKES = 3

/** How long a peer that lied is left alone, in milliseconds. */
export const BAN_MS = 600_000

/** Peers that are remembered as liars; identities are free, so more would only cost memory. */
const MAX_BANNED_PEERS = 1024

/** How often overdue blocks are looked for, in milliseconds. */
const TICK_MS = 100

/** Told of peers that come and go, besides what becomes of its wants. */
export interface SessionObserver extends WantObserver {
  onPeerConnected(peer: AskedPeer): void
  onPeerGone(peer: AskedPeer): void
}

export interface ClientDeps {
  readonly blocks: BlockReader & BlockWriter
  readonly log: Logger
  /** Fetched blocks are stored now: peers may wait for them. */
  readonly onStored: (cids: readonly CID[]) => void
}

export interface ClientStats {
  readonly openWantCount: number
  readonly receivedBlockCount: number
  readonly receivedByteLength: number
  /** Blocks that were asked for and came again. */
  readonly duplicateBlockCount: number
  /** Blocks that matched no open want by hash function and length: dropped without being hashed. */
  readonly unrequestedBlockCount: number
  /** Blocks that were hashed and are not what was asked for. */
  readonly wrongBlockCount: number
  readonly hashedBlockCount: number
}

/**
 * The wants of this node, whoever asked for them, and the peers that may have what is wanted.
 *
 * Sessions decide whom to ask; here is what is common to them: one want per block, matching what
 * arrives to what was asked, verifying and storing it once, timeouts and liars.
 */
export class BitswapClient implements Disposable {
  readonly recentBlocks: RecentBlocks = new RecentBlocks()
  readonly #deps: ClientDeps
  readonly #keeper: BlockKeeper
  readonly #peers = new Map<PeerId, AskedPeer>()
  readonly #wants = new Map<string, Want>()
  readonly #sessions = new Set<SessionObserver>()
  readonly #bannedUntilMs = new Map<PeerId, number>()
  readonly #counts = { receivedBlockCount: 0, receivedByteLength: 0, duplicateBlockCount: 0, unrequestedBlockCount: 0, wrongBlockCount: 0, hashedBlockCount: 0 }
  #timer: NodeJS.Timeout | undefined

  constructor (deps: ClientDeps) {
    this.#deps = deps
    this.#keeper = new BlockKeeper(deps.blocks)
  }

  get stats (): ClientStats {
    return { openWantCount: this.#wants.size, ...this.#counts }
  }

  get peers (): Iterable<AskedPeer> {
    return this.#peers.values().filter(({ id }) => !this.isBanned(id))
  }

  peer (id: PeerId): AskedPeer | undefined {
    return this.isBanned(id) ? undefined : this.#peers.get(id)
  }

  isBanned (id: PeerId): boolean {
    const untilMs = this.#bannedUntilMs.get(id)
    return untilMs !== undefined && untilMs > performance.now()
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
    const peer = new AskedPeer(id, outbox)
    this.#peers.set(id, peer)
    if (!this.isBanned(id)) for (const session of Array.from(this.#sessions)) session.onPeerConnected(peer)
  }

  /** The peer is gone, or does not answer: everything it owes is asked elsewhere. */
  disconnected (id: PeerId): void {
    const peer = this.#peers.get(id)
    if (peer === undefined) return
    this.#peers.delete(id)
    for (const session of Array.from(this.#sessions)) session.onPeerGone(peer)
    this.#endAll(peer, 'gone')
  }

  heard (id: PeerId): void {
    this.#peers.get(id)?.heard()
  }

  /** Joins an observer to the want of a block, which is opened when nobody wanted it before. */
  open (cid: CID, expectedBytes: number, observer: WantObserver): Want {
    const key = multihashKey(cid)
    const want = this.#wants.get(key) ?? new Want(cid, expectedBytes)
    this.#wants.set(key, want)
    want.observers.add(observer)
    return want
  }

  find (cid: CID): Want | undefined {
    return this.#wants.get(multihashKey(cid))
  }

  /** Leaves a want; when nobody else has it, it is taken back from every peer. */
  release (want: Want, observer: WantObserver): void {
    want.observers.delete(observer)
    if (want.observers.size > 0 || want.hasArrived) return
    this.#cancelAll(want)
    this.#wants.delete(want.key)
  }

  /** Takes in what a peer sent. Waits while the store is behind, which slows the peer down. */
  async receive (id: PeerId, { blocks, presences }: BitswapMessage): Promise<void> {
    const peer = this.#peers.get(id)
    if (peer === undefined) return
    for (const [index, presence] of presences.entries()) {
      if (index % PRESENCES_PER_SLICE === PRESENCES_PER_SLICE - 1) await setImmediate()
      this.#takePresence(peer, presence)
    }
    for (const [index, payload] of blocks.entries()) {
      if (index % BLOCKS_PER_SLICE === BLOCKS_PER_SLICE - 1) await setImmediate()
      await this.#takeBlock(peer, payload)
    }
    if (blocks.length > 0) await this.#keeper.room()
  }

  /** These blocks were stored by someone else: nobody needs to fetch them. */
  stored (cids: readonly CID[]): void {
    if (this.#wants.size === 0) return
    for (const cid of cids) {
      const want = this.find(cid)
      if (want !== undefined && !want.hasArrived) void this.#deliverStored(want)
    }
  }

  [Symbol.dispose] (): void {
    clearInterval(this.#timer)
    for (const id of Array.from(this.#peers.keys())) this.disconnected(id)
  }

  #takePresence (peer: AskedPeer, { cid, type }: BlockPresence): void {
    // A want that is over still tells who holds the DAG.
    const want = peer.answered(multihashKey(cid))
    if (want === undefined) return
    const owed = want.askedForBlock.has(peer)
    if (type === 'have') {
      want.lackedBy.delete(peer.id)
      // A want for the block stays open: HAVE is no answer to it.
      if (!owed) peer.fulfilled(want)
      for (const observer of Array.from(want.observers)) observer.onHave(want, peer)
      return
    }
    want.lackedBy.add(peer.id)
    if (want.hasArrived) peer.cancel(want)
    else peer.end(want)
    for (const observer of Array.from(want.observers)) {
      if (owed) observer.onAskEnded(want, peer, 'dont-have')
      else observer.onLack(want, peer)
    }
  }

  async #takeBlock (peer: AskedPeer, { prefix: prefixBytes, data }: BlockPayload): Promise<void> {
    const prefix = decodeCidPrefix(prefixBytes)
    if (!peer.expects(prefix) || this.isBanned(peer.id)) {
      this.#counts.unrequestedBlockCount++
      return
    }
    this.#counts.hashedBlockCount++
    let key = ''
    const verified = await verifyPayload(prefix, data, (found) => {
      key = found
      return this.#wants.get(found)
    })
    if (!peer.wasAsked(key)) {
      if (verified === undefined) this.#strike(peer)
      else this.#counts.unrequestedBlockCount++
      return
    }
    if (verified !== undefined) peer.delivered(verified.found, data.byteLength)
    if (verified === undefined || verified.found.hasArrived) this.#counts.duplicateBlockCount++
    else this.#arrive(verified.found, verified.block, peer)
  }

  #arrive (want: Want, block: Block, peer: AskedPeer): void {
    this.#counts.receivedBlockCount++
    this.#counts.receivedByteLength += block.bytes.byteLength
    want.hasArrived = true
    this.#cancelAnswered(want)
    for (const observer of Array.from(want.observers)) observer.onArrived(want, block, peer)
    void this.#store(want, block)
  }

  async #store (want: Want, block: Block): Promise<void> {
    try {
      await this.#keeper.keep(block)
    } catch (err) {
      this.#wants.delete(want.key)
      for (const observer of Array.from(want.observers)) observer.onFailed(want, err)
      return
    }
    this.#finish(want, block)
    this.#deps.onStored([want.cid])
  }

  async #deliverStored (want: Want): Promise<void> {
    try {
      const block = await this.#deps.blocks.get(want.cid)
      if (block === undefined || want.hasArrived || want.observers.size === 0) return
      want.hasArrived = true
      this.#cancelAll(want)
      this.#finish(want, block)
    } catch (err) {
      this.#deps.log.debug('Block that was announced could not be read', { cid: want.cid.toString(), err })
    }
  }

  #finish (want: Want, block: Block): void {
    this.#wants.delete(want.key)
    for (const observer of Array.from(want.observers)) observer.onStored(want, block)
  }

  #cancelAll (want: Want): void {
    for (const peer of Array.from(want.knownBy)) peer.cancel(want)
  }

  /** Whoever was asked for HAVE answers at once, so a cancel saves nothing; and the answer is worth knowing. */
  #cancelAnswered (want: Want): void {
    for (const peer of Array.from(want.knownBy)) {
      if (!want.askedForHave.has(peer)) peer.cancel(want)
    }
  }

  /** Wrong bytes: whatever else the peer owes is asked elsewhere, and at last it is not asked again. */
  #strike (peer: AskedPeer): void {
    this.#counts.wrongBlockCount++
    peer.strikeCount++
    this.#deps.log.warn('Peer sent bytes that nobody asked it for', { peer: peer.id, strikeCount: peer.strikeCount })
    if (peer.strikeCount >= MAX_STRIKES) this.#ban(peer.id)
    this.#endAll(peer, 'wrong')
  }

  #ban (id: PeerId): void {
    this.#bannedUntilMs.set(id, performance.now() + BAN_MS)
    for (const oldest of this.#bannedUntilMs.keys()) {
      if (this.#bannedUntilMs.size <= MAX_BANNED_PEERS) break
      this.#bannedUntilMs.delete(oldest)
    }
  }

  #endAll (peer: AskedPeer, why: AskEnd): void {
    for (const want of peer.endAll()) this.#askEnded(want, peer, why)
  }

  #expire (): void {
    const nowMs = performance.now()
    for (const peer of this.#peers.values()) {
      for (const want of peer.takeExpired(nowMs)) {
        peer.end(want)
        want.missedBy.add(peer.id)
        this.#askEnded(want, peer, 'timeout')
      }
    }
  }

  #askEnded (want: Want, peer: AskedPeer, why: AskEnd): void {
    for (const observer of Array.from(want.observers)) observer.onAskEnded(want, peer, why)
  }
}
