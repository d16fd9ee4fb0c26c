import { HoldfastError } from '@holdfast/core'
import type { Identity, PeerId } from '@holdfast/network'
import { encode } from '@ipld/dag-cbor'
import type { CID } from 'multiformats/cid'
import { hash } from 'node:crypto'
import * as limits from '../limits.ts'
import { decodeEnvelope, decodeFields, type DecodeOptions, type Envelope, hashOf, signEnvelope } from './envelope.ts'
import type { Fields } from './fields.ts'
import type { Hlc } from './hlc.ts'
import { peerToBytes } from './peer-bytes.ts'

/** What a member may do. Admins sign member records; admins and members write pins; readers only hold and read. */
export type Role = 'admin' | 'member' | 'reader'

export const ROLES: readonly Role[] = ['admin', 'member', 'reader']

/** How far a copy is. Only `complete` and `verified` are copies. */
export type HoldState = 'queued' | 'fetching' | 'complete' | 'verified' | 'corrupt' | 'refused' | 'dropping'

export const HOLD_STATES: readonly HoldState[] = ['queued', 'fetching', 'complete', 'verified', 'corrupt', 'refused', 'dropping']

/** Whether all below the CID is meant, or its block alone. */
export type PinMode = 'recursive' | 'direct'

export const PIN_MODES: readonly PinMode[] = ['recursive', 'direct']

/** How many copies are wanted. A pin is well from `min` on, and `max` are made. */
export interface Copies {
  readonly min: number
  readonly max: number | 'all'
}

/** The beginning of a cluster. Its id is the hash of this payload. */
export interface GenesisFields {
  readonly name: string
  readonly admin: PeerId
  readonly nonce: Uint8Array
  readonly createdMs: number
}

/** An admin's decision about a member. */
export interface MemberFields {
  readonly cluster: Uint8Array
  readonly peer: PeerId
  readonly role: Role
  readonly state: 'active' | 'removed'
  /** The last of this peer's pin records that counts. Given for readers and for who was removed. */
  readonly cutoff?: number
  /** Hash of the last of this peer's member records that counts; absent: none does. Looked at when this record ends an admin's term. */
  readonly head?: Uint8Array
  /** Hash of the signer's member record before this one. */
  readonly prev?: Uint8Array
  readonly zone?: string
  readonly hlc: Hlc
  readonly seq: number
}

/** What a member says of itself. */
export interface ProfileFields {
  readonly cluster: Uint8Array
  readonly seq: number
  /** What people call it; nothing depends on it. */
  readonly name?: string
  readonly zone: string
  readonly capacityBytes: number
  readonly version: string
  readonly addresses: readonly string[]
}


/** Somebody's decision to keep content in the cluster, or not to keep it any more. */
export interface PinFields {
  readonly cluster: Uint8Array
  readonly pinId: Uint8Array
  readonly op: 'put' | 'del'
  readonly cid: CID
  readonly mode: PinMode
  readonly name?: string
  readonly meta?: Readonly<Record<string, string>>
  readonly copies: Copies
  readonly zones?: readonly string[]
  readonly expireAtMs?: number
  /** The member that added it; its own copy counts. */
  readonly origin: PeerId
  readonly createdMs: number
  readonly hlc: Hlc
  readonly seq: number
  /** What this record replaces: of each writer all up to this seq. */
  readonly context: ReadonlyMap<PeerId, number>
}

/** What a member says of its copy of something. */
export interface HoldFields {
  readonly cluster: Uint8Array
  readonly pinKey: Uint8Array
  readonly seq: number
  readonly state: HoldState
  readonly bytes: number
  readonly hlc: Hlc
  readonly why?: string
  /** Members whose copy the writer of this found wanting. */
  readonly doubts?: readonly PeerId[]
}

/** Deleted pins that are forgotten for good: of each no record counts any more, whatever its date. */
export interface ForgetFields {
  readonly cluster: Uint8Array
  /** 1 to `MAX_FORGOTTEN_PER_RECORD`. */
  readonly pinIds: readonly Uint8Array[]
  readonly hlc: Hlc
  readonly seq: number
}

interface Proven<Kind extends string, Payload> {
  readonly kind: Kind
  readonly writer: PeerId
  /** SHA-256 of `bytes`, in latin1. */
  readonly hash: string
  /** The envelope. */
  readonly bytes: Uint8Array
  readonly fields: Payload
}

