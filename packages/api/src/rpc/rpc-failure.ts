import { type ErrorCode, HoldfastError, isHoldfastError } from '@holdfast/core'

/** A failure as it goes over the wire. */
export interface RpcFailure {
  readonly status: number
  readonly message: string
  /** Kubo's number of the kind of failure: 0 normal, 1 the caller's mistake, 3 too many requests, 4 forbidden. */
  readonly code: number
  /** Whether it is plain text, as everything is that went wrong before a command ran. */
  readonly isPlain: boolean
  readonly headers?: Readonly<Record<string, string>>
}

/** How a request is turned away before a command runs. */
export interface Refusal {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
}

const CLIENT_MISTAKE = 1

/**
 * The codes of Kubo for ours. Only the caller's mistake is a 400: everything else is a 500, since its clients take a 404 for an
 * unknown command.
 */
const KUBO_CODES: Readonly<Record<ErrorCode, number>> = {
  INVALID: CLIENT_MISTAKE,
  CORRUPT: 0,
  NOT_FOUND: 0,
  LIMIT: 0,
  UNAVAILABLE: 0,
  UNSUPPORTED: 0
}

/** Returns what the caller is told of a failure. Those of the program itself show their message only, never a stack. */
export function rpcFailureOf (err: unknown): RpcFailure {
  const message = messageOf(err)
  if (!isHoldfastError(err)) return { status: 500, message, code: 0, isPlain: false }
  const { refusal } = err.details
  if (isRefusal(refusal)) return { ...refusal, message, code: 0, isPlain: true }
  const code = KUBO_CODES[err.code]
  return { status: code === CLIENT_MISTAKE ? 400 : 500, message, code, isPlain: false }
}

/** Builds the error that turns a request away in plain text. */
export function refuse (status: number, message: string, headers: Readonly<Record<string, string>> = {}): HoldfastError {
  return new HoldfastError('INVALID', message, { refusal: { status, headers } })
}

/** Reports whether a failure is foreseen: every other one is a fault of the program, and logged. */
export function isForeseen (err: unknown): boolean {
  return isHoldfastError(err) || isTimeout(err)
}

function isTimeout (err: unknown): boolean {
  return err instanceof Error && err.name === 'TimeoutError'
}

function messageOf (err: unknown): string {
  // Clients of Kubo tell a deadline by these words.
  if (isTimeout(err)) return 'context deadline exceeded'
  return err instanceof Error ? err.message : String(err)
}

function isRefusal (value: unknown): value is Refusal {
  return typeof value === 'object' && value !== null && 'status' in value && typeof value.status === 'number'
}
