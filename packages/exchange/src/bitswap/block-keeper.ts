import type { BlockWriter } from '@holdfast/blockstore'
import type { Block } from '@holdfast/core'

/** Bytes in one call of `putMany`: enough to make the cost of durability small (as imports do). */
const MAX_BATCH_BYTES: number = 8 * 1024 * 1024

/** Batches that are stored at once: one gathers bytes while the other waits for the disk. */
const MAX_BATCHES = 2

/** Bytes that wait for the store before no more are read from any peer. */
export const MAX_UNSTORED_BYTES: number = 32 * 1024 * 1024

interface Waiting {
  readonly block: Block
  readonly stored: PromiseWithResolvers<void>
}

/** Stores fetched blocks in batches: what arrives while one batch is being stored makes the next. */
export class BlockKeeper {
  readonly #store: BlockWriter
  #queue: Waiting[] = []
  #batchCount = 0
  #unstoredBytes = 0
  #room: PromiseWithResolvers<void> | undefined

  constructor (store: BlockWriter) {
    this.#store = store
  }

  /** Resolves when the block is as durable as the store makes it. */
  keep (block: Block): Promise<void> {
    const stored = Promise.withResolvers<void>()
    this.#queue.push({ block, stored })
    this.#unstoredBytes += block.bytes.byteLength
    setImmediate(() => { this.#storeNext() })
    return stored.promise
  }

  /** Resolves when fewer than `MAX_UNSTORED_BYTES` wait: the way to slow peers down to the disk. */
  async room (): Promise<void> {
    while (this.#unstoredBytes >= MAX_UNSTORED_BYTES) {
      this.#room ??= Promise.withResolvers()
      await this.#room.promise
    }
  }

  #storeNext (): void {
    if (this.#batchCount >= MAX_BATCHES || this.#queue.length === 0) return
    void this.#storeBatch(this.#takeBatch())
  }

  async #storeBatch (batch: readonly Waiting[]): Promise<void> {
    this.#batchCount++
    try {
      await this.#store.putMany(batch.map(({ block }) => block))
      for (const { stored } of batch) stored.resolve()
    } catch (err) {
      for (const { stored } of batch) stored.reject(err)
    }
    this.#batchCount--
    for (const { block } of batch) this.#unstoredBytes -= block.bytes.byteLength
    this.#room?.resolve()
    this.#room = undefined
    this.#storeNext()
  }

  #takeBatch (): Waiting[] {
    let byteLength = 0
    let count = 0
    for (const { block } of this.#queue) {
      if (count > 0 && byteLength + block.bytes.byteLength > MAX_BATCH_BYTES) break
      byteLength += block.bytes.byteLength
      count++
    }
    return this.#queue.splice(0, count)
  }
}
