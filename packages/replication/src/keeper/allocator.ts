import type { PeerId } from '@holdfast/network'
import type { PinKey } from '../map/stored-record.ts'
import type { Replication } from '../replication.ts'
import { assignedTo } from './assignment.ts'
import { type Claim, judgeClaims, toldBytesOf } from './claims.ts'
import type { ClusterSight } from './cluster-watch.ts'
import { MAX_UNSHARED_BYTES, REFUSAL_MS } from './limits.ts'
import { type Content, isExpired, type WantedPin } from './pin-index.ts'
import type { RetryBook } from './retry-book.ts'

export interface AllocatorDeps {
  readonly replication: Pick<Replication, 'holds'>
  readonly self: PeerId
  readonly retries: RetryBook
  readonly graceMs: number
  /** Whether this node has a pin of the cluster for it. */
  readonly isPinnedHere: (pinKey: PinKey) => boolean
}

/** Decides to whom copies fall, passing over members that have no space, no true copy, or do not get to it. */
export class Allocator {
  readonly #deps: AllocatorDeps
  /** Since when a copy falls to a member that said nothing of it, on the monotonic clock. */
  readonly #silentSince = new Map<PinKey, Map<PeerId, number>>()

  constructor (deps: AllocatorDeps) {
    this.#deps = deps
  }

  claimsOf (pinKey: PinKey, sight: ClusterSight): Claim[] {
    return judgeClaims(this.#deps.replication.holds(pinKey), sight)
  }

  /** To whom the copies of a pin fall, the first choice first. */
  assign (pin: WantedPin, pinKey: PinKey, claims: readonly Claim[], sight: ClusterSight): PeerId[] {
    return assignedTo({ pinKey, pin, claims, isPinnedHere: this.#deps.isPinnedHere(pinKey), skipped: (peer) => this.#isSkipped(peer, pinKey, claims, sight) }, sight)
  }

  /** Who else is to make a copy of what an origin has. All that are to, see the same ones. */
  companionsOf ({ pinKey, pins }: Content, claims: readonly Claim[], sight: ClusterSight): PeerId[] {
    const toldBytes = toldBytesOf(claims)
    if (toldBytes > 0 && toldBytes <= MAX_UNSHARED_BYTES) return []
    const wanted = [...pins.values()].filter((pin) => !isExpired(pin, sight))
    const sources = new Set([this.#deps.self, ...wanted.map(({ origin }) => origin), ...claims.filter(({ isCounted }) => isCounted).map(({ holder }) => holder)])
    return [...new Set(wanted.flatMap((pin) => this.assign(pin, pinKey, claims, sight)))].filter((peer) => !sources.has(peer))
  }

  /** Notes members to whom a copy falls and that said nothing of it yet. */
  noteSilence (pinKey: PinKey, silent: readonly PeerId[]): void {
    const known = this.#silentSince.get(pinKey)
    if (silent.length === 0 && known === undefined) return
    const claimed = new Set(this.#deps.replication.holds(pinKey).map(({ holder }) => holder))
    const since = new Map([...known ?? []].filter(([peer]) => !claimed.has(peer)))
    for (const peer of silent) if (peer !== this.#deps.self && !since.has(peer)) since.set(peer, performance.now())
    if (since.size === 0) this.#silentSince.delete(pinKey)
    else this.#silentSince.set(pinKey, since)
  }

  forget (pinKey: PinKey): void {
    this.#silentSince.delete(pinKey)
  }

  clear (): void {
    this.#silentSince.clear()
  }

  /** Whether the next in order takes this instead: the member has no space, no true copy, or does not get to it. */
  #isSkipped (peer: PeerId, pinKey: PinKey, claims: readonly Claim[], { nowMs }: ClusterSight): boolean {
    const { self, graceMs, retries } = this.#deps
    if (peer === self) return retries.get(pinKey)?.state === 'refused' && !retries.isDue(pinKey)
    const claim = claims.find(({ holder }) => holder === peer)
    if (claim === undefined) return performance.now() - (this.#silentSince.get(pinKey)?.get(peer) ?? Infinity) > graceMs
    const ageMs = nowMs - claim.atMs
    if (claim.state === 'refused') return ageMs < REFUSAL_MS
    const isFailing = claim.why !== undefined && (claim.state === 'queued' || claim.state === 'corrupt')
    return claim.isDoubted || isFailing && ageMs > graceMs && claims.some(({ isCounted }) => isCounted)
  }
}
