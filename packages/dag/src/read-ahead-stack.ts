import type { BlockReader } from '@holdfast/blockstore'
import type { AbortOptions, Block } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { requireBlock } from './entry.ts'

/** Blocks that a walk asks for at once unless told otherwise (seaweedfs#8917: 4 already hide most of the latency). */
export const DEFAULT_CONCURRENCY = 8

/** Blocks that may wait to be taken, as a multiple of the concurrency; those needed last are let go and read again. */
const MAX_HELD_PER_CONCURRENT = 4

/** Something that waits its turn; its block, when it has one, is read before. */
export interface StackItem {
  readonly cid: CID | undefined
}

export interface ReadAheadOptions<T> extends AbortOptions {
  /** Blocks to ask for at once. @default DEFAULT_CONCURRENCY */
  concurrency?: number | undefined
  /** Asked before an item is read or taken: what is no longer needed falls out of the stack. */
  isNeeded?: ((item: T) => boolean) | undefined
}

interface Slot<T> {
  readonly item: T
  fetch?: Promise<Block> | undefined
}

/**
 * The stack of an iterative depth-first walk, which reads the blocks of its topmost items ahead.
 *
 * Reads start only within `pop`, so a consumer that stalls makes nothing grow. A read that
 * fails is reported when its item is taken, and never if it is not. Disposing it aborts what is under way.
 */
export class ReadAheadStack<T extends StackItem> implements Disposable {
  readonly #blocks: BlockReader
  readonly #concurrency: number
  readonly #isNeeded: (item: T) => boolean
  readonly #ended = new AbortController()
  readonly #signal: AbortSignal
  readonly #slots: Array<Slot<T>> = []
  /** Slots with a read under way or done, in the order they were asked for. */
  readonly #held = new Set<Slot<T>>()

  constructor (blocks: BlockReader, { concurrency = DEFAULT_CONCURRENCY, isNeeded = () => true, signal }: ReadAheadOptions<T> = {}) {
    this.#blocks = blocks
    this.#concurrency = Math.max(1, concurrency)
    this.#isNeeded = isNeeded
    this.#signal = signal === undefined ? this.#ended.signal : AbortSignal.any([signal, this.#ended.signal])
  }

  /** Items that wait. */
  get count (): number {
    return this.#slots.length
  }

  /** Puts items on top; the first of them is the next to come out. */
  push (items: readonly T[]): void {
    for (let index = items.length - 1; index >= 0; index--) {
      const item = items[index]
      if (item !== undefined) this.#slots.push({ item })
    }
  }

  /**
   * Takes the topmost item with its block, or `undefined` when none is left.
   *
   * @throws `NOT_FOUND` when its block is absent; what the reader throws.
   */
  async pop (): Promise<{ item: T, block: Block | undefined } | undefined> {
    for (;;) {
      this.#signal.throwIfAborted()
      this.#readAhead()
      const slot = this.#slots.pop()
      if (slot === undefined) return undefined
      this.#held.delete(slot)
      if (!this.#isNeeded(slot.item)) continue
      return { item: slot.item, block: await (slot.fetch ?? this.#fetch(slot.item)) }
    }
  }

  [Symbol.dispose] (): void {
    this.#ended.abort()
  }

  #readAhead (): void {
    for (let depth = 1; depth <= Math.min(this.#concurrency, this.#slots.length); depth++) {
      const slot = this.#slots[this.#slots.length - depth]
      if (slot === undefined || slot.fetch !== undefined || slot.item.cid === undefined || !this.#isNeeded(slot.item)) continue
      slot.fetch = this.#fetch(slot.item)
      this.#held.add(slot)
    }
    for (const slot of this.#held) {
      if (this.#held.size <= this.#concurrency * MAX_HELD_PER_CONCURRENT) break
      slot.fetch = undefined
      this.#held.delete(slot)
    }
  }

  #fetch ({ cid }: T): Promise<Block> | undefined {
    if (cid === undefined) return undefined
    const fetch = requireBlock(this.#blocks, cid, { signal: this.#signal })
    fetch.catch(() => {}) // Whoever takes the item sees the failure; nobody may ever take it.
    return fetch
  }
}
