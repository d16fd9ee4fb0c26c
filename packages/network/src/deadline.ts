import { HoldfastError } from '@holdfast/core'
import { setMaxListeners } from 'node:events'

/** A signal that must be disposed, so that nothing of it stays behind in a signal that lives longer. */
export interface Deadline extends Disposable {
  readonly signal: AbortSignal
  /** Ends what listens, before time. */
  abort(reason: Error): void
}

/**
 * A signal that aborts with `signal`, or after `timeoutMs`.
 *
 * Not `AbortSignal.any`: that one leaks when it is made per request on a signal that lives long.
 */
export function deadline (timeoutMs: number, signal?: AbortSignal): Deadline {
  const controller = new AbortController()
  // The libraries listen once per stream, dial and timer.
  setMaxListeners(Infinity, controller.signal)
  const timer = setTimeout(() => { controller.abort(new HoldfastError('UNAVAILABLE', `No answer within ${timeoutMs / 1000} s`)) }, timeoutMs)
  const forward = (): void => { controller.abort(signal?.reason) }
  if (signal?.aborted === true) forward()
  else signal?.addEventListener('abort', forward, { once: true })
  return {
    signal: controller.signal,
    abort (reason) { controller.abort(reason) },
    [Symbol.dispose] () {
      clearTimeout(timer)
      signal?.removeEventListener('abort', forward)
    }
  }
}
