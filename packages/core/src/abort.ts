/** The options of every operation that waits. */
export interface AbortOptions {
  /** Ends the wait; the rejection is `signal.reason`, unwrapped. */
  signal?: AbortSignal | undefined
}

/** Waits for `promise`, but not longer than the caller does: rejects with the reason of `signal` once it aborts. */
export async function unlessAborted<T> (promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => { reject(signal.reason) }
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
