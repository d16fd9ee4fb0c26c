/** A bounded number of places, first come, first served. */
export class Places {
  readonly #waiting: Array<() => void> = []
  #free: number

  constructor (count: number) {
    this.#free = count
  }

  /** Waits for a place; disposing gives it back. @throws the signal's reason. */
  async take (signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted()
    if (this.#free > 0) this.#free--
    else await this.#wait(signal)
    let isTaken = true
    return {
      [Symbol.dispose]: () => {
        if (isTaken) this.#release()
        isTaken = false
      }
    }
  }

  async #wait (signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.push(resolve)
    const onAbort = (): void => {
      const at = this.#waiting.indexOf(resolve)
      // A place that was given in the same moment is kept: its holder gives it back.
      if (at < 0) return
      this.#waiting.splice(at, 1)
      reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  #release (): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free++
    else next()
  }
}
