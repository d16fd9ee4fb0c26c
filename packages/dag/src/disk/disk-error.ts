import { type ErrorCode, HoldfastError } from '@holdfast/core'

/** System errors that mean something else than a medium that failed. */
const CODE_BY_ERRNO: Readonly<Record<string, ErrorCode>> = { ENOSPC: 'LIMIT', EDQUOT: 'LIMIT', EFBIG: 'LIMIT', ENOENT: 'INVALID', ENAMETOOLONG: 'INVALID', EINVAL: 'INVALID', ENOTDIR: 'INVALID', EEXIST: 'INVALID', ENOTEMPTY: 'INVALID' }

/** Awaits one call to the disk and says, when it fails, what could not be done. */
export async function onDisk<T> (action: string, operation: Promise<T>): Promise<T> {
  try {
    return await operation
  } catch (cause) {
    const errno = errnoOf(cause)
    throw new HoldfastError(CODE_BY_ERRNO[errno ?? ''] ?? 'UNAVAILABLE', `Could not ${action}: ${cause instanceof Error ? cause.message : cause}`, { cause, errno })
  }
}

/** Returns `ENOENT` and the like for an error of the operating system. */
export function errnoOf (err: unknown): string | undefined {
  return err instanceof Error && 'code' in err && typeof err.code === 'string' ? err.code : undefined
}

/** Turns the failure with this `errno` into `undefined`; every other failure stays a failure. */
export async function unless<T> (errno: string, operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation
  } catch (err) {
    if (errnoOf(err) === errno) return undefined
    throw err
  }
}
