import type { AskedPeer } from './asked-peer.ts'
import { MAX_OUTSTANDING_BYTES } from './fair-reads.ts'
import type { Want } from './want.ts'

/** How much sooner a block must be expected before it is asked of a second peer, in milliseconds. */
export const MIN_GAIN_MS = 50

/** The same for a block that is believed to be on its way already, so that it will come twice. */
export const MIN_GAIN_FOR_DUPLICATE_MS = 1_000

/**
 * Bytes that a server has taken in hand, so that a cancel comes too late for them: what it reads ahead for one peer (boxo and
 * this node: 1 MiB), and as much again in the buffers of both machines.
 */
const COMMITTED_BYTES: number = 2 * MAX_OUTSTANDING_BYTES

export interface Stolen {
  readonly want: Want
  readonly from: AskedPeer
}

export interface StealContext {
  readonly holders: Iterable<AskedPeer>
  readonly isOurs: (want: Want) => boolean
  readonly nowMs: number
}

/**
 * Chooses the block that `idle` could bring soonest before the peer that owes it, or `undefined` when none is worth it.
 *
 * Takes the last block that the slowest peer owes. Where the cancel reaches that peer before it sends the block, a gain of a
 * round trip is enough; what is on its way already is asked for twice only when its peer is later than that by a second.
 * So a fetch ends with at most `COMMITTED_BYTES`, and what one round trip holds, twice for each peer that falls behind,
 * and with none when all go on as they were measured; a holder that is found late takes its part, too.
 */
export function stealFrom (idle: AskedPeer, { holders, isOurs, nowMs }: StealContext): Stolen | undefined {
  if (idle.outstandingBytes > 0) return undefined
  const slowest = slowestOf(holders, idle, nowMs)
  const want = slowest?.owedWants().find((want) => isOurs(want) && !want.lackedBy.has(idle.id) && !want.missedBy.has(idle.id))
  if (slowest === undefined || want === undefined) return undefined
  const gainMs = slowest.remainingMs(nowMs) - expectedMsOf(idle, slowest, want)
  const minGainMs = isCancellable(slowest, want) ? MIN_GAIN_MS : MIN_GAIN_FOR_DUPLICATE_MS
  return gainMs > Math.max(minGainMs, idle.meter.rttMs) ? { want, from: slowest } : undefined
}

/**
 * When `idle` would bring the block, in milliseconds from now. One that was never measured is taken to be no slower than the peer that it
 * takes over from: what it can do shows with one block, and without one it would never be known.
 */
function expectedMsOf (idle: AskedPeer, { meter }: AskedPeer, { expectedBytes }: Want): number {
  const expectedMs = idle.expectedMs(expectedBytes)
  if (idle.meter.bytesPerSecond > 0 || meter.bytesPerSecond === 0) return expectedMs
  return Math.min(expectedMs, Math.max(idle.meter.rttMs, meter.rttMs) + expectedBytes / meter.bytesPerSecond * 1000 + idle.trust.penaltyMs)
}

/** Reports whether so much is owed before the block that a cancel reaches the peer first. */
function isCancellable ({ outstandingBytes, meter }: AskedPeer, { expectedBytes }: Want): boolean {
  return outstandingBytes - expectedBytes > COMMITTED_BYTES + meter.bytesPerSecond * meter.rttMs / 1000
}

function slowestOf (holders: Iterable<AskedPeer>, idle: AskedPeer, nowMs: number): AskedPeer | undefined {
  let slowest: AskedPeer | undefined
  let latestMs = 0
  for (const peer of holders) {
    if (peer === idle || peer.outstandingBytes === 0) continue
    const ms = peer.remainingMs(nowMs)
    if (ms <= latestMs) continue
    slowest = peer
    latestMs = ms
  }
  return slowest
}
