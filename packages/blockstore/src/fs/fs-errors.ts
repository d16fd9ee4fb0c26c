import { HoldfastError } from '@holdfast/core'

/** The error code of a failed system call, `ENOENT` and so on; `undefined` for any other failure. */
export function errnoOf (err: unknown): string | undefined {
  if (!(err instanceof Error) || !('syscall' in err) || !('code' in err)) return undefined
  return typeof err.code === 'string' ? err.code : undefined
}

/** Waits for `operation`, and turns exactly "no such file" into `undefined`; every other failure stays one. */
export async function unlessAbsent<T> (operation: Promise<T>): Promise<T | undefined> {
  return await unless('ENOENT', operation)
}

/** Waits for `operation`, and turns exactly the failure `errno` into `undefined`. */
export async function unless<T> (errno: string, operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation
  } catch (err) {
    if (errnoOf(err) === errno) return undefined
    throw err
  }
}

/**
 * Waits for `operation`, and says what a failed system call meant for the caller: `LIMIT` when the disk or
 * the quota is full, `UNAVAILABLE` for everything else. Failures that are no system call's pass as they are.
 *
 * @param what What could not be done, as the start of a sentence: `Block bafk… was not stored`.
 */
export async function explained<T> (what: string, operation: Promise<T>): Promise<T> {
  try {
    return await operation
  } catch (cause) {
    const errno = errnoOf(cause)
    if (errno === undefined) throw cause
    if (errno === 'ENOSPC' || errno === 'EDQUOT') {
      const full = errno === 'ENOSPC' ? 'the disk is full' : 'the disk quota is used up'
      throw new HoldfastError('LIMIT', `${what}: ${full}; free some space and try again`, { cause, errno })
    }
    throw new HoldfastError('UNAVAILABLE', `${what}: ${REASONS[errno] ?? errno}`, { cause, errno })
  }
}

/** The failures that an operator can do something about, in words. */
const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied (EACCES)',
  EIO: 'the disk failed (EIO); see the system log',
  EMFILE: 'this process has too many files open (EMFILE); raise its limit',
  ENFILE: 'the machine has too many files open (ENFILE)',
  ENOTDIR: 'a part of the path is not a folder (ENOTDIR)',
  EPERM: 'not permitted (EPERM)',
  EROFS: 'the file system is read-only (EROFS)'
}
