import { HoldfastError, type Logger, silentLogger } from '@holdfast/core'
import { dirname, join, resolve } from 'node:path'
import type { Blockstore } from '../blockstore.ts'
import { type Durability, DurableFolder } from './durable-folder.ts'
import { errnoOf, explained, unless } from './fs-errors.ts'
import { FsBlockstore } from './fs-blockstore.ts'
import { type FsOperations, nodeFsOperations } from './fs-operations.ts'
import { FLATFS_SHARDING, isShard, type Layout, type LayoutName, LAYOUTS, SHARDING_FILE } from './layout.ts'
import { readAll, withOpenFile } from './read-file.ts'

export interface FsBlockstoreOptions {
  /**
   * What an acknowledged block survives: `disk` is a crash of the machine, `os` only one of the process,
   * many times faster on disks that are slow to sync. @default 'disk'
   */
  durability?: Durability
  /**
   * How files are named. A folder that holds blocks says so by itself; this is for a new one.
   * `flatfs` is what Kubo reads, `blockstore-fs` what Helia's store reads. @default 'flatfs'
   */
  layout?: LayoutName
  /** Bytes of all blocks that are not passed; writes are refused before. The first one waits until what is there was counted. @default no limit */
  storageMaxBytes?: number | undefined
  log?: Logger
  /**
   * Called once, when the disk failed to keep what was written. From then on the store only reads: the
   * process should say so and end, because only a new one can know what is on the disk.
   */
  onFatal?: (err: HoldfastError) => void
}

/**
 * Opens the store in `path`, one file per block, creating the folder when absent.
 *
 * One process at a time may write with this engine. Other tools may read and write the blocks meanwhile, or
 * afterwards; what they leave torn is refused on reading and replaced by the next put of the block.
 *
 * @throws `UNAVAILABLE` when the folder cannot be used, `UNSUPPORTED` when it is laid out in a way not known here,
 * `INVALID` when it is laid out otherwise than asked, `LIMIT` when the disk is full.
 */
export async function openFsBlockstore (path: string, options: FsBlockstoreOptions = {}): Promise<Blockstore> {
  return await openFsBlockstoreOn(nodeFsOperations, path, options)
}

/** The same on any implementation of the system calls: for tests that make them fail. */
export async function openFsBlockstoreOn (operations: FsOperations, path: string, options: FsBlockstoreOptions = {}): Promise<Blockstore> {
  return await explained(`Blockstore ${path} could not be opened`, open(operations, resolve(path), options))
}

/** Most bytes that the `SHARDING` file of any known layout has. */
const MAX_SHARDING_BYTES = 256

async function open (operations: FsOperations, path: string, options: FsBlockstoreOptions): Promise<Blockstore> {
  const { durability = 'disk', log = silentLogger, onFatal } = options
  const folder = new DurableFolder(operations, path, { durability, log, onFatal })
  await makeFolders(operations, path, durability)
  const shards = (await Array.fromAsync(operations.list(path))).filter(isShard)
  await folder.prepare(shards)

  const found = await findLayout(operations, path, shards)
  if (found !== undefined && options.layout !== undefined && found.name !== options.layout) {
    throw new HoldfastError('INVALID', `Blockstore ${path} is laid out as ${found.name}, not as ${options.layout}`, { path })
  }
  const layout = found ?? LAYOUTS[options.layout ?? 'flatfs']
  if (layout.name === 'flatfs') await writeSharding(folder)
  return new FsBlockstore({ operations, folder, layout, maxBytes: options.storageMaxBytes })
}

/** Makes the folder and those above it that are missing, each durable in the one above. */
async function makeFolders (operations: FsOperations, path: string, durability: Durability): Promise<void> {
  const parent = dirname(path)
  const make = (): Promise<void | undefined> => unless('EEXIST', operations.mkdir(path))
  try {
    await make()
  } catch (err) {
    if (errnoOf(err) !== 'ENOENT' || parent === path) throw err
    await makeFolders(operations, parent, durability)
    await make()
  }
  // Also when it was there: whoever made it may not have got this far. A parent that we may not read is not ours.
  if (durability === 'disk') await unless('EACCES', withOpenFile(operations, parent, (fd) => operations.syncFolder(fd)))
}

/** What the `SHARDING` file says, else what the first block looks like. */
async function findLayout (operations: FsOperations, path: string, shards: readonly string[]): Promise<Layout | undefined> {
  const bytes = await withOpenFile(operations, join(path, SHARDING_FILE), (fd) => readAll(operations, fd))
  // An empty one says nothing: it is what a power cut leaves of a file that was not synced.
  if (bytes !== undefined && bytes.byteLength > 0) {
    const sharding = Buffer.from(bytes.subarray(0, MAX_SHARDING_BYTES)).toString()
    if (sharding.trimEnd() === FLATFS_SHARDING.trimEnd()) return LAYOUTS.flatfs
    throw new HoldfastError('UNSUPPORTED', `Blockstore ${path} is sharded as ${JSON.stringify(sharding.trimEnd())}; only ${FLATFS_SHARDING.trimEnd()} can be opened`, { path })
  }
  for (const shard of shards) {
    for await (const file of operations.list(join(path, shard))) {
      const layout = Object.values(LAYOUTS).find((layout) => layout.cidOf({ shard, file }) !== undefined)
      if (layout !== undefined) return layout
    }
  }
  return undefined
}

async function writeSharding (folder: DurableFolder): Promise<void> {
  const bytes = Buffer.from(FLATFS_SHARDING)
  if (await folder.confirm('', SHARDING_FILE, bytes)) return
  const temp = await folder.writeTemp(bytes)
  await folder.publish(temp, '', SHARDING_FILE)
  await folder.syncFolders([''])
}
