import type { ErrorCode } from '@holdfast/core'
import { isHoldfastError } from '@holdfast/core/errors'

/** Exit statuses by the kind of failure; 0 is success. Documented in docs/command-line.md. */
export const EXIT_STATUSES: Readonly<Record<ErrorCode, number>> = {
  INVALID: 2,
  NOT_FOUND: 3,
  CORRUPT: 4,
  LIMIT: 5,
  UNAVAILABLE: 6,
  UNSUPPORTED: 7
}

/** The status of a failure that is a fault of the program. */
export const UNFORESEEN = 1

/** The status of a shell command that Ctrl-C ended: 128 and the number of SIGINT. */
export const INTERRUPTED = 130

/** Returns the exit status that tells a script what kind of failure this was. */
export function exitStatusOf (err: unknown): number {
  return isHoldfastError(err) ? EXIT_STATUSES[err.code] : UNFORESEEN
}