export type GenesisRecord = Proven<'genesis', GenesisFields>
export type MemberRecord = Proven<'member', MemberFields>
export type ProfileRecord = Proven<'profile', ProfileFields>
export type PinRecord = Proven<'pin', PinFields>
export type HoldRecord = Proven<'hold', HoldFields>
export type ForgetRecord = Proven<'forget', ForgetFields>

/** A record of a cluster; the genesis stands apart, for it comes before the cluster. */
export type ClusterRecord = MemberRecord | ProfileRecord | PinRecord | HoldRecord | ForgetRecord

export type AnyRecord = GenesisRecord | ClusterRecord

/** Bytes of a cluster id, and of the hash of a record. */
export const HASH_BYTES = 32

/** Bytes of a pin id. */
export const PIN_ID_BYTES = 16

/** Longest pin key: a mode and the longest multihash that is read, two varints of 2 bytes and 128 of digest. */
const MAX_PIN_KEY_BYTES: number = 1 + 4 + 128

const MODE_BYTES: Readonly<Record<PinMode, number>> = { recursive: 0, direct: 1 }

/** What copies are counted by: the mode and the multihash, for codec and name change nothing about what is held. */
export function pinKeyBytes (cid: CID, mode: PinMode): Uint8Array {
  return Buffer.concat([Uint8Array.of(MODE_BYTES[mode]), cid.multihash.bytes])
}

/** The cluster that a genesis begins. */
export function clusterIdOf (payload: Uint8Array): Uint8Array {
  return new Uint8Array(hash('sha256', payload, 'buffer'))
}

/** Reads a record with all its fields; the signature is not looked at. @throws as `decodeEnvelope`. */
export function parseRecord (bytes: Uint8Array, options: DecodeOptions = {}): AnyRecord {
  return parseEnvelope(decodeEnvelope(bytes, options), options)
}

/** @throws `INVALID` naming the field that is wrong. */
export function parseEnvelope ({ kind, payload, writer, bytes }: Envelope, options: DecodeOptions = {}): AnyRecord {
  const fields = decodeFields(payload, `A ${kind} record`, options)
  const proven = { writer, hash: hashOf(bytes), bytes }
  switch (kind) {
    case 'genesis': return { kind, ...proven, fields: genesisFields(fields, writer) }
    case 'member': return { kind, ...proven, fields: memberFields(fields) }
    case 'profile': return { kind, ...proven, fields: profileFields(fields) }
    case 'pin': return { kind, ...proven, fields: pinFields(fields) }
    case 'hold': return { kind, ...proven, fields: holdFields(fields) }
    case 'forget': return { kind, ...proven, fields: forgetFields(fields) }
  }
}

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

function genesisFields (fields: Fields, writer: PeerId): GenesisFields {
  const genesis = {
    name: fields.text('name', limits.MAX_LABEL_BYTES),
    admin: fields.peer('admin'),
    nonce: fields.bytes('nonce', { min: 16, max: 32 }),
    createdMs: fields.integer('created')
  }
  if (genesis.admin !== writer) throw new HoldfastError('INVALID', 'A genesis record was not written by the admin that it names')
  return genesis
}

function memberFields (fields: Fields): MemberFields {
  const role = fields.oneOf('role', ROLES)
  const state = fields.oneOf('state', ['active', 'removed'])
  const needsCutoff = role === 'reader' || state === 'removed'
  return {
    cluster: clusterOf(fields),
    peer: fields.peer('peer'),
    role,
    state,
    ...(needsCutoff || fields.has('cutoff')) && { cutoff: fields.integer('cutoff') },
    ...fields.has('head') && { head: fields.bytes('head', { min: HASH_BYTES, max: HASH_BYTES }) },
    ...fields.has('prev') && { prev: fields.bytes('prev', { min: HASH_BYTES, max: HASH_BYTES }) },
    ...fields.has('zone') && { zone: fields.text('zone', limits.MAX_LABEL_BYTES) },
    hlc: fields.hlc('hlc'),
    seq: seqOf(fields)
  }
}

function profileFields (fields: Fields): ProfileFields {
  return {
    cluster: clusterOf(fields),
    seq: seqOf(fields),
    ...fields.has('name') && { name: fields.text('name', limits.MAX_LABEL_BYTES) },
    zone: fields.text('zone', limits.MAX_LABEL_BYTES),
    capacityBytes: fields.integer('capacityBytes'),
    version: fields.text('version', limits.MAX_LABEL_BYTES),
    addresses: fields.texts('addresses', { maxCount: limits.MAX_ADDRESSES, maxBytes: limits.MAX_ADDRESS_CHARACTERS })
  }
}

