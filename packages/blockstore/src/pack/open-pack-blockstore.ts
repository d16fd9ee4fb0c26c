import { HoldfastError, lockFile, type Logger, silentLogger } from '@holdfast/core'
import { dirname, join, resolve } from 'node:path'
import type { Durability } from '../fs/durable-folder.ts'
import { errnoOf, explained, unless } from '../fs/fs-errors.ts'
import { withOpenFile } from '../fs/read-file.ts'
import { Compactor } from './compactor.ts'
import { lmdbIndexAt } from './lmdb-index.ts'
import { OpenPacks } from './open-packs.ts'
import { PackBlockstore } from './pack-blockstore.ts'
import { PackDisk } from './pack-disk.ts'
import type { IndexOpener } from './pack-index.ts'
import { INDEX_FILE, LOCK_FILE } from './pack-names.ts'
import { nodePackOperations, type PackOperations } from './pack-operations.ts'
import { DEFAULT_PACK_BYTES, MAX_PACK_BYTES, PackWriter } from './pack-writer.ts'
import { recover, type RecoveryProgress } from './recover.ts'
import { DEFAULT_RESERVE_BYTES, SpaceGuard } from './space-guard.ts'

export interface PackBlockstoreOptions {
  /**
   * What an acknowledged block survives: `disk` is a crash of the machine, `os` only one of the process. @default 'disk'
   */
  durability?: Durability
  /** Bytes of packs, marks and index that are not passed; writes are refused before. @default no limit */
  storageMaxBytes?: number
  /** Bytes of the disk that writes leave free. @default DEFAULT_RESERVE_BYTES */
  reserveBytes?: number
  /** Gives blocks out without hashing them again: for a medium that checks what it keeps. @default false */
  trustMedium?: boolean
  /** Bytes of a pack from which on the next one is begun, up to `MAX_PACK_BYTES`. @default DEFAULT_PACK_BYTES */
  packBytes?: number
  /** Compacts packs that are mostly dead by itself; else only when asked. @default true */
  compaction?: boolean
  /** Makes the index anew whatever state it is in. @default false */
  rebuildIndex?: boolean
  /** Called as packs are read for the index. */
  onProgress?: (progress: RecoveryProgress) => void
  log?: Logger
  /**
   * Called once, when the disk failed to keep what was written. From then on the store only reads: the
   * process should say so and end, because only a new one can know what is on the disk.
   */
  onFatal?: (err: HoldfastError) => void
  signal?: AbortSignal
}

/** What a store of packs stands on: tests put others in their place. */
export interface PackPlatform {
  readonly operations: PackOperations
  readonly opener: IndexOpener
  /** Makes this process the only one that writes. @default nothing */
  readonly lock?: () => Promise<AsyncDisposable>
}

/**
 * Opens the store of packs in `path`, creating it when absent.
 *
 * Reads the ends of packs that the index does not know yet; all of them when it is missing, of another store or damaged.
 *
 * @throws `UNAVAILABLE` when the folder cannot be used or another process writes to it, `LIMIT` when the disk is full, `UNSUPPORTED` for files of a newer version.
 */
export async function openPackBlockstore (path: string, options: PackBlockstoreOptions = {}): Promise<PackBlockstore> {
  const folder = resolve(path)
  const lock = async (): Promise<AsyncDisposable> => await lockFile(join(folder, LOCK_FILE), ({ pid }) => `Blockstore ${folder} is written to by process ${pid}. Stop that first`)
  return await openPackBlockstoreOn({ operations: nodePackOperations, opener: lmdbIndexAt(join(folder, INDEX_FILE)), lock }, folder, options)
}

/** The same on any implementation of system calls and index: for tests that make them fail. */
export async function openPackBlockstoreOn (platform: PackPlatform, path: string, options: PackBlockstoreOptions = {}): Promise<PackBlockstore> {
  return await explained(`Blockstore ${path} could not be opened`, open(platform, path, options))
}

async function open ({ operations, opener, lock }: PackPlatform, path: string, options: PackBlockstoreOptions): Promise<PackBlockstore> {
  const { durability = 'disk', log = silentLogger, storageMaxBytes = Infinity, reserveBytes = DEFAULT_RESERVE_BYTES, trustMedium = false, compaction = true } = options
  const packBytes = packBytesOf(options)
  const disk = new PackDisk({ operations, path, durability, log, onFatal: options.onFatal })
  await makeFolders(operations, disk.folder)
  await using undo = new AsyncDisposableStack()
  if (lock !== undefined) undo.use(await lock())
  const packs = undo.use(new OpenPacks(operations, (name) => disk.pathOf(name)))
  if (options.rebuildIndex === true) await opener.remove()

  const { book, appender, isIndexNew, damagedPacks } = await recover({ disk, packs, opener, log, packBytes, onProgress: options.onProgress, signal: options.signal })
  undo.use(book.table)
  const space = new SpaceGuard({ disk, table: book.table, storageMaxBytes, reserveBytes })
  const writer = undo.use(new PackWriter({ disk, book, space, appender, packBytes }))
  const compactor = undo.use(new Compactor({ disk, packs, book, writer, log, packBytes }, damagedPacks))
  // So that each pack is a CARv1 again before anything else happens.
  if (damagedPacks.size > 0) await compactor.run({ isGentle: false, signal: options.signal })
  const parts = undo.move()
  return new PackBlockstore({ disk, packs, book, writer, compactor, opener, compaction, isIndexNew, isTrusting: trustMedium, log, parts })
}

function packBytesOf ({ packBytes = DEFAULT_PACK_BYTES }: PackBlockstoreOptions): number {
  if (Number.isSafeInteger(packBytes) && packBytes > 0 && packBytes <= MAX_PACK_BYTES) return packBytes
  throw new HoldfastError('INVALID', `Packs of ${packBytes} bytes cannot be: 1 to ${MAX_PACK_BYTES} are accepted`, { packBytes })
}

/** Makes the folder and those above it that are missing, each durable in the one above. */
async function makeFolders (operations: PackOperations, path: string): Promise<void> {
  const parent = dirname(path)
  const make = (): Promise<void | undefined> => unless('EEXIST', operations.mkdir(path))
  try {
    await make()
  } catch (err) {
    if (errnoOf(err) !== 'ENOENT' || parent === path) throw err
    await makeFolders(operations, parent)
    await make()
  }
  // Also when it was there: whoever made it may not have got this far. A parent that we may not read is not ours.
  await unless('EACCES', withOpenFile(operations, parent, (fd) => operations.syncFolder(fd)))
}
