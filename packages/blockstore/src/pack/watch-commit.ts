import { HoldfastError, isHoldfastError } from '@holdfast/core'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PackDisk } from './pack-disk.ts'

/** How long a commit of the index may take before the disk is asked, and between two questions, in milliseconds. */
export const PROBE_INTERVAL_MS = 1000

/** How long a commit may take at all, in milliseconds: a hundred times what one of full size takes on a slow disk. */
const MAX_COMMIT_MS = 120_000

/**
 * Waits for a commit of the index, but not for ever: when LMDB meets an I/O error its promise may never settle.
 *
 * A commit that takes long has the disk asked whether it still works. When it does not, or the commit met an I/O error, the
 * disk has failed for good.
 *
 * @throws what the commit throws, or `UNAVAILABLE` when the disk failed.
 */
export async function watchCommit (disk: Pick<PackDisk, 'durably' | 'syncFolder'>, commit: Promise<void>): Promise<void> {
  const ended = new AbortController()
  try {
    await Promise.race([commit, failureOf(disk, ended.signal)])
  } catch (err) {
    if (isHoldfastError(err) && err.details['errno'] === 'EIO') throw await failed(disk, err)
    throw err
  } finally {
    ended.abort()
    commit.catch(() => {})
  }
}

/** Never resolves: rejects when the disk does not work any more, or the time is over. */
async function failureOf (disk: Pick<PackDisk, 'durably' | 'syncFolder'>, signal: AbortSignal): Promise<never> {
  for (let waited = 0; waited < MAX_COMMIT_MS; waited += PROBE_INTERVAL_MS) {
    // Whoever is aborted here has lost the race, and nobody hears of it.
    await sleep(PROBE_INTERVAL_MS, undefined, { signal, ref: false })
    await disk.syncFolder()
  }
  throw await failed(disk, new HoldfastError('UNAVAILABLE', `The index was not written within ${MAX_COMMIT_MS / 1000} s`))
}

async function failed (disk: Pick<PackDisk, 'durably'>, cause: HoldfastError): Promise<unknown> {
  return await disk.durably('write the index beside', '', async () => { throw cause }).catch((err: unknown) => err)
}
