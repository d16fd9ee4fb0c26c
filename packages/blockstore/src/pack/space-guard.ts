import { HoldfastError } from '@holdfast/core'
import type { BlockTable } from './block-table.ts'
import type { PackDisk } from './pack-disk.ts'

/** Bytes of the disk that are left free unless told otherwise: for the index, the journal and a compaction to go on. */
export const DEFAULT_RESERVE_BYTES: number = 512 * 1024 * 1024

/** How long what the file system said of its free space is believed, in milliseconds. */
const FREE_SPACE_AGE_MS = 1000

export interface SpaceGuardParts {
  readonly disk: PackDisk
  readonly table: BlockTable
  readonly storageMaxBytes: number
  readonly reserveBytes: number
}

/** Refuses writes before the limit of the store, or the reserve of the disk, is passed. */
export class SpaceGuard {
  readonly #parts: SpaceGuardParts
  #freeBytes = 0
  #askedAt = -Infinity
  #indexBytes = 0

  constructor (parts: SpaceGuardParts) {
    this.#parts = parts
  }

  /** Bytes of packs, marks and index. */
  get usedBytes (): number {
    return this.#parts.table.fileBytes + this.#indexBytes
  }

  /** @throws `LIMIT` saying what would make room. */
  async requireRoom (byteLength: number): Promise<void> {
    const { disk, storageMaxBytes, reserveBytes } = this.#parts
    if (storageMaxBytes === Infinity && reserveBytes === 0) return
    await this.#ask(byteLength)
    if (this.usedBytes + byteLength > storageMaxBytes) throw this.#full()
    if (this.#freeBytes - byteLength < reserveBytes) {
      throw new HoldfastError('LIMIT', `The disk is full but for its reserve: ${this.#freeBytes} bytes are free at ${disk.folder}, and ${reserveBytes} stay so (storageReserveBytes). Free some space on it, or unpin and collect: holdfast pin rm, holdfast gc`, { reason: 'no-space', freeBytes: this.#freeBytes, reserveBytes })
    }
    this.#freeBytes -= byteLength
  }

  /** Asks again after a while, and before a refusal. */
  async #ask (byteLength: number): Promise<void> {
    const { disk, table, reserveBytes } = this.#parts
    const now = performance.now()
    if (now - this.#askedAt < FREE_SPACE_AGE_MS && this.#freeBytes - byteLength >= reserveBytes) return
    this.#freeBytes = reserveBytes === 0 ? Infinity : await disk.operations.freeByteLength(disk.folder)
    this.#indexBytes = await table.index.byteLength()
    this.#askedAt = now
  }

  #full (): HoldfastError {
    const { disk, table, storageMaxBytes } = this.#parts
    const usedBytes = this.usedBytes
    const deadBytes = table.packs().reduce((sum, pack) => sum + pack.byteLength - pack.liveBytes, 0)
    return new HoldfastError(
      'LIMIT',
      `Blockstore ${disk.folder} holds ${usedBytes} of ${storageMaxBytes} bytes, ${deadBytes} of them of deleted blocks, which compaction gives back: unpin and collect (holdfast pin rm, holdfast gc), lower cacheMaxBytes, or raise storageMaxBytes`,
      { reason: 'no-space', usedBytes, storageMaxBytes, deadBytes }
    )
  }
}
