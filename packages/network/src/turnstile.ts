/** Lets `perTurn` through in each turn of the event loop, in order; the others wait. So a crowd is served without holding up the rest. */
export class Turnstile {
  readonly #perTurn: number
  readonly #waiting: Array<() => void> = []
  #passedCount = 0
  #isArmed = false

  constructor (perTurn: number) {
    this.#perTurn = perTurn
  }

  async pass (): Promise<void> {
    this.#arm()
    if (this.#passedCount < this.#perTurn) this.#passedCount++
    else await new Promise<void>((resolve) => { this.#waiting.push(resolve) })
  }

  #arm (): void {
    if (this.#isArmed) return
    this.#isArmed = true
    setImmediate(() => {
      const next = this.#waiting.splice(0, this.#perTurn)
      this.#passedCount = next.length
      this.#isArmed = false
      if (next.length > 0) this.#arm()
      for (const go of next) go()
    })
  }
}
