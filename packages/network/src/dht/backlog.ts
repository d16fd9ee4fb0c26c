/** Work that was put off, one piece per turn of the event loop: whatever comes in meanwhile gets its share of each turn. */
export class Backlog {
  readonly #waiting = new Set<() => void>()
  #isArmed = false

  /** Runs `work` once, after what waits already. It is to be short, and not to throw. */
  add (work: () => void): void {
    this.#waiting.add(work)
    this.#arm()
  }

  /** Forgets `work` if it still waits. */
  delete (work: () => void): void {
    this.#waiting.delete(work)
  }

  #arm (): void {
    if (this.#isArmed || this.#waiting.size === 0) return
    this.#isArmed = true
    setImmediate(() => {
      this.#isArmed = false
      const [work] = this.#waiting
      if (work === undefined) return
      this.#waiting.delete(work)
      this.#arm()
      work()
    })
  }
}
