/** Lets so many through in a sliding window of time, and so many for each key. Holds at most `maxCount` times. */
export class Rate {
  readonly #maxCount: number
  readonly #maxPerKey: number
  readonly #windowMs: number
  readonly #now: () => number
  #passed: Array<{ readonly key: string, readonly atMs: number }> = []

  constructor ({ maxCount, maxPerKey, windowMs }: { maxCount: number, maxPerKey: number, windowMs: number }, now: () => number = () => performance.now()) {
    this.#maxCount = maxCount
    this.#maxPerKey = maxPerKey
    this.#windowMs = windowMs
    this.#now = now
  }

  /** Whether one more of `key` may pass now; if so it is counted. */
  take (key: string): boolean {
    const nowMs = this.#now()
    this.#passed = this.#passed.filter(({ atMs }) => nowMs - atMs < this.#windowMs)
    if (this.#passed.length >= this.#maxCount || this.#passed.filter((entry) => entry.key === key).length >= this.#maxPerKey) return false
    this.#passed.push({ key, atMs: nowMs })
    return true
  }
}
