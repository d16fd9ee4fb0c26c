import { HoldfastError } from '@holdfast/core'
import type { DialAttempt } from './host.ts'
import { DIALLED_SELF, otherPeerOf } from './security.ts'
import { addressOf } from './transport.ts'

/** What a failed dial tells the caller: which addresses were tried, and how each failed. */
export function dialError (target: string, cause: unknown, { hasSwarmKey = false }: { hasSwarmKey?: boolean } = {}): HoldfastError {
  const attempts = errorsOf(cause).map((err) => attemptOf(err, hasSwarmKey))
  const reasons = attempts.map(({ address, reason }) => address === '' || address === target ? reason : `${address}: ${reason}`).join('; ')
  return new HoldfastError('UNAVAILABLE', `Cannot connect to ${target}: ${reasons}`, { cause, attempts })
}

function errorsOf (cause: unknown): Error[] {
  const errors = cause instanceof AggregateError ? cause.errors : [cause]
  return errors.map((err) => err instanceof Error ? err : new Error(String(err)))
}

function attemptOf (err: Error, hasSwarmKey: boolean): DialAttempt {
  return { address: addressOf(err) ?? '', reason: reasonOf(err, hasSwarmKey) }
}

function reasonOf (err: Error, hasSwarmKey: boolean): string {
  if (err.name === 'NoValidAddressesError') return 'no address of this peer is known that this node can dial'
  const other = otherPeerOf(err)
  if (other !== undefined) return `another peer is at this address: ${other}`
  if (err.message === DIALLED_SELF) return 'this node itself is at this address'
  const why = err.message === '' ? err.name : err.message
  if (hasSwarmKey && (err.name === 'EncryptionFailedError' || CUT_OFF.test(why))) return `${why}: the peer has no swarm key, or another than this node`
  if (err.name === 'EncryptionFailedError') return `${why}: it speaks no libp2p, or has a swarm key, which this node lacks`
  return why
}

/** How a peer without a key answers to what it cannot read. */
const CUT_OFF = /ECONNRESET|EPIPE|greeting of a private network/
