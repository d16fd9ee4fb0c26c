import { HoldfastError } from '@holdfast/core'
import type { Identity } from '@holdfast/network'
import { encode } from '@ipld/dag-cbor'
import { signEnvelope } from './envelope.ts'
import { parseEnvelope } from './parse-record.ts'
import { peerToBytes } from './peer-bytes.ts'
import type { AnyRecord, ForgetFields, ForgetRecord, GenesisFields, GenesisRecord, HoldFields, HoldRecord, MemberFields, MemberRecord, PinFields, PinRecord, ProfileFields, ProfileRecord } from './record.ts'

export function signGenesis (identity: Identity, { name, nonce, createdMs }: Omit<GenesisFields, 'admin'>): GenesisRecord {
  const payload = encode({ name, admin: peerToBytes(identity.peerId), nonce, created: createdMs })
  return checked(parseEnvelope(signEnvelope(identity, 'genesis', payload)), 'genesis')
}

export function signMember (identity: Identity, { peer, ...fields }: MemberFields): MemberRecord {
  const payload = encode(present({ ...fields, peer: peerToBytes(peer), hlc: [...fields.hlc] }))
  return checked(parseEnvelope(signEnvelope(identity, 'member', payload)), 'member')
}

export function signProfile (identity: Identity, fields: ProfileFields): ProfileRecord {
  return checked(parseEnvelope(signEnvelope(identity, 'profile', encode(present({ ...fields })))), 'profile')
}

export function signPin (identity: Identity, { origin, createdMs, expireAtMs, context, ...fields }: PinFields): PinRecord {
  const payload = encode(present({
    ...fields,
    origin: peerToBytes(origin),
    created: createdMs,
    expireAt: expireAtMs,
    context: Object.fromEntries(context),
    hlc: [...fields.hlc]
  }))
  return checked(parseEnvelope(signEnvelope(identity, 'pin', payload)), 'pin')
}

export function signHold (identity: Identity, { doubts, ...fields }: HoldFields): HoldRecord {
  return checked(parseEnvelope(signEnvelope(identity, 'hold', encode(present({ ...fields, doubts: doubts?.map(peerToBytes), hlc: [...fields.hlc] })))), 'hold')
}

export function signForget (identity: Identity, { pinIds, ...fields }: ForgetFields): ForgetRecord {
  return checked(parseEnvelope(signEnvelope(identity, 'forget', encode({ ...fields, pins: Buffer.concat(pinIds), hlc: [...fields.hlc] }))), 'forget')
}

/** Reads back what was signed, so that nothing is ever written that others would refuse. */
function checked<Kind extends AnyRecord['kind']> (record: AnyRecord, kind: Kind): Extract<AnyRecord, { kind: Kind }> {
  if (!isKind(record, kind)) throw new HoldfastError('INVALID', `Not a ${kind} record`)
  return record
}

function isKind<Kind extends AnyRecord['kind']> (record: AnyRecord, kind: Kind): record is Extract<AnyRecord, { kind: Kind }> {
  return record.kind === kind
}

/** dag-cbor has no `undefined`. */
function present (fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined))
}
