/**
 * Mutual exclusion by key: holders of a common key take turns, in the order in which they asked.
 *
 * Several keys are queued for in one step, so whoever waits, waits only for those that asked earlier, and
 * two batches that share keys in opposite orders cannot wait for each other.
 */
export class KeyLocks {
  /** For each key, a promise that ends when all who asked for it so far have let go. */
  readonly #tails = new Map<string, Promise<unknown>>()

  /** Takes all `keys`; disposing the result lets go of them. Rejects with `signal.reason` when its turn comes too late. */
  async acquire (keys: readonly string[], signal?: AbortSignal): Promise<Disposable> {
    const { promise: released, resolve: release } = Promise.withResolvers<void>()
    const earlier = keys.map((key) => this.#tails.get(key)).filter((tail) => tail !== undefined)
    const tail = earlier.length === 0 ? released : Promise.all([...earlier, released])
    for (const key of keys) this.#tails.set(key, tail)
    void this.#forgetAfter(tail, keys)

    try {
      if (earlier.length > 0) await abortable(Promise.all(earlier), signal)
    } catch (err) {
      release()
      throw err
    }
    return { [Symbol.dispose]: release }
  }

  async #forgetAfter (tail: Promise<unknown>, keys: readonly string[]): Promise<void> {
    await tail
    for (const key of keys) if (this.#tails.get(key) === tail) this.#tails.delete(key)
  }
}

/** Waits for `promise`, but not longer than the caller does. */
async function abortable (promise: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) {
    await promise
    return
  }
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => { reject(signal.reason) }
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
