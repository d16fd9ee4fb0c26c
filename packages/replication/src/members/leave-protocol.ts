/**
 * `/holdfast/leave/1.0.0`: a member asks an admin to sign its removal. The stream proves who asks, so nobody can ask for another.
 *
 * ```
 * member → admin  { t: "leave", v: 1, cluster }
 * admin  → member { t: "left" }   or   { t: "refused", why }
 * ```
 */
import { decodeDagCbor, HoldfastError } from '@holdfast/core'
import type { PeerStream } from '@holdfast/network'
import { encode } from '@ipld/dag-cbor'
import { Fields } from '../record/fields.ts'
import { HASH_BYTES } from '../record/record.ts'
import { frameOf, readFrames } from '../sync/frames.ts'

export const LEAVE_PROTOCOL = '/holdfast/leave/1.0.0'

/** Why a removal is not signed: `failed` may pass. */
export type LeaveRefusal = 'not-admin' | 'other-cluster' | 'failed'

const REFUSALS: readonly LeaveRefusal[] = ['not-admin', 'other-cluster', 'failed']

/** Bytes of a request to leave, and of its answer: a hash and a few words. */
const MAX_FRAME_BYTES = 1024

/** Asks, and returns why not; `undefined` when the removal is signed and durable there. */
export async function sendLeave (stream: PeerStream, cluster: Uint8Array): Promise<LeaveRefusal | undefined> {
  await stream.write(frameOf(encode({ t: 'leave', v: 1, cluster })))
  await stream.closeWrite()
  const fields = await readOne(stream)
  return fields.oneOf('t', ['left', 'refused']) === 'left' ? undefined : fields.oneOf('why', REFUSALS)
}

/** Reads which cluster somebody wants to leave. */
export async function readLeave (stream: PeerStream): Promise<Uint8Array> {
  const fields = await readOne(stream)
  fields.oneOf('t', ['leave'])
  fields.integer('v', { min: 1, max: 1 })
  return fields.bytes('cluster', { min: HASH_BYTES, max: HASH_BYTES })
}

export async function answerLeave (stream: PeerStream, refusal: LeaveRefusal | undefined): Promise<void> {
  await stream.write(frameOf(encode(refusal === undefined ? { t: 'left' } : { t: 'refused', why: refusal })))
  await stream.closeWrite()
}

async function readOne (stream: PeerStream): Promise<Fields> {
  for await (const frame of readFrames(stream.read(), { maxBytes: MAX_FRAME_BYTES })) return new Fields(decodeDagCbor(frame), 'A message of the leave protocol')
  throw new HoldfastError('UNAVAILABLE', `${stream.peer} closed the stream without an answer`, { peer: stream.peer })
}
