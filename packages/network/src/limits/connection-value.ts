import { CONNECTION_GRACE_MS, USEFUL_BYTES } from '../limits.ts'

/** What decides whether a connection may stay when there is no room for all. */
export interface ConnectionFacts {
  readonly isInbound: boolean
  /** A person or a package asked for this peer. */
  readonly isProtected: boolean
  /** In a routing table. */
  readonly isTagged: boolean
  /** Streams that speak a protocol. */
  readonly streamCount: number
  readonly movedBytes: number
  readonly openedMs: number
}

/**
 * The connection that makes room for a new one, or `undefined` when none may be ended for it.
 *
 * Ended first is what is of no use and was given time to be: then the young before the old, which have shown that they last. Of those
 * still in their grace the oldest goes first, so that a flood of newcomers leaves each the most time. Then what is in use, and last
 * the members of a routing table. What is protected never ends.
 *
 * For a stranger (`isInbound`) only what strangers opened is ended. For a connection of ours also what we dialled, after all of that.
 */
export function leastValuable<T extends ConnectionFacts> (connections: readonly T[], { isInbound, nowMs }: { isInbound: boolean, nowMs: number }): T | undefined {
  let least: { connection: T, rank: readonly number[] } | undefined
  for (const connection of connections) {
    if (connection.isProtected || (isInbound && !connection.isInbound)) continue
    const rank = rankOf(connection, nowMs)
    if (least === undefined || isBelow(rank, least.rank)) least = { connection, rank }
  }
  return least?.connection
}

/** Compared from left to right; the smallest ends first. */
function rankOf ({ isInbound, isTagged, streamCount, movedBytes, openedMs }: ConnectionFacts, nowMs: number): number[] {
  const isUseful = streamCount > 0 || movedBytes >= USEFUL_BYTES
  const isYoung = nowMs - openedMs < CONNECTION_GRACE_MS
  return [Number(!isInbound), Number(isTagged), Number(isUseful), Number(isYoung), isYoung && !isUseful ? openedMs : -openedMs]
}

function isBelow (rank: readonly number[], other: readonly number[]): boolean {
  for (const [index, value] of rank.entries()) {
    const limit = other[index] ?? 0
    if (value !== limit) return value < limit
  }
  return false
}
