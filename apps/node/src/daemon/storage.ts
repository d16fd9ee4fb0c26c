import type { CheckProgress, EngineFigures, EngineIntegrity, StorageEngine } from '@holdfast/api'
import type { Blockstore } from '@holdfast/blockstore'
import { openFsBlockstore } from '@holdfast/blockstore/fs'
import { DEFAULT_PACK_BYTES, DEFAULT_RESERVE_BYTES, openPackBlockstore, type PackBlockstore, type RecoveryProgress, type VerifyReport } from '@holdfast/blockstore/pack'
import type { HoldfastError, Logger } from '@holdfast/core'
import { stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config.ts'
import type { EngineName } from '../repository.ts'
import { REPOSITORY_FILES } from '../repository-path.ts'
import { openScrubber } from './scrubber.ts'

/** Part of a small disk that stays free. */
const RESERVED_SHARE = 0.05

/** A pack is at most this part of what may be stored, so that compaction can work in a corner of it. */
const PACKS_PER_STORE = 32

/** Shorter packs would be more files than they are worth, in bytes. */
const MIN_PACK_BYTES: number = 1024 * 1024

/** Least time between two lines of the log that tell how far a new index is, in milliseconds. */
const PROGRESS_INTERVAL_MS = 2000

/** The blocks of a repository, and what is special to how they are stored. */
export interface Storage extends AsyncDisposable {
  readonly blocks: Blockstore
  readonly engine: StorageEngine
  /** Whether the index of the blocks was made anew: what refers to blocks has to be looked at again. */
  readonly isIndexNew: boolean
}

export interface StorageOptions {
  readonly engine: EngineName
  /** Folder of the repository. */
  readonly repository: string
  readonly config: Pick<Config, 'storageMaxBytes' | 'storageReserveBytes' | 'durability' | 'trustMedium'>
  readonly log: Logger
  /** Called once, when the disk failed to keep what was written. */
  onFatal(err: HoldfastError): void
}

/** Opens the blocks of a repository with its engine. @throws as `openPackBlockstore` and `openFsBlockstore`. */
export async function openStorage (options: StorageOptions): Promise<Storage> {
  return options.engine === 'pack' ? await openPacks(options) : await openFiles(options)
}

async function openFiles ({ repository, config: { durability }, log, onFatal }: StorageOptions): Promise<Storage> {
  const blocks = await openFsBlockstore(join(repository, REPOSITORY_FILES.blocks), { durability, log, onFatal })
  const engine: StorageEngine = { name: 'fs', durability, figures: async () => ({}) }
  return { blocks, engine, isIndexNew: false, [Symbol.asyncDispose]: () => blocks[Symbol.asyncDispose]() }
}

async function openPacks ({ repository, config, log, onFatal }: StorageOptions): Promise<Storage> {
  const { durability, trustMedium } = config
  const bounds = await boundsOf(repository, config)
  await using opening = new AsyncDisposableStack()
  const blocks = opening.use(await openPackBlockstore(repository, { durability, trustMedium: trustMedium === 'on', ...bounds, log, onFatal, onProgress: progressLines(log) }))
  const scrub = opening.use(await openScrubber({ store: blocks, path: join(repository, REPOSITORY_FILES.scrub), log }))
  const engine: StorageEngine = { name: 'pack', durability, figures: async () => await figuresOf(blocks, repository, bounds), integrity: { ...integrityOf(blocks), scrub }, placeOf: (cid) => blocks.placeOf(cid) }
  const parts = opening.move()
  return { blocks, engine, isIndexNew: blocks.isIndexNew, [Symbol.asyncDispose]: () => parts.disposeAsync() }
}

async function figuresOf (blocks: PackBlockstore, repository: string, { storageMaxBytes, reserveBytes }: Bounds): Promise<EngineFigures> {
  const { packCount, liveBytes, deadBytes, quarantinedCount } = blocks.stats()
  return {
    packCount,
    liveByteLength: liveBytes,
    deadByteLength: deadBytes,
    quarantinedCount,
    indexByteLength: (await stat(join(repository, REPOSITORY_FILES.packIndex))).size,
    maxByteLength: storageMaxBytes,
    reserveByteLength: reserveBytes
  }
}

function integrityOf (blocks: PackBlockstore): Omit<EngineIntegrity, 'scrub'> {
  const progressOf = ({ blockCount, hashedCount, bytesRead, damaged, indexRepairs }: VerifyReport): CheckProgress => ({ blockCount, hashedCount, byteLength: bytesRead, damagedCount: damaged.length, indexRepairCount: indexRepairs })
  return {
    async check ({ sample, signal, onProgress }) {
      const report = await blocks.verify({ sample, signal, onProgress: (progress) => { onProgress?.(progressOf(progress)) } })
      return { ...progressOf(report), isIndexBroken: report.isIndexBroken, damaged: report.damaged }
    },
    quarantined: (options) => blocks.quarantined(options)
  }
}

interface Bounds {
  readonly storageMaxBytes?: number
  readonly reserveBytes: number
  readonly packBytes: number
}

/** What the store may take, and how long its packs are: shorter ones where there is little room to write them anew in. */
export async function boundsOf (folder: string, { storageMaxBytes, storageReserveBytes }: Pick<Config, 'storageMaxBytes' | 'storageReserveBytes'>): Promise<Bounds> {
  const { blocks, bsize } = await statfs(folder)
  const diskBytes = blocks * bsize
  const reserveBytes = storageReserveBytes === 'auto' ? Math.min(DEFAULT_RESERVE_BYTES, Math.floor(diskBytes * RESERVED_SHARE)) : storageReserveBytes
  const mostBytes = storageMaxBytes === 'auto' ? diskBytes : Math.min(storageMaxBytes, diskBytes)
  const packBytes = Math.min(DEFAULT_PACK_BYTES, Math.max(MIN_PACK_BYTES, Math.floor(mostBytes / PACKS_PER_STORE)))
  return { ...(storageMaxBytes === 'auto' ? {} : { storageMaxBytes }), reserveBytes, packBytes }
}

/** Says from time to time how far the index of the packs is, when it takes long. */
function progressLines (log: Logger): (progress: RecoveryProgress) => void {
  let toldAt = performance.now()
  return (progress) => {
    if (performance.now() - toldAt < PROGRESS_INTERVAL_MS) return
    toldAt = performance.now()
    log.info('Packs are read for their index', { ...progress })
  }
}
