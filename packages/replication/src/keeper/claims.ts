import type { PeerId } from '@holdfast/network'
import type { HoldView } from '../cluster/own-holds.ts'
import type { ClusterSight } from './cluster-watch.ts'
import { FRESH_MS, SMALL_BYTES } from './limits.ts'
import type { WantedPin } from './pin-index.ts'

/** What a member says of its copy, and what that is worth. */
export interface Claim extends HoldView {
  /** Verified, fresh, its holder not down, and nobody doubts it who should be believed. */
  readonly isCounted: boolean
  readonly isDoubted: boolean
}

/**
 * Judges what members say of their copies of one content.
 *
 * A doubt is believed when its author has a copy itself, and is not doubted by more holders than the one it doubts: a
 * liar that doubts everybody is doubted by everybody.
 */
export function judgeClaims (holds: readonly HoldView[], { members, nowMs }: Pick<ClusterSight, 'members' | 'nowMs'>): Claim[] {
  const isClaim = ({ holder, state, atMs }: HoldView): boolean => state === 'verified' && nowMs - atMs <= FRESH_MS && members.get(holder)?.isDown === false
  const claiming = holds.filter(isClaim)
  const doubts = claiming.flatMap(({ holder, doubts }) => doubts.filter((peer) => peer !== holder).map((peer) => ({ by: holder, of: peer })))
  const countOf = (peer: PeerId): number => doubts.filter(({ of }) => of === peer).length
  const isDoubted = (peer: PeerId): boolean => doubts.some(({ by, of }) => of === peer && countOf(by) <= countOf(peer))
  return holds.map((hold) => {
    const doubted = doubts.length > 0 && isDoubted(hold.holder)
    return { ...hold, isDoubted: doubted, isCounted: !doubted && claiming.includes(hold) }
  })
}

/**
 * Whether a copy that is missing is made again, not for the first time: somebody had one and lost it, or a member was removed since all of
 * the pins were put, which may have been the one that had it. What it said went with it, so that is taken to be so as long as anybody has a copy.
 */
export function isRepair (claims: readonly Claim[], pins: readonly Pick<WantedPin, 'createdMs'>[], { lastRemovalMs }: Pick<ClusterSight, 'lastRemovalMs'>): boolean {
  if (claims.some(({ state, isCounted }) => state === 'verified' && !isCounted)) return true
  return claims.some(({ isCounted }) => isCounted) && pins.every(({ createdMs }) => createdMs < lastRemovalMs)
}

/** How many bytes it has, as those with a copy say; 0 when none is there to say. */
export function toldBytesOf (claims: readonly Claim[]): number {
  return Math.max(0, ...claims.filter(({ isCounted }) => isCounted).map(({ byteLength }) => byteLength))
}

/** Whether it is small by what those with a copy say: a search for others that have it would cost more than the fetch. */
export function isSmall (claims: readonly Claim[]): boolean {
  const toldBytes = toldBytesOf(claims)
  return toldBytes > 0 && toldBytes <= SMALL_BYTES
}
