import type { PinKey } from '../map/stored-record.ts'
import { FIRST_RETRY_MS, MAX_RETRY_MS } from './limits.ts'

/** Why a fetch failed, and when it is tried again. */
export interface Failure {
  /** On the monotonic clock. */
  readonly retryAtMs: number
  readonly waitMs: number
  readonly why: string
  readonly state: 'failed' | 'refused'
}

/** Remembers failed fetches: the wait doubles with each, and varies by a quarter so that members do not all ask at once. */
export class RetryBook {
  readonly #firstMs: number
  readonly #failures = new Map<PinKey, Failure>()

  constructor ({ firstMs = FIRST_RETRY_MS }: { readonly firstMs?: number | undefined } = {}) {
    this.#firstMs = firstMs
  }

  get (pinKey: PinKey): Failure | undefined {
    return this.#failures.get(pinKey)
  }

  get refusedCount (): number {
    return [...this.#failures.values()].filter(({ state }) => state === 'refused').length
  }

  isDue (pinKey: PinKey): boolean {
    return (this.#failures.get(pinKey)?.retryAtMs ?? 0) <= performance.now()
  }

  failed (pinKey: PinKey, why: string): void {
    const waitMs = Math.min(MAX_RETRY_MS, (this.#failures.get(pinKey)?.waitMs ?? this.#firstMs / 2) * 2)
    this.#failures.set(pinKey, { state: 'failed', why, waitMs, retryAtMs: performance.now() + waitMs * (0.75 + Math.random() / 2) })
  }

  refused (pinKey: PinKey, why: string, waitMs: number): void {
    this.#failures.set(pinKey, { state: 'refused', why, waitMs: this.#firstMs / 2, retryAtMs: performance.now() + waitMs })
  }

  /** Lets the next try begin at once: something changed. The wait after it stays as long as it was. */
  hurry (pinKey: PinKey): void {
    const failure = this.#failures.get(pinKey)
    if (failure?.state === 'failed') this.#failures.set(pinKey, { ...failure, retryAtMs: 0 })
  }

  forget (pinKey: PinKey): void {
    this.#failures.delete(pinKey)
  }

  clear (): void {
    this.#failures.clear()
  }
}
