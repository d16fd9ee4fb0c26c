import { type ErrorCode, HoldfastError } from '@holdfast/core'

const STATUSES: Readonly<Record<ErrorCode, number>> = {
  INVALID: 400,
  CORRUPT: 500, // What lies on our side is damaged: nothing that the client can mend.
  NOT_FOUND: 404,
  LIMIT: 413, // "Retry with less": content or request beyond a configured bound.
  UNAVAILABLE: 503,
  UNSUPPORTED: 501
}

/** Returns the HTTP status of a failure: the one table from error codes to statuses, shared by gateway and API. */
export function httpStatusOf (code: ErrorCode): number {
  return STATUSES[code]
}

/** What a refusal says beside its message. */
export interface RefusalOptions {
  /** One sentence: what the person can try. */
  readonly tip?: string
  /** Response headers that belong to the status, `Allow` for 405. */
  readonly headers?: ReadonlyArray<readonly [string, string]>
  readonly cause?: unknown
}

/**
 * Builds a failure with a status of its own, for the cases that HTTP tells apart and the closed set of codes does not:
 * 406 and 501 are both `UNSUPPORTED`, 400, 405 and 416 all `INVALID`.
 */
export function refusal (code: ErrorCode, httpStatus: number, message: string, { tip, headers, cause }: RefusalOptions = {}): HoldfastError {
  return new HoldfastError(code, message, { cause, httpStatus, tip, headers })
}
