import type { Blockstore } from '@holdfast/blockstore'
import type { Logger } from '@holdfast/core'
import type { Host, PeerId } from '@holdfast/network'
import { MAX_DOUBTS } from '../limits.ts'
import type { PinKey } from '../map/stored-record.ts'
import type { Replication } from '../replication.ts'
import { Audits } from './audits.ts'
import type { ClusterWatch } from './cluster-watch.ts'
import { CHALLENGE_ROUND_MS } from './limits.ts'
import type { OwnCopies } from './own-copies.ts'
import type { Content, PinIndex } from './pin-index.ts'

export interface CoHoldersDeps {
  readonly replication: Pick<Replication, 'holds'>
  readonly index: PinIndex
  readonly copies: Pick<OwnCopies, 'isPinned'>
  readonly watch: Pick<ClusterWatch, 'sight'>
  readonly host: Host
  readonly blocks: Blockstore
  readonly self: PeerId
  readonly log: Logger
  readonly intervalMs: number
  /** Whether copies are being made, which is more urgent. */
  readonly isBusy: () => boolean
  /** Told when this node's word on a content changed. */
  readonly onChange: (pinKey: PinKey) => void
  /** Told when an own copy lacks a block. */
  readonly onOwnLoss: (pinKey: PinKey) => void
}

/** Has those that hold the same as this node prove it, and remembers whom it doubts. */
export class CoHolders implements AsyncDisposable {
  readonly #deps: CoHoldersDeps
  readonly #audits: Audits
  /** Members whose copy was found wanting, as far as that changed since this node started. */
  readonly #doubts = new Map<PinKey, Set<PeerId>>()
  #audited: Iterator<Content> | undefined

  constructor (deps: CoHoldersDeps) {
    this.#deps = deps
    const { host, blocks, log, watch, self, onOwnLoss } = deps
    this.#audits = new Audits({
      host,
      blocks,
      log,
      isBusy: deps.isBusy,
      isPartner: (peer) => watch.sight.isMember && peer !== self && watch.sight.members.has(peer),
      contentOf: (pinKey, peer) => this.#auditable(pinKey, peer),
      onVerdict: (pinKey, peer, isHeld) => { this.#onVerdict(pinKey, peer, isHeld) },
      onOwnLoss
    })
  }

  /** Begins to answer challenges. */
  open (): void {
    this.#audits.open()
  }

  /** Members whose copy this node doubts. */
  doubtsOf (pinKey: PinKey): ReadonlySet<PeerId> {
    const { replication, self } = this.#deps
    return this.#doubts.get(pinKey) ?? new Set(replication.holds(pinKey).find(({ holder }) => holder === self)?.doubts)
  }

  /** New claims are challenged once both have a copy. */
  onHold (pinKey: PinKey, holder: PeerId): void {
    const { self, replication } = this.#deps
    const others = holder === self ? replication.holds(pinKey).map(({ holder }) => holder) : [holder]
    for (const peer of others) if (this.#auditable(pinKey, peer) !== undefined) this.#audits.add(pinKey, peer)
  }

  /** An interval went by. Each claim comes up about once a day, in a random part of the intervals. */
  tick (): void {
    const { index, intervalMs, self } = this.#deps
    const due = index.contentCount * intervalMs / CHALLENGE_ROUND_MS
    for (let count = Math.floor(due + Math.random()); count > 0; count--) {
      this.#audited ??= index.contents()
      const { done, value } = this.#audited.next()
      if (done === true) this.#audited = undefined
      else this.onHold(value.pinKey, self)
    }
  }

  forget (pinKey: PinKey): void {
    this.#doubts.delete(pinKey)
  }

  clear (): void {
    this.#doubts.clear()
    this.#audited = undefined
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.#audits[Symbol.asyncDispose]()
  }

  #auditable (pinKey: PinKey, peer: PeerId): Content | undefined {
    const { self, replication, copies, index } = this.#deps
    const content = index.get(pinKey)
    if (content === undefined || peer === self) return undefined
    const claiming = new Set(replication.holds(pinKey).filter(({ state }) => state === 'verified').map(({ holder }) => holder))
    return claiming.has(self) && claiming.has(peer) && copies.isPinned(content) ? content : undefined
  }

  #onVerdict (pinKey: PinKey, peer: PeerId, isHeld: boolean): void {
    if (this.#auditable(pinKey, peer) === undefined) return
    const doubts = this.doubtsOf(pinKey)
    if (doubts.has(peer) !== isHeld || !isHeld && doubts.size >= MAX_DOUBTS) return
    this.#deps.log[isHeld ? 'info' : 'warn'](isHeld ? 'A member proved a copy that was doubted' : 'A member does not hold a copy that it claims', { pinKey, peer })
    this.#doubts.set(pinKey, new Set(isHeld ? [...doubts].filter((doubted) => doubted !== peer) : [...doubts, peer]))
    this.#deps.onChange(pinKey)
  }
}
