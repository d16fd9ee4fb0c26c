/** Longest that answers given at once may hold up everything else, in milliseconds. */
const MAX_TURN_MS = 2

/** Calls between two looks at the clock. */
const CALLS_PER_LOOK = 16

/**
 * Lets the rest of the process have its turn although calls are answered at once.
 *
 * A caller that waits for one call after another would otherwise never come back to the event loop: no timer and no peer would be heard.
 */
export class FairTurns {
  #begin: number | undefined
  #callCount = 0
  #next: Promise<void> | undefined

  /** Something to wait for when this turn of the event loop has lasted long enough. */
  over (): Promise<void> | undefined {
    if (this.#begin === undefined) {
      this.#begin = performance.now()
      setImmediate(() => { this.#begin = undefined })
      return undefined
    }
    if (++this.#callCount % CALLS_PER_LOOK !== 0 || performance.now() - this.#begin < MAX_TURN_MS) return this.#next
    this.#next ??= new Promise((resolve) => {
      setImmediate(() => {
        this.#next = undefined
        resolve()
      })
    })
    return this.#next
  }
}
