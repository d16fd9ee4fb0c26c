/** What a watched response waits for: content from our side, or the client to take it. */
export type Phase = 'retrieving' | 'writing'

/** A response that is under way. */
export interface Watched {
  readonly startedMs: number
  phase: Phase
  /** When it last got on. */
  progressMs: number
  /** Called when it takes too long, again with each look until it is taken off the watch. */
  expire(reason: Expiry): void
}

/** Why a response was ended. */
export type Expiry = 'retrieval-timeout' | 'write-stall' | 'deadline'

export interface StallLimits {
  /** Longest wait for the first byte of content, and between its pieces. */
  readonly retrievalTimeoutMs: number
  /** Longest wait for the client to take one slice of the body. */
  readonly writeStallTimeoutMs: number
  /** Longest life of a request, however well it goes. */
  readonly maxRequestDurationMs: number
}

/** Longest time between two looks, in ms: the precision of all limits. */
const MAX_TICK_MS = 1_000

/**
 * Ends responses that make no progress.
 *
 * One timer looks at all of them, because a timer for each would have to be set anew with every write.
 */
export class StallWatch {
  readonly #limits: StallLimits
  readonly #watched = new Set<Watched>()
  readonly #tickMs: number
  #timer: NodeJS.Timeout | undefined

  constructor (limits: StallLimits) {
    this.#limits = limits
    this.#tickMs = Math.min(MAX_TICK_MS, ...[limits.retrievalTimeoutMs, limits.writeStallTimeoutMs, limits.maxRequestDurationMs].map((ms) => Math.ceil(ms / 4)))
  }

  add (watched: Watched): void {
    this.#watched.add(watched)
    this.#timer ??= setInterval(() => { this.#look() }, this.#tickMs).unref()
  }

  delete (watched: Watched): void {
    this.#watched.delete(watched)
  }

  get count (): number {
    return this.#watched.size
  }

  #look (): void {
    const nowMs = performance.now()
    for (const watched of this.#watched) {
      const expiry = this.#expiryOf(watched, nowMs)
      if (expiry !== undefined) watched.expire(expiry)
    }
    if (this.#watched.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #expiryOf ({ startedMs, phase, progressMs }: Watched, nowMs: number): Expiry | undefined {
    if (nowMs - startedMs > this.#limits.maxRequestDurationMs) return 'deadline'
    const idleMs = nowMs - progressMs
    if (phase === 'retrieving') return idleMs > this.#limits.retrievalTimeoutMs ? 'retrieval-timeout' : undefined
    return idleMs > this.#limits.writeStallTimeoutMs ? 'write-stall' : undefined
  }
}
