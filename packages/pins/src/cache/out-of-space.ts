import { isErrorCode } from '@holdfast/core'

/** Links of a chain of causes that are followed. */
const MAX_CAUSES = 8

/** Reports whether a write was refused because the disk, or the quota, is full. */
export function isOutOfSpace (err: unknown): boolean {
  if (!isErrorCode(err, 'LIMIT')) return false
  if (err.details['reason'] === 'no-space') return true
  let cause: unknown = err.cause
  for (let depth = 0; depth < MAX_CAUSES && cause instanceof Error; depth++) {
    if ('code' in cause && (cause.code === 'ENOSPC' || cause.code === 'EDQUOT')) return true
    cause = cause.cause
  }
  return false
}
