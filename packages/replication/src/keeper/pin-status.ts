import type { PeerId } from '@holdfast/network'
import type { ClusterPin } from '../cluster/cluster-pin.ts'
import { mayHold } from './assignment.ts'
import type { Claim } from './claims.ts'
import type { ClusterSight } from './cluster-watch.ts'
import type { WantedPin } from './pin-index.ts'
import type { Failure } from './retry-book.ts'

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

/** What a status is made of. */
export interface StatusParts {
  readonly pin: ClusterPin
  readonly wanted: WantedPin
  readonly claims: readonly Claim[]
  /** The members that should hold it, the first choice first. */
  readonly assigned: readonly PeerId[]
  readonly sight: ClusterSight
  /** Fetches that members told of in heartbeats, and the own one. */
  readonly fetchOf: (peer: PeerId) => { readonly percent?: number, readonly bytesPerSecond: number } | undefined
  /** What only this node knows of its own copy. */
  readonly own: { readonly isQueued: boolean, readonly failure: Failure | undefined }
  readonly isExpired: boolean
}

/** Puts together what is known of a pin. */
export function statusOf (parts: StatusParts): PinStatus {
  const { pin, wanted, claims, sight, assigned } = parts
  const peers = new Set([...assigned, ...claims.filter(({ holder, state }) => state !== 'dropping' && sight.members.has(holder)).map(({ holder }) => holder)])
  const holders = [...peers].map((peer) => copyStatus(peer, parts))
  const counted = holders.filter(({ isCounted }) => isCounted)
  const able = [...sight.members.values()].filter((member) => mayHold(member, wanted) || counted.some(({ peer }) => peer === member.peer))
  const max = wanted.max === 'all' ? Math.max(wanted.min, able.length) : wanted.max
  const missing = parts.isExpired ? 'expired' : counted.length >= max ? undefined : whyMissing({ max, ableCount: able.length, holders, countedCount: counted.length, isCutOff: sight.isCutOff })
  return {
    pin,
    state: stateOf({ counted: counted.length, min: wanted.min, max, canWork: holders.some(({ state, why }) => WORKING.has(state) && why === undefined) }),
    copies: { min: wanted.min, max },
    countedCount: counted.length,
    zoneCount: new Set(counted.map(({ zone }) => zone)).size,
    holders,
    ...missing !== undefined && { missing }
  }
}

const WORKING: ReadonlySet<CopyStatus['state']> = new Set(['fetching', 'queued', 'waiting'])

function stateOf ({ counted, min, max, canWork }: { counted: number, min: number, max: number, canWork: boolean }): PinStatus['state'] {
  if (counted >= max) return 'pinned'
  if (counted >= min) return 'degraded'
  return canWork ? 'pinning' : 'unavailable'
}

function copyStatus (peer: PeerId, { claims, sight, fetchOf, own }: StatusParts): CopyStatus {
  const claim = claims.find(({ holder }) => holder === peer)
  const member = sight.members.get(peer)
  const fetch = fetchOf(peer)
  const failure = member?.isSelf === true && fetch === undefined ? own.failure : undefined
  const state = failure?.state ?? copyState(claim, { isFetching: fetch !== undefined, isQueued: member?.isSelf === true && own.isQueued })
  const why = (member?.goneMs ?? 0) > 0 ? `unreachable for ${inWords(member?.goneMs ?? 0)}` : failure?.why ?? (claim?.isDoubted === true ? 'another holder found it wanting' : claim?.why)
  return {
    peer,
    ...member?.zone !== undefined && { zone: member.zone },
    state,
    isCounted: claim?.isCounted ?? false,
    byteLength: claim?.byteLength ?? 0,
    ...claim?.state === 'verified' && { verifiedAtMs: claim.atMs },
    ...state === 'fetching' && fetch,
    ...why !== undefined && { why }
  }
}

function copyState (claim: Claim | undefined, { isFetching, isQueued }: { isFetching: boolean, isQueued: boolean }): CopyStatus['state'] {
  switch (claim?.state) {
    case 'verified': return claim.isDoubted ? 'corrupt' : 'verified'
    case 'refused': case 'corrupt': return claim.state
    case 'queued': if (claim.why !== undefined && !isFetching) return 'failed'
  }
  if (isFetching || claim?.state === 'fetching' || claim?.state === 'complete') return 'fetching'
  return isQueued || claim?.state === 'queued' ? 'queued' : 'waiting'
}

function whyMissing ({ max, ableCount, holders, countedCount, isCutOff }: { max: number, ableCount: number, holders: readonly CopyStatus[], countedCount: number, isCutOff: boolean }): string {
  if (isCutOff) return 'most members cannot be reached: this node waits for them'
  if (ableCount < max) return `waiting for members (${ableCount} of ${max})`
  const refusing = holders.filter(({ state }) => state === 'refused').length
  const working = holders.filter(({ state, why }) => WORKING.has(state) && why === undefined).length
  if (refusing > 0 && countedCount + working < max) return `no space on ${refusing} ${refusing === 1 ? 'member' : 'members'}`
  const failed = holders.find(({ state, why }) => state === 'failed' && why !== undefined)
  if (working === 0 && failed?.why !== undefined) return failed.why
  const gone = holders.find(({ isCounted, why }) => !isCounted && why?.startsWith('unreachable') === true)
  if (working === 0 && gone?.why !== undefined) return `a member is ${gone.why}`
  return `waiting for ${max - countedCount} ${max - countedCount === 1 ? 'copy' : 'copies'}`
}

function inWords (ms: number): string {
  const seconds = Math.floor(ms / 1000)
  if (seconds < 60) return `${seconds} s`
  return seconds < 3600 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`
}
