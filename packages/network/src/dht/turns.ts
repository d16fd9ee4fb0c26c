/** Lets so many run at once; the others wait in order. */
export class Turns {
  #freeCount: number
  readonly #waiting = new Set<() => void>()

  constructor (count: number) {
    this.#freeCount = count
  }

  /** Waits for a turn, which lasts until it is disposed. */
  async take (signal: AbortSignal | undefined): Promise<Disposable> {
    signal?.throwIfAborted()
    if (this.#freeCount > 0) this.#freeCount--
    else await this.#queue(signal)
    return { [Symbol.dispose]: () => { this.#give() } }
  }

  async #queue (signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const onAbort = (): void => {
      this.#waiting.delete(resolve)
      reject(signal?.reason)
    }
    this.#waiting.add(resolve)
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      await promise
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }

  #give (): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#freeCount++
    } else {
      this.#waiting.delete(next)
      next()
    }
  }
}
