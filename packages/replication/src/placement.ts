/**
 * Which members hold a pin: weighted rendezvous hashing, spread over zones.
 *
 * A pure function of the pin and the members, so every member computes the same and nothing is stored per pin.
 *
 * @see Thaler & Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", 1998; Schindelhauer & Schomaker, "Weighted Distributed Hash Tables", SPAA 2005
 */
import type { PeerId } from '@holdfast/network'
import { hash } from 'node:crypto'
import type { PinKey } from './map/stored-record.ts'

/** A member as a place for copies. */
export interface PlacementMember {
  readonly peer: PeerId
  /** Members without a zone count as one zone. */
  readonly zone: string | undefined
  /** Declared capacity in any unit; at 0 it gets no copies, and as an origin keeps the one that it made. Not free space, which changes all the time. */
  readonly weight: number
  /** Takes no new copies, and keeps those that it has. */
  readonly isFull: boolean
  /** A draining member keeps nothing. */
  readonly state: 'active' | 'draining'
}

export interface PlacementRequest {
  readonly pinKey: PinKey
  /** How many at most. */
  readonly copies: number | 'all'
  /** The member that added the pin, and so keeps a copy anyway; it counts. */
  readonly origin?: PeerId | undefined
  /** The zones that may hold it. @default any */
  readonly zones?: readonly string[] | undefined
  /** Members with a proven copy: they stay while they rank only a little too low. @default none */
  readonly holders?: ReadonlySet<PeerId> | undefined
}

/** How far below the last place a holder may rank and stay. reference/replication.md 5.5. */
export const RANK_SLACK = 2

/**
 * Chooses the members that should hold a pin, the first choice first. Fewer than asked for when there are not as many.
 *
 * Unused zones come before used ones; within that, holders before others, and then the score decides.
 */
export function placeCopies ({ pinKey, copies, origin, zones, holders = NOBODY }: PlacementRequest, members: readonly PlacementMember[]): PeerId[] {
  const allowed = members.filter(({ peer, zone, weight, state }) => state === 'active' && (weight > 0 || peer === origin && holders.has(peer)) && (zones === undefined || zone !== undefined && zones.includes(zone)))
  const isHolder = ({ peer }: PlacementMember): boolean => holders.has(peer) || peer === origin
  const order = spread(byScore(pinKey, allowed.filter((member) => !member.isFull || isHolder(member))))
  const count = copies === 'all' ? order.length : Math.min(copies, order.length)

  const sticky = new Set(order.filter((member, rank) => isHolder(member) && rank < count + RANK_SLACK))
  const chosen = new Set(order.filter(({ peer }) => peer === origin))
  const usedZones = new Set([...chosen].map(({ zone }) => zone))
  const take = (fits: (member: PlacementMember) => boolean): void => {
    for (const member of order) {
      if (chosen.size >= count) return
      if (chosen.has(member) || !fits(member)) continue
      chosen.add(member)
      usedZones.add(member.zone)
    }
  }
  take((member) => sticky.has(member) && !usedZones.has(member.zone))
  take(({ zone }) => !usedZones.has(zone))
  take((member) => sticky.has(member))
  take(() => true)
  return [...chosen].slice(0, count).map(({ peer }) => peer)
}

const NOBODY: ReadonlySet<PeerId> = new Set()

/** The best of each zone first, then the rest. */
function spread (ranked: readonly PlacementMember[]): PlacementMember[] {
  const best = new Set(new Map(ranked.toReversed().map((member) => [member.zone, member])).values())
  return [...ranked.filter((member) => best.has(member)), ...ranked.filter((member) => !best.has(member))]
}

function byScore (pinKey: PinKey, members: readonly PlacementMember[]): PlacementMember[] {
  const pin = wordsOf(hash('sha256', pinKey, 'buffer'))
  return members
    .map((member) => ({ member, score: -member.weight / Math.log(draw(pin, peerWords(member.peer))) }))
    .sort((a, b) => b.score - a.score || (a.member.peer < b.member.peer ? -1 : 1))
    .map(({ member }) => member)
}

type Words = readonly [number, number]

/** A number in (0, 1) that pin and peer decide, with 53 bits: both are hashed once, then only words are mixed. */
function draw ([pinHigh, pinLow]: Words, [peerHigh, peerLow]: Words): number {
  const high = mix(peerHigh ^ mix(pinHigh))
  const low = mix(peerLow ^ mix(pinLow ^ high))
  return (high * 2 ** 21 + (low >>> 11) + 0.5) / 2 ** 53
}

/** The finaliser of MurmurHash3: every bit of the input changes every bit of the result with even odds. */
function mix (word: number): number {
  let mixed = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

const MAX_KNOWN_PEERS = 2048
const knownWords = new Map<PeerId, Words>()

function peerWords (peer: PeerId): Words {
  const known = knownWords.get(peer)
  if (known !== undefined) return known
  if (knownWords.size >= MAX_KNOWN_PEERS) knownWords.clear()
  const words = wordsOf(hash('sha256', peer, 'buffer'))
  knownWords.set(peer, words)
  return words
}

function wordsOf (digest: Buffer): Words {
  return [digest.readUInt32BE(0), digest.readUInt32BE(4)]
}
