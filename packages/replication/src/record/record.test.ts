import { HoldfastError, isErrorCode, isHoldfastError } from '@holdfast/core'
import { encode } from '@ipld/dag-cbor'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newIdentities } from '../../test/identities.ts'
import { MAX_FORGOTTEN_PER_RECORD, MAX_META_BYTES, MAX_META_KEYS, MAX_PIN_NAME_BYTES, MAX_RECORD_BYTES } from '../limits.ts'
import { decodeEnvelope, isSigned, RECORD_KINDS, signEnvelope } from './envelope.ts'
import { peerToBytes } from './peer-bytes.ts'
import { parseEnvelope, parseRecord } from './parse-record.ts'
import { type AnyRecord, clusterIdOf, HOLD_STATES, PIN_MODES, type PinFields, ROLES } from './record.ts'
import { signForget, signGenesis, signHold, signMember, signPin, signProfile } from './sign-record.ts'

const [alice, bob] = await newIdentities(2)
assert.ok(alice !== undefined && bob !== undefined)

const CLUSTER = new Uint8Array(32).fill(7)
const PIN: PinFields = {
  cluster: CLUSTER,
  pinId: new Uint8Array(16).fill(1),
  op: 'put',
  cid: CID.createV1(0x55, createDigest(0x12, new Uint8Array(32))),
  mode: 'recursive',
  copies: { min: 2, max: 3 },
  origin: alice.peerId,
  createdMs: 1,
  hlc: [1, 0],
  seq: 1,
  context: new Map()
}

const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length })
const label = fc.string({ maxLength: 20, unit: 'grapheme' }).filter((text) => Buffer.byteLength(text) <= 64 && text.isWellFormed())
const hlc = fc.tuple(fc.nat(), fc.nat())
const seq = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const peer = fc.constantFrom(alice.peerId, bob.peerId)
const cid = bytes(32).map((digest) => CID.createV1(0x55, createDigest(0x12, digest)))
const optional = { requiredKeys: [] as never[] }

const record: fc.Arbitrary<AnyRecord> = fc.oneof(
  fc.record({ name: label, nonce: bytes(16), createdMs: fc.nat() }).map((fields) => signGenesis(alice, fields)),
  fc.tuple(fc.record({ cluster: bytes(32), peer, role: fc.constantFrom(...ROLES), state: fc.constantFrom('active' as const, 'removed' as const), cutoff: fc.nat(), hlc, seq }), fc.record({ head: bytes(32), prev: bytes(32), zone: label }, optional))
    .map(([fields, more]) => signMember(alice, { ...fields, ...more })),
  fc.record({ cluster: bytes(32), seq, zone: label, capacityBytes: fc.nat(), version: label, addresses: fc.array(label, { maxLength: 8 }) }).map((fields) => signProfile(alice, fields)),
  fc.tuple(
    fc.record({ cluster: bytes(32), pinId: bytes(16), op: fc.constantFrom('put' as const, 'del' as const), cid, mode: fc.constantFrom(...PIN_MODES), copies: fc.constantFrom({ min: 1, max: 'all' as const }, { min: 2, max: 3 }), origin: peer, createdMs: fc.nat(), hlc, seq, context: fc.array(fc.tuple(peer, seq)).map((entries) => new Map(entries)) }),
    fc.record({ name: label, meta: fc.dictionary(label, label, { maxKeys: 20 }), zones: fc.array(label, { maxLength: 4 }), expireAtMs: fc.nat() }, optional)
  ).map(([fields, more]) => signPin(alice, { ...fields, ...more })),
  fc.tuple(fc.record({ cluster: bytes(32), pinKey: bytes(35), seq, state: fc.constantFrom(...HOLD_STATES), bytes: fc.nat(), hlc }), fc.record({ why: label }, optional))
    .map(([fields, more]) => signHold(alice, { ...fields, ...more })),
  fc.record({ cluster: bytes(32), pinIds: fc.array(bytes(16), { minLength: 1, maxLength: MAX_FORGOTTEN_PER_RECORD }), hlc, seq }).map((fields) => signForget(alice, fields))
)

test('a record of any kind is read back as it was signed', () => {
  const kinds = new Set<string>()
  fc.assert(fc.property(record, (made) => {
    kinds.add(made.kind)
    assert.deepEqual(parseRecord(made.bytes), made)
    assert.equal(isSigned(decodeEnvelope(made.bytes)), true)
  }), { numRuns: 300 })
  assert.deepEqual([...kinds].toSorted(), [...RECORD_KINDS].toSorted())
})

