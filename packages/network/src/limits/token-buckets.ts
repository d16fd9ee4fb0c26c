export interface BucketLimits {
  readonly perSecond: number
  /** What may come at once after a quiet time. */
  readonly burst: number
  /** Keys that are remembered; the one unused longest is forgotten, which gives it a full bucket. */
  readonly maxKeys: number
}

interface Bucket {
  tokens: number
  filledMs: number
}

/** A rate for each key: a bucket that fills steadily and from which each event takes one token. */
export class TokenBuckets {
  readonly #limits: BucketLimits
  readonly #now: () => number
  readonly #buckets = new Map<string, Bucket>()

  constructor (limits: BucketLimits, now: () => number = () => performance.now()) {
    this.#limits = limits
    this.#now = now
  }

  get keyCount (): number {
    return this.#buckets.size
  }

  /** Whether one more is within the rate; then it counts. */
  take (key: string): boolean {
    const bucket = this.#bucketOf(key)
    if (bucket.tokens < 1) return false
    bucket.tokens--
    return true
  }

  #bucketOf (key: string): Bucket {
    const { perSecond, burst, maxKeys } = this.#limits
    const nowMs = this.#now()
    const { tokens, filledMs } = this.#buckets.get(key) ?? { tokens: burst, filledMs: nowMs }
    const bucket = { tokens: Math.min(burst, tokens + (nowMs - filledMs) / 1000 * perSecond), filledMs: nowMs }
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > maxKeys) for (const oldest of this.#buckets.keys().take(1)) this.#buckets.delete(oldest)
    return bucket
  }
}
