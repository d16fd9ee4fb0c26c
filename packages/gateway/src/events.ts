import type { Logger } from '@holdfast/core'

/** A request failed for a reason on our side. */
export function requestFailed (log: Logger, facts: { target: string, status: number, err: unknown }): void {
  log.error('Gateway request failed', facts)
}

/** A response broke off after its headers had been sent; the connection was reset. */
export function responseBrokeOff (log: Logger, facts: { target: string, err: unknown }): void {
  log.warn('Gateway response broke off', facts)
}

/** A client took too long to take its response; the connection was reset. */
export function clientStalled (log: Logger, facts: { target: string }): void {
  log.debug('Gateway client stalled', facts)
}

/** Requests are being turned away because too many are running. Said once, until one is let in again. */
export function requestsRefused (log: Logger, facts: { concurrentRequests: number }): void {
  log.warn('Gateway refuses requests: too many at once', facts)
}
