/** Keeps the values that were used last, at most `maxCount` of them. For facts that never change. */
export class LruCache<K, V> {
  readonly #values = new Map<K, V>()
  readonly #maxCount: number

  constructor (maxCount: number) {
    this.#maxCount = maxCount
  }

  get (key: K): V | undefined {
    const value = this.#values.get(key)
    if (value === undefined) return undefined
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
