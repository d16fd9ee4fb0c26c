import type { ProgressEvent } from './operations.ts'

/** One call at the door, as a handler sees it. */
export interface Exchange<Event = unknown> {
  /** Aborted when the caller went away or the daemon stops. */
  readonly signal: AbortSignal
  /** What follows the arguments; reading it slows the sender down to our pace. */
  readonly body: AsyncIterable<Uint8Array>
  /** Sends an event; resolves when there is room for the next. */
  emit(event: Event): Promise<void>
  /** Sends content; resolves when there is room for more. */
  send(bytes: Uint8Array): Promise<void>
}

/** Shortest time between two progress events: faster than a person reads, slower than a disk writes. */
export const PROGRESS_INTERVAL_MS = 100

export interface ReporterOptions {
  /** How long the work goes on before anything is told of it: an answer that comes sooner is one packet then, and not two. @default 0 */
  firstAfterMs?: number
}

/**
 * Returns a function that takes every step of some work and passes on as few of them as a person can follow.
 *
 * Progress is never waited for: it is dropped while an earlier event is still on its way.
 */
export function progressReporter (exchange: Pick<Exchange<ProgressEvent>, 'emit'>, { firstAfterMs = 0 }: ReporterOptions = {}): (progress: ProgressEvent['progress']) => void {
  let dueMs = performance.now() + firstAfterMs
  let isSending = false
  return (progress) => {
    const nowMs = performance.now()
    if (isSending || nowMs < dueMs) return
    dueMs = nowMs + PROGRESS_INTERVAL_MS
    isSending = true
    // A caller that went away is noticed by the work itself, through the signal.
    exchange.emit({ progress }).catch(() => {}).finally(() => { isSending = false })
  }
}
