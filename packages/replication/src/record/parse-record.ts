import { HoldfastError } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import * as limits from '../limits.ts'
import { decodeEnvelope, decodeFields, type DecodeOptions, type Envelope, hashOf } from './envelope.ts'
import type { Fields } from './fields.ts'
import { type AnyRecord, type Copies, type ForgetFields, type GenesisFields, HASH_BYTES, HOLD_STATES, type HoldFields, MAX_PIN_KEY_BYTES, type MemberFields, PIN_ID_BYTES, PIN_MODES, type PinFields, type ProfileFields, ROLES } from './record.ts'

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
