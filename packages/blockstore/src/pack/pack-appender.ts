import { closing } from '../fs/read-file.ts'
import { unlessAbsent } from '../fs/fs-errors.ts'
import type { PackDisk } from './pack-disk.ts'
import { encodePackHeader } from './pack-format.ts'
import { packName } from './pack-names.ts'

/** Writes at the end of one pack. Calls must not overlap. */
export class PackAppender implements AsyncDisposable {
  readonly number: number
  readonly #disk: PackDisk
  readonly #fd: number
  #byteLength: number

  private constructor (disk: PackDisk, { number, fd, byteLength }: { number: number, fd: number, byteLength: number }) {
    this.#disk = disk
    this.number = number
    this.#fd = fd
    this.#byteLength = byteLength
  }

  /**
   * Starts a pack; durable, header and name, when this resolves.
   *
   * @throws `LIMIT` when space or files have run out: nothing is left behind then. `UNAVAILABLE` when the disk failed.
   */
  static async create (disk: PackDisk, number: number, storeId: Uint8Array): Promise<PackAppender> {
    const name = packName(number)
    const header = encodePackHeader({ storeId, number })
    const fd = await disk.attempt('create', name, async () => await disk.operations.open(disk.pathOf(name), 'wx'))
    try {
      await disk.writeAll(name, fd, [header], 0)
      await disk.durably('sync', name, async () => { await disk.operations.sync(fd) })
      await disk.syncFolder()
    } catch (err) {
      await disk.operations.close(fd).catch(() => {})
      await disk.operations.unlink(disk.pathOf(name)).catch(() => {}) // A pack without a whole header goes when the store is opened.
      throw err
    }
    return new PackAppender(disk, { number, fd, byteLength: header.byteLength })
  }

  /** Goes on after the first `byteLength` bytes of a pack, which are all that it has; they are durable when this resolves. */
  static async resume (disk: PackDisk, number: number, byteLength: number): Promise<PackAppender> {
    const name = packName(number)
    const fd = await disk.attempt('open', name, async () => await disk.operations.open(disk.pathOf(name), 'r+'))
    return new PackAppender(disk, { number, fd, byteLength })
  }

  /** Bytes of the pack, all of them durable. */
  get byteLength (): number {
    return this.#byteLength
  }

  /**
   * Writes `parts` behind each other; durable when this resolves.
   *
   * When it rejects, the pack is as it was: a torn tail is cut off.
   *
   * @throws `LIMIT` when the disk is full; `UNAVAILABLE`, from now on for ever, when it failed.
   */
  async append (parts: readonly Uint8Array[]): Promise<void> {
    const name = packName(this.number)
    try {
      await this.#disk.writeAll(name, this.#fd, parts, this.#byteLength)
    } catch (err) {
      if (!this.#disk.failed) await this.#cutBack(name)
      throw err
    }
    await this.#disk.sync(name, this.#fd)
    this.#byteLength = parts.reduce((sum, { byteLength }) => sum + byteLength, this.#byteLength)
  }

  /** Makes the pack durable also where less was asked for: nobody writes to it afterwards. */
  async seal (): Promise<void> {
    await this.#disk.durably('sync', packName(this.number), async () => { await this.#disk.operations.datasync(this.#fd) })
  }

  /** All that counts was synced, so a close that fails loses nothing. */
  async [Symbol.asyncDispose] (): Promise<void> {
    await this.#disk.operations.close(this.#fd).catch(() => {})
  }

  async #cutBack (name: string): Promise<void> {
    await this.#disk.durably('cut back', name, async () => {
      await this.#disk.operations.truncate(this.#fd, this.#byteLength)
      if (this.#disk.durability === 'disk') await this.#disk.operations.datasync(this.#fd)
    })
  }
}

/** Cuts a file of the packs to `byteLength` bytes, durably. */
export async function cutFile (disk: PackDisk, name: string, byteLength: number): Promise<void> {
  const fd = await disk.attempt('open', name, async () => await disk.operations.open(disk.pathOf(name), 'r+'))
  await disk.durably('cut back', name, async () => {
    await closing(disk.operations, fd, async () => {
      await disk.operations.truncate(fd, byteLength)
      await disk.operations.datasync(fd)
    })
  })
}

/** Makes all that a file of the packs holds durable: an earlier process may have been killed before it did. */
export async function syncFile (disk: PackDisk, name: string): Promise<void> {
  const fd = await disk.attempt('open', name, async () => await disk.operations.open(disk.pathOf(name), 'r+'))
  await disk.durably('sync', name, async () => { await closing(disk.operations, fd, async () => { await disk.operations.sync(fd) }) })
}

/** Removes files of the packs, durably; absent ones are passed over. */
export async function removeFiles (disk: PackDisk, names: readonly string[]): Promise<void> {
  for (const name of names) await disk.attempt('remove', name, async () => await unlessAbsent(disk.operations.unlink(disk.pathOf(name))))
  await disk.syncFolder()
}
