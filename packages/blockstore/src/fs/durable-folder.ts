/**
 * Writes files so that a crash leaves each of them whole or absent.
 *
 * ```
 * .temp/<uuid>.tmp   1 created and written   2 synced
 * XX/<name>          3 renamed to            4 folder XX synced, and the root when XX is new
 * ```
 *
 * A crash before 3 leaves a temporary file, which the next opening removes. A crash between 3 and 4 leaves
 * the whole file or none, and nobody was told that it is there. Leaving 4 out loses acknowledged files on XFS,
 * leaving 2 out loses all of them on ext4.
 *
 * After a failed sync the kernel holds the lost pages for clean, so that asking again would succeed without
 * having written anything: from then on nothing is written at all.
 *
 * @see Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020
 */
import { DiskTrust, HoldfastError, type Logger } from '@holdfast/core'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { platform } from 'node:process'
import { forEachConcurrently, Semaphore } from './concurrency.ts'
import { errnoOf, unless, unlessAbsent } from './fs-errors.ts'
import type { FsOperations } from './fs-operations.ts'
import { closing, holdsExactly, withOpenFile } from './read-file.ts'
import { SharedRuns } from './shared-runs.ts'

/** What an acknowledged write survives: a crash of the machine, or of the process only. */
export type Durability = 'disk' | 'os'

export interface DurableFolderOptions {
  durability: Durability
  log: Logger
  /** Called once, when a sync failed. */
  onFatal?: ((err: HoldfastError) => void) | undefined
}

/** Where go-ds-flatfs, too, keeps files that are not finished; walks of either tool pass over it. */
const TEMP_FOLDER = '.temp'
const TEMP_FILE = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/

/**
 * Most files that are written or synced at once: the file system commits what waits together, so that 16 are
 * three times as fast as one at a time (measured on ext4 with 256 KiB), and a node starts as many threads.
 */
export const MAX_WRITES_IN_FLIGHT = 16

/** Windows only syncs what is open for writing; elsewhere reading is enough, and works on files of other users. */
const TO_SYNC = platform === 'win32' ? 'r+' : 'r'

/** The writing half of a store of files: a root, folders in it, files in those. */
export class DurableFolder {
  readonly path: string
  readonly #operations: FsOperations
  readonly #options: DurableFolderOptions
  readonly #syncs = new SharedRuns()
  readonly #writes = new Semaphore(MAX_WRITES_IN_FLIGHT)
  /** Folders whose own name is known to be durable; at most the 1,024 of two base32 characters. */
  readonly #knownFolders = new Set<string>()
  readonly #trust: DiskTrust

  constructor (operations: FsOperations, path: string, options: DurableFolderOptions) {
    this.#operations = operations
    this.path = path
    this.#options = options
    this.#trust = new DiskTrust({ name: 'Blockstore', log: options.log, onFatal: options.onFatal })
  }

  /** Makes the folder ready: nothing half-written is left, and the names of `folders` are durable. */
  async prepare (folders: Iterable<string>): Promise<void> {
    await unless('EEXIST', this.#operations.mkdir(join(this.path, TEMP_FOLDER)))
    for await (const name of this.#operations.list(join(this.path, TEMP_FOLDER))) {
      if (TEMP_FILE.test(name)) await unlessAbsent(this.#operations.unlink(join(this.path, TEMP_FOLDER, name)))
    }
    await this.#syncFolder('')
    for (const folder of folders) this.#knownFolders.add(folder)
  }

  /** @throws `UNAVAILABLE` once a sync has failed. */
  requireWritable (): void {
    this.#trust.require()
  }

  /** Steps 1 and 2: writes a temporary file and returns its path. Leaves nothing behind when it fails. */
  async writeTemp (bytes: Uint8Array, signal?: AbortSignal): Promise<string> {
    const path = join(this.path, TEMP_FOLDER, `${randomUUID()}.tmp`)
    await this.#writes.run(async () => {
      const fd = await this.#openTemp(path)
      try {
        await closing(this.#operations, fd, async () => {
          await this.#writeAll(fd, bytes)
          await this.#sync(path, () => this.#operations.sync(fd))
        })
      } catch (err) {
        await this.discard(path)
        throw err
      }
    }, signal)
    return path
  }

  /** Removes a temporary file. What cannot be removed goes at the next opening. */
  async discard (temp: string): Promise<void> {
    await this.#operations.unlink(temp).catch(() => {})
  }

  /** Step 3: gives the file its name. `folder` is `''` for the root. */
  async publish (temp: string, folder: string, file: string): Promise<void> {
    const target = join(this.path, folder, file)
    await this.#makeFolder(folder)
    try {
      await this.#operations.rename(temp, target)
    } catch (err) {
      if (errnoOf(err) !== 'ENOENT') throw err
      // Tools that tidy up remove empty folders.
      this.#knownFolders.delete(folder)
      await this.#makeFolder(folder)
      await this.#operations.rename(temp, target)
    }
  }

  /** Step 4: makes the names in `folders`, and their own, durable. */
  async syncFolders (folders: readonly string[]): Promise<void> {
    await forEachConcurrently(folders, MAX_WRITES_IN_FLIGHT, (folder) => this.#syncFolder(folder))
    if (folders.some((folder) => folder !== '' && !this.#knownFolders.has(folder))) {
      await this.#syncFolder('')
      for (const folder of folders) this.#knownFolders.add(folder)
    }
  }

  /**
   * Reports whether the file holds exactly `bytes`, and makes them durable when it does: another tool, or
   * an earlier run with less durability, may have left them in the cache of the system.
   */
  async confirm (folder: string, file: string, bytes: Uint8Array, signal?: AbortSignal): Promise<boolean> {
    const path = join(this.path, folder, file)
    return await this.#writes.run(() => withOpenFile(this.#operations, path, async (fd) => {
      if (!await holdsExactly(this.#operations, fd, bytes)) return false
      await this.#sync(path, () => this.#operations.sync(fd))
      return true
    }, TO_SYNC), signal) ?? false
  }

  /** Callers at the same time share the cost. */
  async #syncFolder (folder: string): Promise<void> {
    if (this.#options.durability === 'os') return
    const path = join(this.path, folder)
    await this.#syncs.run(folder, () => this.#writes.run(async () => {
      const fd = await this.#operations.open(path, 'r')
      await closing(this.#operations, fd, () => this.#sync(path, () => this.#operations.syncFolder(fd)))
    }))
  }

  async #openTemp (path: string): Promise<number> {
    const fd = await unlessAbsent(this.#operations.open(path, 'wx'))
    if (fd !== undefined) return fd
    await unless('EEXIST', this.#operations.mkdir(join(this.path, TEMP_FOLDER)))
    return await this.#operations.open(path, 'wx')
  }

  async #writeAll (fd: number, bytes: Uint8Array): Promise<void> {
    let at = 0
    while (at < bytes.byteLength) {
      const count = await this.#operations.write(fd, bytes.subarray(at), at)
      if (count === 0) throw new HoldfastError('UNAVAILABLE', `The file system takes no bytes for ${this.path}`)
      at += count
    }
  }

  async #makeFolder (folder: string): Promise<void> {
    if (folder === '' || this.#knownFolders.has(folder)) return
    await unless('EEXIST', this.#operations.mkdir(join(this.path, folder)))
  }

  async #sync (path: string, sync: () => Promise<void>): Promise<void> {
    if (this.#options.durability === 'disk') await this.#trust.durably('sync', path, sync)
  }
}
