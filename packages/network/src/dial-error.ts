import { HoldfastError } from '@holdfast/core'
import type { DialAttempt } from './host.ts'
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
  // The names of these errors are lost inside the handshake.
  if (OTHER_PEER.test(err.message)) return 'another peer is at this address'
  if (err.message === 'Can not dial self') return 'this node itself is at this address'
  const why = err.message === '' ? err.name : err.message
  if (hasSwarmKey && (err.name === 'EncryptionFailedError' || CUT_OFF.test(why))) return `${why}: the peer has no swarm key, or another than this node`
  if (err.name === 'EncryptionFailedError') return `${why}: it speaks no libp2p, or has a swarm key, which this node lacks`
  return why
}

/** How a peer without a key answers to what it cannot read. */
const CUT_OFF = /ECONNRESET|EPIPE|greeting of a private network/

/** What TLS and Noise say when the key is not that of the peer id. */
const OTHER_PEER = /^Unexpected Peer$|^Payload identity key .* does not match/
