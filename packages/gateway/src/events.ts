import type { Logger } from '@holdfast/core'

/** A request failed for a reason on our side. */
export function requestFailed (log: Logger, facts: { target: string, status: number, err: unknown }): void {
  log.error('Gateway request failed', facts)
}

/** A response broke off after its headers had been sent; the connection was reset. */
export function responseBrokeOff (log: Logger, facts: { target: string, err: unknown }): void {
  log.warn('Gateway response broke off', facts)
}

/** A request was turned away because too many were running. */
export function requestRefused (log: Logger, facts: { concurrentRequests: number }): void {
  log.warn('Gateway request refused: too many at once', facts)
}
