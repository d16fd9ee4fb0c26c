import type { Blockstore } from '@holdfast/blockstore'
import { openFsBlockstore } from '@holdfast/blockstore/fs'
import { openPackBlockstore } from '@holdfast/blockstore/pack'
import { type AbortOptions, type Block, HoldfastError, isErrorCode, isHoldfastError, replaceFile, syncFolder } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config.ts'
import { type EngineName, readEngine, writeEngine } from '../repository.ts'
import { REPOSITORY_FILES } from '../repository-path.ts'
import { removeStateIndex } from './maintenance.ts'
import { boundsOf } from './storage.ts'

/** Bytes and blocks that are written with one sync. */
const BATCH_BYTES: number = 8 * 1024 * 1024
const BATCH_BLOCKS = 1024

/** Damaged blocks that the error names. */
const MAX_NAMED = 5

/** How far a conversion is: `copy` and `verify` each go through all blocks. */
export interface ConversionProgress {
  readonly phase: 'copy' | 'verify'
  readonly blockCount: number
  readonly byteLength: number
}

export interface Conversion {
  readonly blockCount: number
  readonly byteLength: number
  /** Blocks that could not be read, and were left behind because that was allowed. */
  readonly damagedCount: number
}

export interface ConvertOptions extends AbortOptions {
  /** Folder of the repository, whose lock is held. */
  readonly repository: string
  readonly to: EngineName
  readonly config: Pick<Config, 'storageMaxBytes' | 'storageReserveBytes'>
  /** Goes on without blocks that cannot be read. @default false */
  readonly leaveDamaged?: boolean | undefined
  onProgress?(progress: ConversionProgress): void
}

/**
 * Moves the blocks of a repository to another engine.
 *
 * ```
 * 1  `conversion` says what is going on
 * 2  all blocks are copied; those that are there already are passed over
 * 3  the new store is opened again and every block is read from it
 * 4  `engine` names the new one: from here on it is the store
 * 5  the old files go, then `conversion`
 * ```
 *
 * Interrupted at any point it is taken up by the next call; until 4 the node runs on the old store. Called with the engine that
 * the repository still has, it gives up and removes the copies.
 *
 * @returns `undefined` when there was nothing to do but to remove files
 * @throws `CORRUPT` when blocks cannot be read, `LIMIT` when there is no room for both, `INVALID` when files of the new engine are in the way.
 */
export async function convertRepository (options: ConvertOptions): Promise<Conversion | undefined> {
  const { repository, to } = options
  const from = to === 'pack' ? 'fs' : 'pack'
  const marker = join(repository, REPOSITORY_FILES.conversion)
  const underWay = await conversionUnderWay(repository)
  if (await readEngine(repository) === to) {
    if (underWay !== undefined) await removeEngineFiles(repository, from)
    await rm(marker, { force: true })
    return undefined
  }
  if (underWay === undefined) {
    await requireNoFiles(repository, to)
    await replaceFile(marker, `${to}\n`)
  }
  const conversion = await copyAll(options, from)
  // Blocks that were deleted since an interruption would never be noted for a collection.
  if (underWay !== undefined) await removeStateIndex(repository)
  await writeEngine(repository, to)
  await removeEngineFiles(repository, from)
  await rm(marker, { force: true })
  return conversion
}

/** The engine that an unfinished conversion leads to. */
export async function conversionUnderWay (repository: string): Promise<string | undefined> {
  try {
    return (await readFile(join(repository, REPOSITORY_FILES.conversion), 'utf8')).trimEnd()
  } catch (err) {
    if (err instanceof Error && 'code' in err && err.code === 'ENOENT') return undefined
    throw err
  }
}

async function copyAll ({ repository, config, leaveDamaged = false, onProgress, signal }: ConvertOptions, from: EngineName): Promise<Conversion> {
  const to = from === 'pack' ? 'fs' : 'pack'
  await using source = await openEngine(from, repository, config)
  const copying = new Copying(source, (progress) => { onProgress?.({ phase: 'copy', ...progress }) })
  {
    await using target = await openEngine(to, repository, config)
    await copying.run(target, signal)
  }
  if (copying.damagedCount > 0 && !leaveDamaged) throw copying.damage()
  await using target = await openEngine(to, repository, config)
  await requireAll(source, target, { signal, damaged: copying.damaged, onProgress: (progress) => { onProgress?.({ phase: 'verify', ...progress }) } })
  return { blockCount: copying.blockCount, byteLength: copying.byteLength, damagedCount: copying.damagedCount }
}

async function openEngine (engine: EngineName, repository: string, config: ConvertOptions['config']): Promise<Blockstore> {
  if (engine === 'fs') return await openFsBlockstore(join(repository, REPOSITORY_FILES.blocks))
  return await openPackBlockstore(repository, { ...await boundsOf(repository, config), compaction: false })
}

