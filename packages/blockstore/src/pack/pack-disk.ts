import { DiskTrust, type HoldfastError, type Logger } from '@holdfast/core'
import { join } from 'node:path'
import type { Durability } from '../fs/durable-folder.ts'
import { errnoOf, explained } from '../fs/fs-errors.ts'
import { closing } from '../fs/read-file.ts'
import { PACKS_FOLDER } from './pack-names.ts'
import type { PackOperations } from './pack-operations.ts'

export interface PackDiskOptions {
  readonly operations: PackOperations
  readonly path: string
  readonly durability: Durability
  readonly log: Logger
  /** Called once, when the disk failed to keep what was written. */
  readonly onFatal?: ((err: HoldfastError) => void) | undefined
}

/** What a disk may refuse without being broken. */
const EXHAUSTED: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EMFILE', 'ENFILE'])

/** The folder of the packs, and whether what is written to it can still be trusted. */
export class PackDisk {
  readonly operations: PackOperations
  /** The folder of the packs. */
  readonly folder: string
  readonly durability: Durability
  readonly #trust: DiskTrust

  constructor (options: PackDiskOptions) {
    this.#trust = new DiskTrust({ name: 'Blockstore', log: options.log, onFatal: options.onFatal })
    this.operations = options.operations
    this.durability = options.durability
    this.folder = join(options.path, PACKS_FOLDER)
  }

  pathOf (name: string): string {
    return join(this.folder, name)
  }

  get failed (): boolean {
    return this.#trust.isLost
  }

  /** @throws `UNAVAILABLE` once the disk has failed. */
  requireSound (): void {
    this.#trust.require()
  }

  /**
   * Runs a step that may be refused for want of space or files, and only then be tried again.
   *
   * @param what What is done, as in "could not …".
   * @throws `LIMIT` when space has run out, `UNAVAILABLE` for anything else; then, unless only files ran out, for ever.
   */
  async attempt<T> (what: string, name: string, step: () => Promise<T>): Promise<T> {
    try {
      return await step()
    } catch (cause) {
      if (!EXHAUSTED.has(errnoOf(cause))) throw this.#trust.lose(what, this.pathOf(name), cause)
      return await explained(`Could not ${what} ${this.pathOf(name)}`, Promise.reject(cause))
    }
  }

  /** Runs a step whose failure leaves unknown what is on the disk. @throws `UNAVAILABLE`, from now on for ever. */
  async durably<T> (what: string, name: string, step: () => Promise<T>): Promise<T> {
    return await this.#trust.durably(what, this.pathOf(name), step)
  }

  /** Makes content and length of a file durable, unless less was asked for. */
  async sync (name: string, fd: number): Promise<void> {
    if (this.durability === 'os') return
    await this.durably('sync', name, async () => { await this.operations.datasync(fd) })
  }

  /** Makes the names in the folder durable. */
  async syncFolder (): Promise<void> {
    const fd = await this.attempt('open the folder of', '', async () => await this.operations.open(this.folder, 'r'))
    await this.durably('sync the folder of', '', async () => { await closing(this.operations, fd, async () => { await this.operations.syncFolder(fd) }) })
  }

  /** Writes all of `parts` from `position` on. */
  async writeAll (name: string, fd: number, parts: readonly Uint8Array[], position: number): Promise<void> {
    await this.attempt('write to', name, async () => {
      let remaining = parts
      let at = position
      for (;;) {
        const count = await this.operations.writeMany(fd, remaining, at)
        at += count
        remaining = without(remaining, count)
        if (remaining.length === 0) return
        if (count === 0) throw new Error('The file system takes no more bytes')
      }
    })
  }
}

/** `parts` without their first `count` bytes. */
function without (parts: readonly Uint8Array[], count: number): Uint8Array[] {
  let passed = 0
  const remaining: Uint8Array[] = []
  for (const part of parts) {
    const rest = part.subarray(Math.min(Math.max(count - passed, 0), part.byteLength))
    if (rest.byteLength > 0) remaining.push(rest)
    passed += part.byteLength
  }
  return remaining
}
