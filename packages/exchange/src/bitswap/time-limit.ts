import { HoldfastError } from '@holdfast/core'

/**
 * Runs something under a signal that aborts after `timeoutMs`.
 *
 * Unlike `AbortSignal.timeout`, nothing is left of it once it has ended: a signal that waits for its time costs 2 KB.
 */
export async function withTimeLimit<T> (timeoutMs: number, what: string, run: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const timer = setTimeout(() => {
    controller.abort(new HoldfastError('UNAVAILABLE', `${what} took longer than ${timeoutMs} ms`))
  }, timeoutMs)
  try {
    return await run(controller.signal)
  } finally {
    clearTimeout(timer)
  }
}
