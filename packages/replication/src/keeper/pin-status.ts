import type { PeerId } from '@holdfast/network'
import type { ClusterPin } from '../replication.ts'

/** How one member's copy of a pin is. */
export interface CopyStatus {
  readonly peer: PeerId
  readonly zone?: string
  /** `waiting`: the copy falls to this member and nothing was heard of it yet. */
  readonly state: 'verified' | 'fetching' | 'queued' | 'waiting' | 'refused' | 'failed' | 'corrupt'
  /** Claimed, fresh, holder not down, and nobody doubts it. */
  readonly isCounted: boolean
  readonly byteLength: number
  /** When the holder verified it, in ms since 1970 on its clock. */
  readonly verifiedAtMs?: number
  /** While it is fetched. */
  readonly percent?: number
  readonly bytesPerSecond?: number
  /** `no space`, `unreachable for 12 min`, `nobody has it: asked 3 peers …` */
  readonly why?: string
}

/** How a pin is, as far as this node knows. */
export interface PinStatus {
  readonly pin: ClusterPin
  /**
   * `pinned`: at least `min` copies count and none that is wanted is missing; `degraded`: at least `min`, fewer than wanted;
   * `pinning`: below `min`, work is under way; `unavailable`: below `min`, no work is possible now.
   */
  readonly state: 'pinned' | 'degraded' | 'pinning' | 'unavailable'
  /** Copies wanted, as numbers: `'all'` is the number of members. */
  readonly copies: { readonly min: number, readonly max: number }
  readonly countedCount: number
  /** Zones in which a copy counts. */
  readonly zoneCount: number
  readonly holders: readonly CopyStatus[]
  /** Why fewer copies count than wanted; absent when none is missing. */
  readonly missing?: string
}
