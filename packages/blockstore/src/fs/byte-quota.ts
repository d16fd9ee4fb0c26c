import { HoldfastError } from '@holdfast/core'

/**
 * Refuses writes before the blocks of a store take more than they may.
 *
 * What is there is counted once, by a walk that the first write or removal waits for; from then on by what is written and
 * removed here. What other tools do is seen by the next start.
 */
export class ByteQuota {
  readonly #path: string
  readonly #maxBytes: number
  readonly #count: () => Promise<number>
  #counting: Promise<void> | undefined
  #usedBytes = 0

  constructor (path: string, maxBytes: number, count: () => Promise<number>) {
    this.#path = path
    this.#maxBytes = maxBytes
    this.#count = count
  }

  /** Takes room for a write. @throws `LIMIT` saying what would make room. */
  async take (byteLength: number): Promise<void> {
    await this.counted()
    if (this.#usedBytes + byteLength > this.#maxBytes) {
      const [usedBytes, storageMaxBytes] = [this.#usedBytes, this.#maxBytes]
      throw new HoldfastError('LIMIT', `Blockstore ${this.#path} holds ${usedBytes} of ${storageMaxBytes} bytes: unpin and collect (holdfast pin rm, holdfast gc), lower cacheMaxBytes, or raise storageMaxBytes`, { reason: 'no-space', usedBytes, storageMaxBytes })
    }
    this.#usedBytes += byteLength
  }

  /** Gives room back, once all was counted: of a block that was removed, or one that was not stored after all. */
  giveBack (byteLength: number): void {
    this.#usedBytes -= byteLength
  }

  /** Resolves when all was counted. @throws what counting throws; the next call begins anew. */
  async counted (): Promise<void> {
    this.#counting ??= this.#count().then((byteLength) => { this.#usedBytes += byteLength }).catch((err: unknown) => {
      this.#counting = undefined
      throw err
    })
    await this.#counting
  }
}
