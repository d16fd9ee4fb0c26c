/** Lets so many through at once, and so many each second after. */
export class TokenBucket {
  readonly #burst: number
  readonly #perSecond: number
  readonly #nowMs: () => number
  #tokens: number
  #atMs: number

  /** @param nowMs A monotonic clock. */
  constructor (burst: number, perSecond: number, nowMs: () => number = () => performance.now()) {
    this.#burst = burst
    this.#perSecond = perSecond
    this.#nowMs = nowMs
    this.#tokens = burst
    this.#atMs = nowMs()
  }

  /** Takes as many as there are, at most `count`, and returns how many. */
  take (count: number): number {
    this.#refill()
    const taken = Math.min(count, Math.floor(this.#tokens))
    this.#tokens -= taken
    return taken
  }

  /** Takes one that may not be there yet, and returns how long to wait for it, in ms. */
  takeLater (): number {
    this.#refill()
    this.#tokens -= 1
    return Math.max(0, -this.#tokens / this.#perSecond * 1000)
  }

  #refill (): void {
    const nowMs = this.#nowMs()
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#atMs) / 1000 * this.#perSecond)
    this.#atMs = nowMs
  }
}
