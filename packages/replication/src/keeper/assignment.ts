import type { PeerId } from '@holdfast/network'
import type { PinKey } from '../map/stored-record.ts'
import { placeCopies } from '../placement.ts'
import type { Claim } from './claims.ts'
import type { ClusterSight, KeepingMember } from './cluster-watch.ts'
import type { WantedPin } from './pin-index.ts'

export interface AssignmentRequest {
  readonly pinKey: PinKey
  readonly pin: WantedPin
  readonly claims: readonly Claim[]
  /** Whether this node, as the one that added it, has it pinned here already. */
  readonly isPinnedHere: boolean
  /** Members that do not take this pin, whatever their place. */
  readonly skipped: (peer: PeerId) => boolean
}

/**
 * Which members should hold a pin, the first choice first: a function of what this node sees.
 *
 * Each node decides for itself alone. Where two see different things for a while there is a copy too many, never one too few.
 */
export function assignedTo ({ pinKey, pin, claims, isPinnedHere, skipped }: AssignmentRequest, sight: Pick<ClusterSight, 'members' | 'isCutOff'>): PeerId[] {
  const places = [...sight.members.values()]
    // Who is cut off believes that the others are well, and leaves their copies to them.
    .filter(({ peer, isDown }) => (sight.isCutOff || !isDown) && !skipped(peer))
    .map(({ peer, zone, weight, isFull }) => ({ peer, zone, weight, isFull, state: 'active' as const }))
  const holders = new Set(claims.filter((claim) => claim.isCounted || claim.holder === pin.origin && isOnItsWay(claim)).map(({ holder }) => holder))
  if (isPinnedHere && sight.members.get(pin.origin)?.isSelf === true) holders.add(pin.origin)
  return placeCopies({ pinKey, copies: pin.max, origin: pin.origin, zones: pin.zones, holders }, places)
}

/** The origin says that it has it, and did not verify it yet: no other needs to take its place. */
function isOnItsWay ({ state, why }: Claim): boolean {
  return why === undefined && (state === 'complete' || state === 'fetching')
}

/** Whether a member may hold a pin at all, as it may be full or gone. */
export function mayHold ({ zone, weight }: KeepingMember, { zones }: WantedPin): boolean {
  return weight > 0 && (zones === undefined || zone !== undefined && zones.includes(zone))
}
