import type { Block } from '@holdfast/core'

/** Those who wait for one block. */
export class Waiters {
  readonly #waiting = new Map<string, Set<PromiseWithResolvers<Block>>>()

  /** Blocks that are waited for. */
  get count (): number {
    return this.#waiting.size
  }

  has (key: string): boolean {
    return this.#waiting.has(key)
  }

  /** Waits; an abort rejects with its reason, and `onLeft` runs when the last one who waited gave up. */
  async wait (key: string, { signal, onLeft }: { signal: AbortSignal | undefined, onLeft: () => void }): Promise<Block> {
    signal?.throwIfAborted()
    const waiter = Promise.withResolvers<Block>()
    const waiting = this.#waiting.get(key) ?? new Set()
    waiting.add(waiter)
    this.#waiting.set(key, waiting)

    const leave = (): void => {
      waiter.reject(signal?.reason)
      waiting.delete(waiter)
      if (waiting.size > 0 || this.#waiting.get(key) !== waiting) return
      this.#waiting.delete(key)
      onLeft()
    }
    signal?.addEventListener('abort', leave, { once: true })
    try {
      return await waiter.promise
    } finally {
      signal?.removeEventListener('abort', leave)
    }
  }

  resolve (key: string, block: Block): boolean {
    const waiting = this.#take(key)
    for (const { resolve } of waiting ?? []) resolve(block)
    return waiting !== undefined
  }

  reject (key: string, reason: unknown): void {
    for (const { reject } of this.#take(key) ?? []) reject(reason)
  }

  rejectAll (reason: unknown): void {
    for (const key of Array.from(this.#waiting.keys())) this.reject(key, reason)
  }

  #take (key: string): Set<PromiseWithResolvers<Block>> | undefined {
    const waiting = this.#waiting.get(key)
    this.#waiting.delete(key)
    return waiting
  }
}
