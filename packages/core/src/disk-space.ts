import { statfsSync } from 'node:fs'

/** So little is free on a disk that is full, in bytes: file systems keep some of it for themselves. */
const FULL_BYTES: number = 4 * 1024 * 1024

/** POSIX numbers of what a full disk answers, and a disk on which this user's share is used up. */
const ENOSPC = 28
const EDQUOT = 122

/** POSIX number of a failure of the disk. */
const EIO = 5

/** Why LMDB could not write: space has run out, which somebody can change, or the disk failed. */
export type WriteFailure = 'full' | 'failed'

/**
 * Tells why LMDB could not write to `path`, or answers `undefined` for any other failure.
 *
 * LMDB takes a write of which the system did a part for a failure of the disk, and that is how a disk fills up. So the disk is
 * asked as well.
 *
 * @see lmdb libraries/liblmdb/mdb.c, mdb_page_flush
 */
export function writeFailureOf (path: string, cause: unknown): WriteFailure | undefined {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  if (code === ENOSPC || code === EDQUOT || code === 'ENOSPC' || code === 'EDQUOT') return 'full'
  if (code !== EIO && code !== 'EIO') return undefined
  return isDiskFull(path) ? 'full' : 'failed'
}

/** Reports whether the disk of `path` is full. One that does not answer is not. */
export function isDiskFull (path: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(path)
    return bavail * bsize < FULL_BYTES
  } catch {
    return false
  }
}
