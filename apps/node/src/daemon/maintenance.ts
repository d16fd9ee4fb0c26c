import { openPackBlockstore, type RecoveryProgress } from '@holdfast/blockstore/pack'
import { type AbortOptions, HoldfastError } from '@holdfast/core'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Config, parseConfig } from '../config.ts'
import { migrateRepository, readConfigFile, readEngine } from '../repository.ts'
import { REPOSITORY_FILES } from '../repository-path.ts'
import { lockRepository } from './lock.ts'
import { boundsOf } from './storage.ts'

/**
 * Holds a repository for work that no daemon may be in the way of.
 *
 * @throws `UNAVAILABLE` while a daemon runs, `INVALID` when there is no repository.
 */
export async function openForMaintenance (repository: string): Promise<{ readonly config: Config } & AsyncDisposable> {
  if (await readEngine(repository) === undefined) throw new HoldfastError('INVALID', `There is no repository in ${repository}. Make one with: holdfast init`, { repository })
  await using opening = new AsyncDisposableStack()
  opening.use(await lockRepository(join(repository, REPOSITORY_FILES.lock)))
  await migrateRepository(repository)
  const { config } = parseConfig([await readConfigFile(repository)])
  const open = opening.move()
  return { config, [Symbol.asyncDispose]: () => open.disposeAsync() }
}

export interface RebuildOptions extends AbortOptions {
  onProgress?(progress: RecoveryProgress): void
}

/**
 * Makes the index of the packs anew from the packs, and has that of references made anew at the next start.
 *
 * @returns how many blocks there are
 * @throws `UNSUPPORTED` for another engine; as `openForMaintenance`.
 */
export async function rebuildIndex (repository: string, { onProgress, signal }: RebuildOptions = {}): Promise<{ readonly blockCount: number, readonly packCount: number, readonly quarantinedCount: number }> {
  await using held = await openForMaintenance(repository)
  const engine = await readEngine(repository)
  if (engine !== 'pack') throw new HoldfastError('UNSUPPORTED', `Repository ${repository} has the engine ${engine}, which has no index`, { repository })
  const bounds = await boundsOf(repository, held.config)
  await removeStateIndex(repository)
  await using blocks = await openPackBlockstore(repository, { ...bounds, compaction: false, rebuildIndex: true, ...(onProgress === undefined ? {} : { onProgress }), ...(signal === undefined ? {} : { signal }) })
  const { blockCount, packCount, quarantinedCount } = blocks.stats()
  return { blockCount, packCount, quarantinedCount }
}

/** Has the index of references made anew at the next start: everything is looked at by the next collection. */
export async function removeStateIndex (repository: string): Promise<void> {
  for (const end of ['', '-lock', '.seal']) await rm(join(repository, `${REPOSITORY_FILES.state}${end}`), { force: true })
}
