import { HoldfastError } from '@holdfast/core'

export interface TimeLimit {
  readonly timeoutMs: number
  /** What takes so long, as a message begins. */
  readonly what: string
  /** Ends it before its time. */
  readonly signal?: AbortSignal
}

/**
 * Runs something under a signal that aborts after `timeoutMs`, or with `signal`.
 *
 * Unlike with `AbortSignal.timeout` and `AbortSignal.any`, nothing is left of it once it has ended: a signal that waits for
 * its time costs 2 KB, and one that was joined to a signal which lives longer is kept by it.
 */
export async function withTimeLimit<T> ({ timeoutMs, what, signal }: TimeLimit, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const timer = setTimeout(() => {
    controller.abort(new HoldfastError('UNAVAILABLE', `${what} took longer than ${timeoutMs} ms`))
  }, timeoutMs)
  const forward = (): void => { controller.abort(signal?.reason) }
  if (signal?.aborted === true) forward()
  else signal?.addEventListener('abort', forward, { once: true })
  try {
    return await run(controller.signal)
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', forward)
  }
}