/** Copies what another store does not have, many blocks with one sync. */
class Copying {
  readonly #source: Blockstore
  readonly #onProgress: (progress: Omit<ConversionProgress, 'phase'>) => void
  readonly damaged = new Set<string>()
  blockCount = 0
  byteLength = 0
  #batch: Block[] = []
  #batchBytes = 0
  #quarantinedCount = 0

  constructor (source: Blockstore, onProgress: (progress: Omit<ConversionProgress, 'phase'>) => void) {
    this.#source = source
    this.#onProgress = onProgress
  }

  get damagedCount (): number {
    return this.damaged.size + this.#quarantinedCount
  }

  async run (target: Blockstore, signal: AbortSignal | undefined): Promise<void> {
    if (isPacks(this.#source)) this.#quarantinedCount = this.#source.stats().quarantinedCount
    for await (const cid of this.#source.list({ signal })) {
      if (!await target.has(cid)) await this.#take(cid, signal)
      else this.#count(await target.byteLengthOf?.(cid) ?? 0)
      if (this.#batchBytes >= BATCH_BYTES || this.#batch.length >= BATCH_BLOCKS) await this.#write(target)
    }
    await this.#write(target)
  }

  damage (): HoldfastError {
    const named = [...this.damaged].slice(0, MAX_NAMED).join(', ')
    return new HoldfastError('CORRUPT', `${this.damagedCount} blocks are damaged and cannot be moved${named === '' ? '' : `, among them ${named}`}. To fetch them again, start the node and run: holdfast repo repair --from-peers. To go on without them: --leave-damaged`, { damagedCount: this.damagedCount })
  }

  async #take (cid: CID, signal: AbortSignal | undefined): Promise<void> {
    try {
      const block = await this.#source.get(cid, { signal })
      if (block === undefined) return
      this.#batch.push(block)
      this.#batchBytes += block.bytes.byteLength
      this.#count(block.bytes.byteLength)
    } catch (err) {
      if (!isErrorCode(err, 'CORRUPT')) throw err
      this.damaged.add(cid.toString())
    }
  }

  #count (byteLength: number): void {
    this.blockCount++
    this.byteLength += byteLength
    this.#onProgress({ blockCount: this.blockCount, byteLength: this.byteLength })
  }

  async #write (target: Blockstore): Promise<void> {
    await target.putMany(this.#batch)
    this.#batch = []
    this.#batchBytes = 0
  }
}

function isPacks (store: Blockstore): store is Blockstore & { stats: () => { quarantinedCount: number } } {
  return 'stats' in store
}

interface RequireOptions extends AbortOptions {
  readonly damaged: ReadonlySet<string>
  readonly onProgress: (progress: Omit<ConversionProgress, 'phase'>) => void
}

/** Reads every block of `source` from `target`, which hashes it. A copy that does not match is taken again by the next call. */
async function requireAll (source: Blockstore, target: Blockstore, { damaged, signal, onProgress }: RequireOptions): Promise<void> {
  let blockCount = 0
  let byteLength = 0
  for await (const cid of source.list({ signal })) {
    if (damaged.has(cid.toString())) continue
    const block = await copyOf(target, cid)
    if (block === undefined) throw new HoldfastError('CORRUPT', `Block ${cid} did not arrive whole in the new store. The old one is untouched; run the conversion again`, { cid: cid.toString() })
    blockCount++
    byteLength += block.bytes.byteLength
    onProgress({ blockCount, byteLength })
  }
}

async function copyOf (target: Blockstore, cid: CID): Promise<Block | undefined> {
  try {
    return await target.get(cid)
  } catch (err) {
    if (!isHoldfastError(err) || err.code !== 'CORRUPT') throw err
    await target.delete(cid)
    return undefined
  }
}

/** What lies in a repository for the blocks of an engine. */
const ENGINE_FILES: Readonly<Record<EngineName, readonly string[]>> = {
  fs: [REPOSITORY_FILES.blocks],
  pack: [REPOSITORY_FILES.packs, REPOSITORY_FILES.packIndex, `${REPOSITORY_FILES.packIndex}-lock`, REPOSITORY_FILES.packLock, REPOSITORY_FILES.scrub]
}

async function requireNoFiles (repository: string, engine: EngineName): Promise<void> {
  for (const name of ENGINE_FILES[engine]) {
    const path = join(repository, name)
    const isThere = await stat(path).then(() => true, (err: unknown) => !(err instanceof Error && 'code' in err && err.code === 'ENOENT'))
    if (isThere) throw new HoldfastError('INVALID', `${path} is in the way, and is not of a conversion. Look what it is, and move it away`, { path })
  }
}

async function removeEngineFiles (repository: string, engine: EngineName): Promise<void> {
  for (const name of ENGINE_FILES[engine]) await rm(join(repository, name), { recursive: true, force: true })
  await syncFolder(repository)
}
