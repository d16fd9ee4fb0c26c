import { type Block, multihashKey } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import type { AskedPeer } from './asked-peer.ts'

/** Why an ask ended without a block. */
export type AskEnd = 'dont-have' | 'timeout' | 'gone' | 'wrong' | 'stolen'

/** Who is told what becomes of a want. */
export interface WantObserver {
  /** A peer says that it holds the block. */
  onHave(want: Want, peer: AskedPeer): void
  /** A peer was asked for the block and will not send it. */
  onAskEnded(want: Want, peer: AskedPeer, why: AskEnd): void
  /** A peer that was only asked whether it holds the block does not. */
  onLack(want: Want, peer: AskedPeer): void
  /** The block came and is verified, but not stored yet. */
  onArrived(want: Want, block: Block, peer: AskedPeer): void
  /** The block is stored. The want is over. */
  onStored(want: Want, block: Block): void
  /** The block came and could not be stored. The want is over. */
  onFailed(want: Want, reason: unknown, block: Block): void
}

/** One block that is wanted, by however many sessions. */
export class Want {
  readonly key: string
  readonly cid: CID
  readonly observers: Set<WantObserver> = new Set()
  /** Peers that were asked for the block and have not answered. */
  readonly askedForBlock: Set<AskedPeer> = new Set()
  /** Peers that were asked whether they hold it and have not answered. */
  readonly askedForHave: Set<AskedPeer> = new Set()
  /** Peers that still know of the want, whatever they answered: a cancel has to reach them. */
  readonly knownBy: Set<AskedPeer> = new Set()
  /** Peers that said they lack it. */
  readonly lackedBy: Set<PeerId> = new Set()
  /** Peers that were asked for the block and did not send it in time. */
  readonly missedBy: Set<PeerId> = new Set()
  /** Bytes that the block has, by what its parent says. */
  readonly expectedBytes: number
  /** The block is here and on its way into the store, or was. */
  hasArrived = false

  constructor (cid: CID, expectedBytes: number) {
    this.cid = cid
    this.expectedBytes = expectedBytes
    this.key = multihashKey(cid)
  }

  /** A peer was asked for the block and will not send it. */
  askEnded (peer: AskedPeer, why: AskEnd): void {
    for (const observer of Array.from(this.observers)) observer.onAskEnded(this, peer, why)
  }

  /** Takes it back from every peer that knows of it. */
  cancelAll (): void {
    for (const peer of Array.from(this.knownBy)) peer.cancel(this)
  }

  /** The block is here. Whoever was asked for HAVE answers at once, so a cancel saves nothing; and the answer is worth knowing. */
  cancelAnswered (): void {
    for (const peer of Array.from(this.knownBy)) {
      if (!this.askedForHave.has(peer)) peer.cancel(this)
    }
  }
}
