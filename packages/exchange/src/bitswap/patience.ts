/** How long companions may send nothing while nothing else is to be done, in milliseconds: a few round trips and a slow disk. */
export const MIN_PATIENCE_MS = 2_000

/** How long a companion may send nothing at most, as a part of the time after which a session gives up: the rest is for fetching elsewhere. */
export const MAX_PATIENCE_PART: number = 1 / 4

/** How long companions that send something now and then may be waited for in all, as a part of the same: 10 s by default. */
export const IDLE_PART: number = 1 / 3

/**
 * How long one session waits for its companions: by a clock that stands still while it is busy with its own share.
 *
 * Whoever fetches over the same line as this node needs the same time for a block, so patience is no less than twice the longest
 * time between two blocks of the own share.
 */
export class Patience {
  readonly #stallMs: number
  #longestGapMs = 0
  #lastOwnMs: number | undefined
  #lookedAtMs: number | undefined
  #isBusy = false
  #idleSinceMs = 0
  #idleMs = 0
  #busyMs = 0

  /** @param stallMs After how long without any block the session gives up. */
  constructor (stallMs: number) {
    this.#stallMs = stallMs
  }

  /** How long a companion may send nothing. */
  get limitMs (): number {
    return Math.min(Math.max(MIN_PATIENCE_MS, 2 * this.#longestGapMs), this.#stallMs * MAX_PATIENCE_PART)
  }

  /** A block of the own share came. */
  ownArrived (nowMs: number): void {
    if (this.#isBusy && this.#lastOwnMs !== undefined) this.#longestGapMs = Math.max(this.#longestGapMs, nowMs - this.#lastOwnMs)
    this.#lastOwnMs = nowMs
  }

  /**
   * Time went by.
   *
   * @param options.isBusy Blocks of the own share are on their way.
   * @param options.isWaiting Companions owe something.
   */
  look (nowMs: number, { isBusy, isWaiting }: { isBusy: boolean, isWaiting: boolean }): void {
    const elapsedMs = nowMs - (this.#lookedAtMs ?? nowMs)
    this.#lookedAtMs = nowMs
    if (this.#isBusy) this.#busyMs += elapsedMs
    else if (isWaiting) this.#idleMs += elapsedMs
    if (isBusy) this.#idleSinceMs = nowMs
    if (isBusy && !this.#isBusy) this.#lastOwnMs = nowMs
    this.#isBusy = isBusy
  }

  /** Reports whether a companion that did something last at `lastMs` has been silent too long. */
  isOver (nowMs: number, lastMs: number): boolean {
    return nowMs - Math.max(lastMs, this.#idleSinceMs) >= this.limitMs
  }

  /** Reports whether companions take more than as long again as the own share did. */
  get isSpent (): boolean {
    return this.#idleMs > Math.max(this.#stallMs * IDLE_PART, this.#busyMs)
  }

  /** Whoever was waited for is waited for no longer: the others have their time anew. */
  renew (nowMs: number): void {
    this.#idleSinceMs = nowMs
    this.#idleMs = 0
  }
}
