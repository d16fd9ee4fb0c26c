import type { AbortOptions } from '@holdfast/core'
import { setTimeout as delay } from 'node:timers/promises'

/** Longest wait in one go, in ms: so that no block of a slow setting holds up a close for long without being asked. */
const MAX_WAIT_MS = 60_000

/** Lets bytes through at a rate: who spent more than there was, waits before it takes more. */
export class Throttle {
  readonly #bytesPerSecond: number
  #freeAtMs = 0

  constructor (bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond
  }

  /** Counts bytes that were moved. */
  spend (byteLength: number): void {
    this.#freeAtMs = Math.max(this.#freeAtMs, performance.now()) + byteLength / this.#bytesPerSecond * 1000
  }

  /** Resolves when what was spent is paid for. */
  async ready ({ signal }: AbortOptions = {}): Promise<void> {
    for (let waitMs = this.#waitMs(); waitMs > 0; waitMs = this.#waitMs()) await delay(Math.min(waitMs, MAX_WAIT_MS), undefined, signal === undefined ? {} : { signal })
  }

  #waitMs (): number {
    return this.#freeAtMs - performance.now()
  }
}
