/** A bounded number of slots for tasks that run beside one another, first come, first served. */
export class Slots {
  readonly #waiting: Array<() => void> = []
  #free: number

  constructor (count: number) {
    this.#free = count
  }

  /** Waits for a free slot and takes it until `release`. */
  async acquire (): Promise<void> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => { this.#waiting.push(resolve) })
  }

  /** Takes a slot if there is a free one, and reports whether. */
  tryAcquire (): boolean {
    if (this.#free === 0) return false
    this.#free--
    return true
  }

  /** Hands the slot to the task that has waited longest. */
  release (): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free++
    else next()
  }
}