function pinFields (fields: Fields): PinFields {
  return {
    cluster: clusterOf(fields),
    pinId: fields.bytes('pinId', { min: PIN_ID_BYTES, max: PIN_ID_BYTES }),
    op: fields.oneOf('op', ['put', 'del']),
    cid: cidOf(fields),
    mode: fields.oneOf('mode', PIN_MODES),
    ...fields.has('name') && { name: fields.text('name', limits.MAX_PIN_NAME_BYTES) },
    ...fields.has('meta') && { meta: metaOf(fields) },
    copies: copiesOf(fields),
    ...fields.has('zones') && { zones: fields.texts('zones', { maxCount: limits.MAX_PLACES, maxBytes: limits.MAX_LABEL_BYTES }) },
    ...fields.has('expireAt') && { expireAtMs: fields.integer('expireAt') },
    origin: fields.peer('origin'),
    createdMs: fields.integer('created'),
    hlc: fields.hlc('hlc'),
    seq: seqOf(fields),
    context: contextOf(fields)
  }
}

function holdFields (fields: Fields): HoldFields {
  return {
    cluster: clusterOf(fields),
    pinKey: fields.bytes('pinKey', { min: 3, max: MAX_PIN_KEY_BYTES }),
    seq: seqOf(fields),
    state: fields.oneOf('state', HOLD_STATES),
    bytes: fields.integer('bytes'),
    hlc: fields.hlc('hlc'),
    ...fields.has('why') && { why: fields.text('why', limits.MAX_WHY_BYTES) },
    ...fields.has('doubts') && { doubts: fields.peers('doubts', limits.MAX_DOUBTS) }
  }
}

function forgetFields (fields: Fields): ForgetFields {
  const pins = fields.bytes('pins', { min: PIN_ID_BYTES, max: PIN_ID_BYTES * limits.MAX_FORGOTTEN_PER_RECORD })
  if (pins.byteLength % PIN_ID_BYTES !== 0) throw new HoldfastError('INVALID', 'A forget record has a pin id that is cut short')
  return {
    cluster: clusterOf(fields),
    pinIds: Array.from({ length: pins.byteLength / PIN_ID_BYTES }, (_, index) => pins.subarray(index * PIN_ID_BYTES, (index + 1) * PIN_ID_BYTES)),
    hlc: fields.hlc('hlc'),
    seq: seqOf(fields)
  }
}

function clusterOf (fields: Fields): Uint8Array {
  return fields.bytes('cluster', { min: HASH_BYTES, max: HASH_BYTES })
}

/** Seqs begin at 1, so that a cutoff of 0 lets nothing count. */
function seqOf (fields: Fields): number {
  return fields.integer('seq', { min: 1 })
}

function cidOf (fields: Fields): CID {
  const cid = fields.cid('cid')
  if (cid.multihash.bytes.byteLength > MAX_PIN_KEY_BYTES - 1) throw new HoldfastError('INVALID', 'A pin record has a CID that is too long')
  return cid
}

function copiesOf (fields: Fields): Copies {
  const copies = new Map(fields.entries('copies', 8))
  const [min, max] = [copies.get('min'), copies.get('max')]
  if (!isCount(min) || !(max === 'all' || isCount(max) && max >= min)) throw new HoldfastError('INVALID', 'A pin record has wrong copies')
  return { min, max }
}

function isCount (value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= limits.MAX_COPIES
}

function metaOf (fields: Fields): Record<string, string> {
  let byteLength = 0
  return Object.fromEntries(fields.entries('meta', limits.MAX_META_KEYS).map(([key, value]) => {
    if (typeof value !== 'string') throw new HoldfastError('INVALID', `A pin record has meta that is not text: ${JSON.stringify(key)}`)
    byteLength += Buffer.byteLength(key) + Buffer.byteLength(value)
    if (byteLength > limits.MAX_META_BYTES) throw new HoldfastError('INVALID', `A pin record has more than ${limits.MAX_META_BYTES} bytes of meta`)
    return [key, value]
  }))
}

function contextOf (fields: Fields): Map<PeerId, number> {
  return new Map(fields.entries('context', limits.MAX_CONTEXT_WRITERS).map(([peer, seq]) => {
    if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 1) throw new HoldfastError('INVALID', 'A pin record has a wrong context')
    return [peer, seq]
  }))
}
