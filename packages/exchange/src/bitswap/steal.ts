import type { AskedPeer } from './asked-peer.ts'
import type { Want } from './want.ts'

/** How much sooner a block must be expected before it is asked of a second peer, in milliseconds. */
const MIN_GAIN_MS = 50

export interface Stolen {
  readonly want: Want
  readonly from: AskedPeer
}

/**
 * Chooses the block that `idle` could bring soonest before the peer that owes it, or `undefined` when none is worth it.
 *
 * Takes the last block that the slowest peer owes, and only when the gain exceeds a round trip: some
 * stolen blocks come twice.
 */
export function stealFrom (idle: AskedPeer, holders: Iterable<AskedPeer>, isOurs: (want: Want) => boolean): Stolen | undefined {
  if (idle.outstandingBytes > 0) return undefined
  const slowest = slowestOf(holders, idle)
  const want = slowest?.owedWants().find((want) => isOurs(want) && !want.lackedBy.has(idle.id) && !want.missedBy.has(idle.id))
  if (slowest === undefined || want === undefined) return undefined
  const gainMs = slowest.expectedMs(0) - idle.expectedMs(want.expectedBytes)
  return gainMs > Math.max(MIN_GAIN_MS, idle.meter.rttMs) ? { want, from: slowest } : undefined
}

function slowestOf (holders: Iterable<AskedPeer>, idle: AskedPeer): AskedPeer | undefined {
  let slowest: AskedPeer | undefined
  let latestMs = 0
  for (const peer of holders) {
    if (peer === idle || peer.outstandingBytes === 0) continue
    const ms = peer.expectedMs(0)
    if (ms <= latestMs) continue
    slowest = peer
    latestMs = ms
  }
  return slowest
}
