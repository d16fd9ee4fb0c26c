/** Lets at most `count` tasks run at once; the others wait in order. */
export class Semaphore {
  #free: number
  readonly #waiting: Array<() => void> = []

  constructor (count: number) {
    this.#free = count
  }

  /** Runs `task` when its turn comes. A caller that gave up by then is turned away with its reason. */
  async run<T> (task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => { this.#waiting.push(resolve) })
    try {
      signal?.throwIfAborted()
      return await task()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#free++
      else next()
    }
  }
}

/**
 * Runs `task` on every item, at most `limit` at once.
 *
 * After a failure it begins no more, waits for those that run, and rejects with that first failure: when
 * this settles, nothing is left running.
 */
export async function forEachConcurrently<T> (items: readonly T[], limit: number, task: (item: T) => Promise<void>): Promise<void> {
  const remaining = items.values()
  let failure: { cause: unknown } | undefined
  const worker = async (): Promise<void> => {
    for (const item of remaining) {
      if (failure !== undefined) return
      try {
        await task(item)
      } catch (cause) {
        failure ??= { cause }
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker))
  if (failure !== undefined) throw failure.cause
}
