/** How long to wait between tries that fail. */
export interface BackoffOptions {
  readonly firstMs: number
  readonly maxMs: number
}

/** The part of a wait that chance decides, so that nodes that lost the network together do not come back together. */
const JITTER = 0.25

/** The wait after `failureCount` failures, in ms: doubled each time up to `maxMs`, then moved by at most a quarter either way. */
export function backoffMs (failureCount: number, { firstMs, maxMs }: BackoffOptions, random: () => number = Math.random): number {
  const exactMs = Math.min(maxMs, firstMs * 2 ** Math.min(failureCount - 1, 30))
  return exactMs * (1 - JITTER + 2 * JITTER * random())
}
