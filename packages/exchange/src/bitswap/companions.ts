import { CODECS } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import type { CompanionOptions } from '../exchange.ts'
import type { AskedPeer } from './asked-peer.ts'
import type { BitswapClient } from './client.ts'
import { Companion } from './companion.ts'
import { Patience } from './patience.ts'
import { UNKNOWN_BYTES } from './read-ahead.ts'
import { type Candidate, candidateOf, rankFor } from './rendezvous.ts'
import type { Want } from './want.ts'

/** Length above which a block that is not raw is taken for a leaf: 1,024 links, the most that importers write, are 51 KiB. */
export const MIN_SHARED_BYTES: number = 64 * 1024

export interface CompanionsDeps {
  readonly client: Pick<BitswapClient, 'peer'>
  /** After how long without any block the session gives up. */
  readonly stallMs: number
}

/**
 * Peers that fetch the same DAG at the same time, so that whoever holds it sends each block about once.
 *
 * Each leaf has one responsible fetcher: the others ask that one, and it sends the block as soon as it has stored it. A companion
 * that is not connected, says that it lacks the block, lied, or sent nothing for a while counts as absent for that, and the next in
 * the order of the block is responsible, at last this node itself. Whoever waits does so for a peer that is before
 * it in the order of that block, so never do two wait for each other. Dag nodes with links are small and show what
 * comes next: each peer fetches all of them.
 */
export class Companions {
  readonly #deps: CompanionsDeps
  readonly #self: Candidate
  readonly #companions: ReadonlyMap<PeerId, Companion>
  readonly #candidates: readonly Candidate[]
  /** By want: the companion that owes it. */
  readonly #owing = new Map<Want, Companion>()
  readonly #patience: Patience

  constructor (deps: CompanionsDeps, { self, peers }: CompanionOptions = { self: '', peers: [] }) {
    this.#deps = deps
    this.#self = candidateOf(self)
    this.#companions = new Map(peers.filter((id) => id !== self).map((id) => [id, new Companion(id)]))
    this.#candidates = [this.#self, ...this.#companions.values().map(({ candidate }) => candidate)]
    this.#patience = new Patience(deps.stallMs)
  }

  includes ({ id }: AskedPeer): boolean {
    return this.#companions.has(id)
  }

  /** Companions that are connected. */
  get peers (): AskedPeer[] {
    return this.#companions.keys().map((id) => this.#deps.client.peer(id)).filter((peer) => peer !== undefined).toArray()
  }

  /** Reports whether a companion is waited for to send the block. */
  isOwed (want: Want): boolean {
    return this.#owing.has(want)
  }

  /** Waits for the companion that is responsible for a block. Reports `false` when this node is. */
  take (want: Want): boolean {
    if (this.#owing.has(want)) return true
    if (this.#companions.size === 0 || !isLeaf(want)) return false
    for (const candidate of rankFor(want.cid, this.#candidates)) {
      if (candidate === this.#self) return false
      const companion = this.#companions.get(candidate.id)
      const peer = this.#deps.client.peer(candidate.id)
      if (companion === undefined || peer === undefined || peer.trust.strikeCount > 0 || want.lackedBy.has(peer.id)) continue
      if (companion.isAbsent) {
        companion.call(peer, want)
        continue
      }
      this.#owing.set(want, companion)
      companion.owe(want, peer)
      return true
    }
    return false
  }

  /** A companion says that it has a block. */
  heardFrom ({ id }: AskedPeer): void {
    this.#companions.get(id)?.return()
  }

  arrived (want: Want, { id }: AskedPeer): void {
    const companion = this.#companions.get(id)
    if (companion === undefined) this.#patience.ownArrived(performance.now())
    else companion.delivered()
    this.forget(want)
  }

  /** This peer will not send the block: answers what is to be asked elsewhere, which is all that it owed when it lied. */
  ended (want: Want, peer: AskedPeer): Want[] {
    if (this.#owing.get(want)?.candidate.id !== peer.id) return []
    if (peer.trust.strikeCount > 0) return this.gone(peer)
    this.forget(want)
    return [want]
  }

  /** The want is over, or asked elsewhere. */
  forget (want: Want): void {
    const companion = this.#owing.get(want)
    if (companion === undefined) return
    this.#owing.delete(want)
    companion.forget(want)
    const peer = this.#deps.client.peer(companion.candidate.id)
    if (peer !== undefined) companion.ask(peer)
  }

  /** It will send nothing more: answers what it owed. */
  gone ({ id }: AskedPeer): Want[] {
    return this.#release(this.#companions.get(id)?.takeOwed() ?? [])
  }

  /**
   * Time went by: answers what companions were waited for in vain.
   *
   * @param isBusy Reports whether blocks of the own share are on their way.
   */
  takeOverdue (isBusy: () => boolean): Want[] {
    if (this.#companions.size === 0) return []
    const nowMs = performance.now()
    const isWaiting = this.#owing.size > 0
    this.#patience.look(nowMs, { isBusy: isBusy(), isWaiting })
    if (!isWaiting) return []
    this.#askMore()
    const overdue = this.#silent(nowMs).flatMap((companion) => this.#leave(companion, false))
    if (overdue.length === 0 && this.#patience.isSpent) overdue.push(...this.#leave(this.#slowest(), true))
    if (overdue.length > 0) this.#patience.renew(nowMs)
    return this.#release(overdue)
  }

  /** Other sessions may have left room. */
  #askMore (): void {
    for (const peer of this.peers) this.#companions.get(peer.id)?.ask(peer)
  }

  #silent (nowMs: number): Companion[] {
    return this.#companions.values().filter((companion) => companion.owedCount > 0 && this.#patience.isOver(nowMs, companion.lastMs)).toArray()
  }

  #slowest (): Companion | undefined {
    return Array.from(this.#companions.values()).toSorted((a, b) => b.owedCount - a.owedCount)[0]
  }

  #leave (companion: Companion | undefined, isSlow: boolean): Want[] {
    return companion?.leave(this.#deps.client.peer(companion.candidate.id), { isSlow }) ?? []
  }

  #release (wants: Want[]): Want[] {
    for (const want of wants) this.#owing.delete(want)
    return wants
  }
}

/** Reports whether the block has no links, as far as its CID and its parent say. */
function isLeaf ({ cid, expectedBytes }: Want): boolean {
  return cid.code === CODECS.raw || cid.code === CODECS.dagPb && expectedBytes > MIN_SHARED_BYTES && expectedBytes !== UNKNOWN_BYTES
}