test('a flipped bit anywhere makes a record unreadable or unsigned', () => {
  const { bytes } = signPin(alice, PIN)
  for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
    const flipped = bytes.slice()
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    assert.equal(isGood(flipped), false, `bit ${bit}`)
  }
})

function isGood (bytes: Uint8Array): boolean {
  try {
    const envelope = decodeEnvelope(bytes)
    parseEnvelope(envelope)
    return isSigned(envelope)
  } catch (err) {
    if (isHoldfastError(err)) return false
    throw err
  }
}

test('bytes of any kind are a record or a typed error', () => {
  const { bytes } = signPin(alice, PIN)
  const cut = fc.nat(bytes.byteLength - 1).map((length) => bytes.slice(0, length))
  const spliced = fc.tuple(fc.nat(bytes.byteLength - 1), fc.uint8Array({ maxLength: 40 })).map(([at, inserted]) => Buffer.concat([bytes.subarray(0, at), inserted, bytes.subarray(at)]))
  fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 400 }), cut, spliced), (input) => {
    try {
      parseRecord(input)
    } catch (err) {
      assert.ok(err instanceof HoldfastError, String(err))
    }
  }), { numRuns: 2000 })
})

test('payloads that are signed and make no sense are INVALID or LIMIT', () => {
  fc.assert(fc.property(fc.constantFrom(...RECORD_KINDS), fc.dictionary(fc.string(), fc.oneof(fc.integer(), fc.string(), fc.uint8Array(), fc.boolean(), fc.constant(null), fc.array(fc.integer()))), (kind, fields) => {
    const envelope = signEnvelope(alice, kind, encode(fields))
    assert.throws(() => parseEnvelope(decodeEnvelope(envelope.bytes)), (err) => isErrorCode(err, 'INVALID') || isErrorCode(err, 'LIMIT'))
  }))
})

test('only the canonical form of a record is read', () => {
  const { payload, writer, signature, bytes } = decodeEnvelope(signPin(alice, PIN).bytes)
  const fields = { v: 1, kind: 'pin', payload, writer: peerToBytes(writer), sig: signature }
  assert.deepEqual(encode(fields), bytes)
  assert.throws(() => decodeEnvelope(Buffer.concat([bytes, Uint8Array.of(0)])), (err) => isErrorCode(err, 'INVALID'))
  assert.throws(() => decodeEnvelope(encode({ ...fields, more: 1 })), (err) => isErrorCode(err, 'INVALID') && err.message.includes('canonical'))
  // The same map with its entries the other way round, which cbor allows and dag-cbor does not.
  const [head, ...rest] = entriesOf(fields)
  assert.ok(head !== undefined)
  assert.throws(() => decodeEnvelope(Buffer.concat([Uint8Array.of(0xa5), ...rest, head])), (err) => isErrorCode(err, 'INVALID') && err.message.includes('canonical'))
})

function entriesOf (fields: Readonly<Record<string, unknown>>): Uint8Array[] {
  return Object.entries(fields).toSorted(([a], [b]) => a.length - b.length || (a < b ? -1 : 1)).map(([key, value]) => Buffer.concat([encode(key), encode(value)]))
}

test('fields that a newer version added stay in the bytes and under the signature', () => {
  const { payload } = decodeEnvelope(signHold(alice, { cluster: CLUSTER, pinKey: new Uint8Array(35), seq: 1, state: 'complete', bytes: 1, hlc: [1, 0] }).bytes)
  const newer = signEnvelope(alice, 'hold', encode({ cluster: CLUSTER, pinKey: new Uint8Array(35), seq: 1, state: 'complete', bytes: 1, hlc: [1, 0], audit: 'later' }))
  assert.ok(newer.payload.byteLength > payload.byteLength)
  assert.deepEqual(parseRecord(newer.bytes).bytes, newer.bytes)
})

test('other versions and kinds are UNSUPPORTED', () => {
  const { payload, writer, signature } = decodeEnvelope(signPin(alice, PIN).bytes)
  const fields = { v: 1, kind: 'pin', payload, writer: peerToBytes(writer), sig: signature }
  assert.throws(() => decodeEnvelope(encode({ ...fields, v: 2 })), (err) => isErrorCode(err, 'UNSUPPORTED'))
  assert.throws(() => decodeEnvelope(encode({ ...fields, kind: 'vote' })), (err) => isErrorCode(err, 'UNSUPPORTED'))
})

