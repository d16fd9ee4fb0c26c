/**
 * What time it is in the cluster: the time of this node, or, where most members agree on another one, that of theirs.
 *
 * Heartbeats tell the clocks of the members. Records are dated by this time and waited for by it, so that a node with a wrong clock
 * neither dates its records so that the others let them wait, nor lets theirs wait. Who holds which copies is not a matter of clocks.
 */
import type { Logger } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import { CLOCK_TOLERANCE_MS } from '../limits.ts'

/** An active member, as far as its clock is concerned. */
export interface ClockOwner {
  readonly peer: PeerId
  readonly isAdmin: boolean
}

export interface ClusterClockDeps {
  readonly self: PeerId
  /** The clock of this node, in ms since 1970. */
  readonly now: () => number
  /** A clock that nobody sets, in ms. @default performance.now */
  readonly elapsedMs?: (() => number) | undefined
  /** All active members, this node among them. */
  readonly owners: () => readonly ClockOwner[]
  readonly log: Logger
}

/** One clock: how far ahead of this node's it is, and what it counts. */
interface Vote {
  readonly leadMs: number
  readonly weight: number
  readonly isSelf: boolean
}

/** An admin decides where otherwise as many clocks agree on one time as on another: most of all between who invites and who joins. */
const ADMIN_WEIGHT = 1.5

export class ClusterClock {
  readonly #deps: ClusterClockDeps
  /** How far the clock of a member is ahead of this node's, in ms, by its last heartbeat. */
  readonly #leads = new Map<PeerId, number>()
  readonly #wrong = new Set<PeerId>()
  readonly #elapsedMs: () => number
  #correctionMs = 0
  /** When the clock of this node was looked at last, less what had elapsed: another one later means that it was set, or that the machine slept. */
  #baseMs: number

  constructor (deps: ClusterClockDeps) {
    this.#deps = deps
    this.#elapsedMs = deps.elapsedMs ?? (() => performance.now())
    this.#baseMs = deps.now() - this.#elapsedMs()
  }

  /** The time in the cluster, in ms since 1970. */
  readonly now = (): number => {
    this.#noticeSetRight()
    return this.#deps.now() + this.#correctionMs
  }

  /** How far a member's clock is ahead of the time in the cluster, in ms; below 0 when it is behind. `undefined` when it was not heard. */
  aheadMs (peer: PeerId): number | undefined {
    this.#noticeSetRight()
    const leadMs = peer === this.#deps.self ? 0 : this.#leads.get(peer)
    return leadMs === undefined ? undefined : leadMs - this.#correctionMs
  }

  /** Takes note of what a heartbeat that just came says. */
  hear (peer: PeerId, clockMs: number): void {
    const all = this.#deps.owners()
    this.#noticeSetRight()
    this.#baseMs = this.#deps.now() - this.#elapsedMs()
    this.#leads.set(peer, clockMs - this.#deps.now())
    const peers = new Set(all.map((owner) => owner.peer))
    for (const known of this.#leads.keys()) if (!peers.has(known)) this.#leads.delete(known)
    const majority = majorityOf(this.#votes(all), all.reduce((sum, owner) => sum + weightOf(owner), 0))
    // Without one, what they agreed on before is the best guess: some may just be gone.
    if (majority !== undefined) this.#correctionMs = majority.some(({ isSelf }) => isSelf) ? 0 : majority[Math.floor((majority.length - 1) / 2)]?.leadMs ?? 0
    this.#tellWrong(all)
  }

  /** Where a wrong clock is set by as much as it was corrected by, it is right at once: corrected further, it would date records ahead by as much. */
  #noticeSetRight (): void {
    if (this.#correctionMs === 0) return
    const setByMs = this.#deps.now() - this.#elapsedMs() - this.#baseMs
    if (Math.abs(setByMs) <= CLOCK_TOLERANCE_MS || Math.abs(setByMs - this.#correctionMs) > CLOCK_TOLERANCE_MS) return
    for (const [peer, leadMs] of this.#leads) this.#leads.set(peer, leadMs - setByMs)
    this.#baseMs += setByMs
    this.#correctionMs = 0
  }

  /** The clocks that are known, the one that is farthest behind first. */
  #votes (all: readonly ClockOwner[]): Vote[] {
    return all.flatMap((owner) => {
      const isSelf = owner.peer === this.#deps.self
      const leadMs = isSelf ? 0 : this.#leads.get(owner.peer)
      return leadMs === undefined ? [] : [{ leadMs, weight: weightOf(owner), isSelf }]
    }).sort((a, b) => a.leadMs - b.leadMs)
  }

  #tellWrong (all: readonly ClockOwner[]): void {
    const { self, log } = this.#deps
    for (const { peer } of all) {
      const aheadMs = Math.round(this.aheadMs(peer) ?? 0)
      const isWrong = Math.abs(aheadMs) > CLOCK_TOLERANCE_MS
      if (isWrong === this.#wrong.has(peer)) continue
      if (isWrong) this.#wrong.add(peer)
      else this.#wrong.delete(peer)
      const facts = { peer, aheadMs }
      if (peer === self) log[isWrong ? 'warn' : 'info'](isWrong ? 'The clock of this node is wrong: until it is set right, the clocks of the other members count here' : 'The clock of this node is right again', facts)
      else log[isWrong ? 'warn' : 'info'](isWrong ? 'The clock of a member is wrong, or that of this node' : 'The clock of a member is right', facts)
    }
  }
}

function weightOf ({ isAdmin }: ClockOwner): number {
  return isAdmin ? ADMIN_WEIGHT : 1
}

/** The votes that agree and outweigh the half of all members, also of those that were not heard; where two such groups overlap, that of this node. */
function majorityOf (votes: readonly Vote[], total: number): readonly Vote[] | undefined {
  let majority: readonly Vote[] | undefined
  let end = 0
  let weight = 0
  for (const [start, { leadMs, weight: first }] of votes.entries()) {
    for (let next = votes[end]; next !== undefined && next.leadMs - leadMs <= CLOCK_TOLERANCE_MS; next = votes[++end]) weight += next.weight
    const group = weight * 2 > total ? votes.slice(start, end) : undefined
    if (group !== undefined && (majority === undefined || group.some(({ isSelf }) => isSelf))) majority = group
    weight -= first
  }
  return majority
}
