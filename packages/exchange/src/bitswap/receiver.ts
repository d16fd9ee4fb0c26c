import type { BlockReader, BlockWriter } from '@holdfast/blockstore'
import { type Block, type Logger, multihashKey } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { setImmediate } from 'node:timers/promises'
import type { AskedPeer } from './asked-peer.ts'
import type { Bans } from './bans.ts'
import { BlockKeeper } from './block-keeper.ts'
import { decodeCidPrefix } from './cid-prefix.ts'
import { BLOCKS_PER_SLICE, BYTES_PER_SLICE, PRESENCES_PER_SLICE } from './limits.ts'
import type { BitswapMessage, BlockPayload, BlockPresence } from './message.ts'
import { verifyPayload } from './verify-payload.ts'
import type { WantBook } from './want-book.ts'
import type { Want } from './want.ts'

/** Blocks with wrong bytes after which nothing is asked of a peer. */
export const MAX_STRIKES = 3

export interface ReceiverStats {
  readonly receivedBlockCount: number
  readonly receivedByteLength: number
  /** Blocks that were asked for and came again. */
  readonly duplicateBlockCount: number
  readonly duplicateByteLength: number
  /** Blocks that matched no open want by hash function and length: dropped without being hashed. */
  readonly unrequestedBlockCount: number
  /** Blocks that were hashed and are not what was asked for. */
  readonly wrongBlockCount: number
  readonly hashedBlockCount: number
}

export interface ReceiverDeps {
  readonly wants: WantBook
  readonly bans: Bans
  readonly blocks: BlockReader & BlockWriter
  readonly log: Logger
  /** Fetched blocks are stored now: peers may wait for them. */
  readonly onStored: (cids: readonly CID[]) => void
}

/** Takes in what peers answer: matches it to what was asked, verifies each block once, stores it, and tells who wanted it. */
export class Receiver {
  readonly #deps: ReceiverDeps
  readonly #keeper: BlockKeeper
  readonly #counts = { receivedBlockCount: 0, receivedByteLength: 0, duplicateBlockCount: 0, duplicateByteLength: 0, unrequestedBlockCount: 0, wrongBlockCount: 0, hashedBlockCount: 0 }

  constructor (deps: ReceiverDeps) {
    this.#deps = deps
    this.#keeper = new BlockKeeper(deps.blocks)
  }

  get stats (): ReceiverStats {
    return { ...this.#counts }
  }

  /** Takes in a message. Waits while the store is behind, which slows the peer down. */
  async receive (peer: AskedPeer, { blocks, presences }: BitswapMessage): Promise<void> {
    for (const [index, presence] of presences.entries()) {
      if (index % PRESENCES_PER_SLICE === PRESENCES_PER_SLICE - 1) await setImmediate()
      this.#takePresence(peer, presence)
    }
    let sliceBytes = 0
    for (const [index, payload] of blocks.entries()) {
      if (sliceBytes >= BYTES_PER_SLICE || index % BLOCKS_PER_SLICE === BLOCKS_PER_SLICE - 1) {
        await setImmediate()
        sliceBytes = 0
      }
      sliceBytes += payload.data.byteLength
      await this.#takeBlock(peer, payload)
    }
    if (blocks.length > 0) await this.#keeper.room()
  }

  /** This block was stored by someone else: nobody needs to fetch it. */
  async deliverStored (want: Want): Promise<void> {
    try {
      const block = await this.#deps.blocks.get(want.cid)
      if (block === undefined || want.hasArrived || want.observers.size === 0) return
      want.hasArrived = true
      want.cancelAll()
      this.#deps.wants.finish(want, block)
    } catch (err) {
      this.#deps.log.debug('Block that was announced could not be read', { cid: want.cid.toString(), err })
    }
  }

  #takePresence (peer: AskedPeer, { cid, type }: BlockPresence): void {
    // A want that is over still tells who holds the DAG.
    const want = peer.answered(multihashKey(cid))
    if (want === undefined) return
    if (type === 'have') this.#takeHave(peer, want)
    else this.#takeDontHave(peer, want)
  }

  #takeHave (peer: AskedPeer, want: Want): void {
    want.lackedBy.delete(peer.id)
    // A want for the block stays open: HAVE is no answer to it.
    if (want.askedForBlock.has(peer)) peer.saidHave(want)
    else peer.fulfilled(want)
    for (const observer of Array.from(want.observers)) observer.onHave(want, peer)
  }

  #takeDontHave (peer: AskedPeer, want: Want): void {
    const owed = want.askedForBlock.has(peer)
    want.lackedBy.add(peer.id)
    if (want.hasArrived) peer.cancel(want)
    else peer.end(want)
    if (owed) want.askEnded(peer, 'dont-have')
    else for (const observer of Array.from(want.observers)) observer.onLack(want, peer)
  }

  async #takeBlock (peer: AskedPeer, { prefix: prefixBytes, data }: BlockPayload): Promise<void> {
    const prefix = decodeCidPrefix(prefixBytes)
    if (!peer.expects(prefix) || this.#deps.bans.has(peer.id)) {
      this.#counts.unrequestedBlockCount++
      return
    }
    this.#counts.hashedBlockCount++
    let key = ''
    const verified = await verifyPayload(prefix, data, (found) => {
      key = found
      return this.#deps.wants.get(found)
    })
    const want = verified?.found ?? peer.askedWant(key)
    if (!peer.wasAsked(key)) {
      if (verified === undefined) this.#strike(peer)
      else this.#counts.unrequestedBlockCount++
      return
    }
    if (want === undefined) peer.deliveredLate()
    else peer.delivered(want, data.byteLength)
    if (verified === undefined || verified.found.hasArrived) this.#takeDuplicate(peer, want, data.byteLength)
    else this.#arrive(verified.found, verified.block, peer)
  }

  /** The block came from elsewhere before. A short one may be all the answer that there is to HAVE. */
  #takeDuplicate (peer: AskedPeer, want: Want | undefined, byteLength: number): void {
    this.#counts.duplicateBlockCount++
    this.#counts.duplicateByteLength += byteLength
    for (const observer of Array.from(want?.observers ?? [])) if (want !== undefined) observer.onHave(want, peer)
  }

  #arrive (want: Want, block: Block, peer: AskedPeer): void {
    this.#counts.receivedBlockCount++
    this.#counts.receivedByteLength += block.bytes.byteLength
    want.hasArrived = true
    want.cancelAnswered()
    for (const observer of Array.from(want.observers)) observer.onArrived(want, block, peer)
    void this.#store(want, block)
  }

  async #store (want: Want, block: Block): Promise<void> {
    try {
      await this.#keeper.keep(block)
    } catch (err) {
      this.#deps.wants.fail(want, err, block)
      return
    }
    this.#deps.wants.finish(want, block)
    this.#deps.onStored([want.cid])
  }

  /** Wrong bytes: whatever else the peer owes is asked elsewhere, and at last it is not asked again. */
  #strike (peer: AskedPeer): void {
    this.#counts.wrongBlockCount++
    peer.trust.strikeCount++
    this.#deps.log.warn('Peer sent bytes that nobody asked it for', { peer: peer.id, strikeCount: peer.trust.strikeCount })
    if (peer.trust.strikeCount >= MAX_STRIKES) this.#deps.bans.add(peer.id)
    for (const want of peer.endAll()) want.askEnded(peer, 'wrong')
  }
}