test('a signature of one kind does not count for another', () => {
  const { payload, writer, signature } = decodeEnvelope(signPin(alice, PIN).bytes)
  const other = decodeEnvelope(encode({ v: 1, kind: 'hold', payload, writer: peerToBytes(writer), sig: signature }))
  assert.equal(isSigned(other), false)
})

const TOO_MUCH: Record<string, Partial<PinFields>> = {
  'a name of 256 bytes': { name: 'x'.repeat(MAX_PIN_NAME_BYTES + 1) },
  '65 keys of meta': { meta: Object.fromEntries(Array.from({ length: MAX_META_KEYS + 1 }, (_, index) => [`k${index}`, ''])) },
  'more bytes of meta than 4 KiB': { meta: { key: 'x'.repeat(MAX_META_BYTES - 2) } },
  'a context of 65 writers': { context: new Map(Array.from({ length: 65 }, (_, index) => [`peer-${index}`, 1])) },
  'no copies': { copies: { min: 0, max: 1 } },
  'fewer copies at most than at least': { copies: { min: 2, max: 1 } },
  'copies by the millions': { copies: { min: 1, max: 1_000_001 } },
  'half copies': { copies: { min: 1, max: 1.5 } },
  'a negative expiry': { expireAtMs: -1 },
  'a seq of 0': { seq: 0 },
  'a pin id of 15 bytes': { pinId: new Uint8Array(15) },
  'a cluster of 31 bytes': { cluster: new Uint8Array(31) },
  '17 zones': { zones: Array.from({ length: 17 }, String) },
  'a zone of 65 bytes': { zones: ['x'.repeat(65)] }
}

for (const [what, fields] of Object.entries(TOO_MUCH)) {
  test(`a pin record with ${what} is INVALID`, () => {
    assert.throws(() => signPin(alice, { ...PIN, ...fields }), (err) => isErrorCode(err, 'INVALID'))
  })
}

test('a record of 8 KiB is read, and one byte more is LIMIT', () => {
  const filler = (length: number): Uint8Array => encode({ filler: new Uint8Array(length) })
  const rest = signEnvelope(alice, 'hold', filler(4096)).bytes.byteLength - 4096
  const longest = signEnvelope(alice, 'hold', filler(MAX_RECORD_BYTES - rest))
  assert.equal(longest.bytes.byteLength, MAX_RECORD_BYTES)
  decodeEnvelope(longest.bytes)
  assert.throws(() => signEnvelope(alice, 'hold', filler(MAX_RECORD_BYTES - rest + 1)), (err) => isErrorCode(err, 'LIMIT'))
  assert.throws(() => decodeEnvelope(new Uint8Array(MAX_RECORD_BYTES + 1)), (err) => isErrorCode(err, 'LIMIT'))
})

test('a payload with many values or deep nesting is LIMIT before it is decoded', () => {
  for (const value of [Array.from({ length: 2000 }, () => 0), [[[[[[]]]]]]]) {
    const { bytes } = signEnvelope(alice, 'hold', encode({ cluster: value }))
    assert.throws(() => parseRecord(bytes), (err) => isErrorCode(err, 'LIMIT'))
  }
})

test('a genesis counts only when its admin wrote it', () => {
  const payload = encode({ name: 'ours', admin: peerToBytes(bob.peerId), nonce: new Uint8Array(16), created: 1 })
  assert.throws(() => parseEnvelope(signEnvelope(alice, 'genesis', payload)), (err) => isErrorCode(err, 'INVALID'))
  assert.equal(clusterIdOf(payload).byteLength, 32)
})

test('a forget record has 1 to 400 whole pin ids', () => {
  const idsOf = (count: number): Uint8Array[] => Array.from({ length: count }, () => new Uint8Array(16))
  const make = (pinIds: readonly Uint8Array[]): AnyRecord => signForget(alice, { cluster: CLUSTER, pinIds, hlc: [1, 0], seq: 1 })
  assert.ok(make(idsOf(MAX_FORGOTTEN_PER_RECORD)).bytes.byteLength <= MAX_RECORD_BYTES)
  for (const pinIds of [[], idsOf(MAX_FORGOTTEN_PER_RECORD + 1), [new Uint8Array(15)], [new Uint8Array(17)]]) {
    assert.throws(() => make(pinIds), (err) => isErrorCode(err, 'INVALID'), `${pinIds.length}`)
  }
})
