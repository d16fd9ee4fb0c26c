/**
 * An invite: one line that lets one node into a cluster, once.
 *
 * ```
 * invite  = "holdfast-invite-1:" base64url( dag-cbor { payload: bytes, sig: 64 bytes } )
 * payload = dag-cbor { cluster, admin, addresses, secret: 16 bytes, role, zone?, expires }
 * signed  = "holdfast-invite:" payload, by the admin
 * ```
 */
import { decodeDagCbor, HoldfastError, isHoldfastError } from '@holdfast/core'
import { type Identity, type PeerId, SIGNATURE_BYTES, verifySignature } from '@holdfast/network'
import { encode } from '@ipld/dag-cbor'
import { base64url } from 'multiformats/bases/base64'
import { MAX_ADDRESS_CHARACTERS, MAX_ADDRESSES, MAX_INVITE_CHARACTERS, MAX_LABEL_BYTES } from '../limits.ts'
import { Fields } from '../record/fields.ts'
import { peerToBytes } from '../record/peer-bytes.ts'
import { HASH_BYTES, type Role, ROLES } from '../record/record.ts'

export interface Invite {
  readonly cluster: Uint8Array
  /** The admin that issued it, and alone redeems it. */
  readonly admin: PeerId
  readonly addresses: readonly string[]
  readonly secret: Uint8Array
  readonly role: Role
  readonly zone?: string
  readonly expiresMs: number
}

const PREFIX = 'holdfast-invite-1:'

/** Bytes of the secret: 128 bits cannot be guessed. */
export const SECRET_BYTES = 16

/** @throws `INVALID` for a zone that is too long. */
export function formatInvite (identity: Identity, { addresses, zone, ...invite }: Omit<Invite, 'admin'>): string {
  const payload = encode({
    cluster: invite.cluster,
    admin: peerToBytes(identity.peerId),
    addresses: addresses.filter(({ length }) => length <= MAX_ADDRESS_CHARACTERS).slice(0, MAX_ADDRESSES),
    secret: invite.secret,
    role: invite.role,
    ...zone !== undefined && { zone },
    expires: invite.expiresMs
  })
  return PREFIX + base64url.baseEncode(encode({ payload, sig: identity.sign(signedBytes(payload)) }))
}

/** Reads an invite. @throws `INVALID` when it is none, was cut or changed, or is of a version that is not read here. */
export function parseInvite (text: string): Invite {
  const line = text.trim()
  if (!line.startsWith(PREFIX) || line.length > MAX_INVITE_CHARACTERS) throw notAnInvite()
  try {
    const envelope = new Fields(decodeDagCbor(base64url.baseDecode(line.slice(PREFIX.length))), 'An invite')
    const payload = envelope.bytes('payload', { max: MAX_INVITE_CHARACTERS })
    const invite = inviteIn(new Fields(decodeDagCbor(payload), 'An invite'))
    if (!verifySignature(invite.admin, signedBytes(payload), envelope.bytes('sig', { min: SIGNATURE_BYTES, max: SIGNATURE_BYTES }))) throw notAnInvite()
    return invite
  } catch (cause) {
    throw isHoldfastError(cause) && cause.details['reason'] === NOT_AN_INVITE ? cause : notAnInvite(cause)
  }
}

const NOT_AN_INVITE = 'not-an-invite'

function inviteIn (fields: Fields): Invite {
  return {
    cluster: fields.bytes('cluster', { min: HASH_BYTES, max: HASH_BYTES }),
    admin: fields.peer('admin'),
    addresses: fields.texts('addresses', { maxCount: MAX_ADDRESSES, maxBytes: MAX_ADDRESS_CHARACTERS }),
    secret: fields.bytes('secret', { min: SECRET_BYTES, max: SECRET_BYTES }),
    role: fields.oneOf('role', ROLES),
    ...fields.has('zone') && { zone: fields.text('zone', MAX_LABEL_BYTES) },
    expiresMs: fields.integer('expires')
  }
}

function notAnInvite (cause?: unknown): HoldfastError {
  return new HoldfastError('INVALID', 'This is not a whole invite. Copy the one line that begins with holdfast-invite-1: again, without breaks', { cause, reason: NOT_AN_INVITE })
}

function signedBytes (payload: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from('holdfast-invite:'), payload])
}
