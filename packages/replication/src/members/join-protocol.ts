/**
 * `/holdfast/join/1.0.0`: who was invited shows the secret, and gets the genesis and the records that make it a member.
 *
 * ```
 * joiner → admin   { t: "join", v: 1, secret }
 * admin  → joiner  { t: "welcome", genesis: record, records: [record] }   or   { t: "refused", why }
 * ```
 */
import { decodeDagCbor, HoldfastError } from '@holdfast/core'
import type { PeerStream } from '@holdfast/network'
import { encode } from '@ipld/dag-cbor'
import { MAX_PROOF_RECORDS, MAX_RECORD_BYTES } from '../limits.ts'
import { Fields } from '../record/fields.ts'
import { frameOf, readFrames } from '../sync/frames.ts'
import { SECRET_BYTES } from './invite.ts'

export const JOIN_PROTOCOL = '/holdfast/join/1.0.0'

/** Why an invite is not taken. */
export type Refusal = 'unknown' | 'used' | 'expired' | 'not-admin' | 'full'

const REFUSALS: readonly Refusal[] = ['unknown', 'used', 'expired', 'not-admin', 'full']

export type JoinAnswer =
  | { readonly t: 'welcome', readonly genesis: Uint8Array, readonly records: readonly Uint8Array[] }
  | { readonly t: 'refused', readonly why: Refusal }

/** Bytes of a request to join, and of its answer. */
const MAX_REQUEST_BYTES = 1024
const MAX_ANSWER_BYTES: number = (MAX_PROOF_RECORDS + 1) * MAX_RECORD_BYTES + 1024

export async function sendJoin (stream: PeerStream, secret: Uint8Array): Promise<JoinAnswer> {
  await stream.write(frameOf(encode({ t: 'join', v: 1, secret })))
  await stream.closeWrite()
  const fields = await readOne(stream, MAX_ANSWER_BYTES)
  const t = fields.oneOf('t', ['welcome', 'refused'])
  if (t === 'refused') return { t, why: fields.oneOf('why', REFUSALS) }
  const records = fields.list('records', MAX_PROOF_RECORDS).filter((bytes) => bytes instanceof Uint8Array)
  return { t, genesis: fields.bytes('genesis', { max: MAX_RECORD_BYTES }), records }
}

/** Reads the secret that somebody shows. */
export async function readJoin (stream: PeerStream): Promise<Uint8Array> {
  const fields = await readOne(stream, MAX_REQUEST_BYTES)
  fields.oneOf('t', ['join'])
  fields.integer('v', { min: 1, max: 1 })
  return fields.bytes('secret', { min: SECRET_BYTES, max: SECRET_BYTES })
}

export async function answerJoin (stream: PeerStream, answer: JoinAnswer): Promise<void> {
  await stream.write(frameOf(encode(answer)))
  await stream.closeWrite()
}

async function readOne (stream: PeerStream, maxBytes: number): Promise<Fields> {
  for await (const frame of readFrames(stream.read(), { maxBytes })) return new Fields(decodeDagCbor(frame), 'A message of the join protocol')
  throw new HoldfastError('UNAVAILABLE', `${stream.peer} closed the stream without an answer`, { peer: stream.peer })
}
