/** How long a peer that did not send what it owed is asked after all others, in milliseconds per time in a row. */
const MISS_PENALTY_MS = 5_000

/** What a block with wrong bytes counts in the choice of a peer: as if it were this much slower, in milliseconds. */
const STRIKE_PENALTY_MS = 20_000

/** Whether a peer sends what it owes, and the right bytes. */
export class PeerTrust {
  /** Blocks with wrong bytes that it sent. */
  strikeCount = 0
  /** Times in a row that it did not send what it owed. */
  #missRun = 0
  #lastMissMs = 0

  /** Reports whether it did not send what it owed last. */
  get isLate (): boolean {
    return this.#missRun > 0
  }

  /** How much later than by its speed a block is expected, in milliseconds. */
  get penaltyMs (): number {
    return this.#missRun * MISS_PENALTY_MS + this.strikeCount * STRIKE_PENALTY_MS
  }

  /** Reports whether it is to be asked like any other; one that was late gets another chance, later each time. */
  isGiven (nowMs: number): boolean {
    return this.strikeCount === 0 && (this.#missRun === 0 || nowMs - this.#lastMissMs >= this.#missRun * MISS_PENALTY_MS)
  }

  missed (nowMs: number): void {
    this.#missRun++
    this.#lastMissMs = nowMs
  }

  delivered (): void {
    this.#missRun = 0
  }
}
