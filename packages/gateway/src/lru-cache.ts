/** How often a cache had what it was asked for. */
export interface CacheCounts {
  readonly hitCount: number
  readonly missCount: number
}

/** Keeps the values that were used last, at most `maxCount` of them. For facts that never change. */
export class LruCache<K, V> implements CacheCounts {
  readonly #values = new Map<K, V>()
  readonly #maxCount: number
  hitCount = 0
  missCount = 0

  constructor (maxCount: number) {
    this.#maxCount = maxCount
  }

  get (key: K): V | undefined {
    const value = this.#values.get(key)
    if (value === undefined) {
      this.missCount++
      return undefined
    }
    this.hitCount++
    // A Map keeps the order of insertion: the first key is the one that was used longest ago.
    this.#values.delete(key)
    this.#values.set(key, value)
    return value
  }

  set (key: K, value: V): void {
    this.#values.delete(key)
    this.#values.set(key, value)
    if (this.#values.size <= this.#maxCount) return
    const oldest = this.#values.keys().next()
    if (oldest.done !== true) this.#values.delete(oldest.value)
  }

  get count (): number {
    return this.#values.size
  }
}
