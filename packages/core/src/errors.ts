/**
 * Why an operation failed, in the few ways a caller can act on.
 *
 * The set is closed and part of the wire format (`x-error-code` header and JSON
 * field): never rename or reuse a code, add new ones at the end.
 */
export type ErrorCode =
  | 'INVALID' //     The caller passed something malformed. Do not retry.
  | 'CORRUPT' //     Bytes do not match the CID or checksum that names them.
  | 'NOT_FOUND' //   Looked for everywhere the request allowed, and absent.
  | 'LIMIT' //       A configured bound was reached. Retry later or with less.
  | 'UNAVAILABLE' // A peer, disk or service did not answer. Retry may help.
  | 'UNSUPPORTED' // Well formed, but this node has no such codec, hash or version.

/** Every `ErrorCode`, for tables that must name each of them. */
export const ERROR_CODES: readonly ErrorCode[] = ['INVALID', 'CORRUPT', 'NOT_FOUND', 'LIMIT', 'UNAVAILABLE', 'UNSUPPORTED']

export interface ErrorDetails {
  /** The failure underneath, kept whole. */
  cause?: unknown
  /** What the message is about, for logs: CID, peer, path, byte counts. */
  [field: string]: unknown
}

/**
 * The only error class of the product.
 *
 * Match on `code`, not `instanceof`: two copies of this package may be loaded.
 * Aborts are not wrapped; `signal.reason` reaches the caller as it is.
 */
export class HoldfastError extends Error {
  override readonly name = 'HoldfastError'
  readonly code: ErrorCode
  readonly details: Readonly<Record<string, unknown>>

  constructor (code: ErrorCode, message: string, { cause, ...details }: ErrorDetails = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.details = details
  }
}

/** Reports whether `err` is a `HoldfastError`, from any copy of this package. */
export function isHoldfastError (err: unknown): err is HoldfastError {
  return err instanceof Error && err.name === 'HoldfastError' && 'code' in err && 'details' in err
}

/** Reports whether `err` is a failure of this kind, from any copy of this package. */
export function isErrorCode (err: unknown, code: ErrorCode): err is HoldfastError {
  return isHoldfastError(err) && err.code === code
}
