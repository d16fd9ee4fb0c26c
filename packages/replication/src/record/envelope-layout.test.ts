import { encode } from '@ipld/dag-cbor'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { newIdentities } from '../../test/identities.ts'
import { MAX_RECORD_BYTES } from '../limits.ts'
import { RECORD_KINDS, signEnvelope } from './envelope.ts'
import { splitEnvelope } from './envelope-layout.ts'

const [identity] = await newIdentities(1)
assert.ok(identity !== undefined)
const writer = identity

/** Payload lengths around those where the head of a byte string grows, and the longest. */
const LENGTHS = [0, 1, 23, 24, 255, 256, MAX_RECORD_BYTES - 200]

const envelopes = fc.tuple(fc.constantFrom(...RECORD_KINDS), fc.constantFrom(...LENGTHS)).map(([kind, byteLength]) => signEnvelope(writer, kind, new Uint8Array(byteLength).fill(7)))

/** What an encoder that knows all of dag-cbor makes of the parts. */
function encoded ({ kind, payload, writer, signature }: NonNullable<ReturnType<typeof splitEnvelope>>): Uint8Array {
  return encode({ v: 1, kind, payload, writer, sig: signature })
}

test('every envelope that is signed here is split into its parts', () => {
  fc.assert(fc.property(envelopes, ({ bytes, kind, payload, signature }) => {
    const parts = splitEnvelope(bytes) ?? assert.fail()
    assert.equal(parts.kind, kind)
    assert.deepEqual(Buffer.from(parts.payload), Buffer.from(payload))
    assert.deepEqual(Buffer.from(parts.signature), Buffer.from(signature))
  }))
})

test('bytes that are split have no other form: parts that are encoded again are the same bytes', () => {
  let splitCount = 0
  fc.assert(fc.property(envelopes, fc.nat(), fc.integer({ min: 1, max: 255 }), fc.integer({ min: -3, max: 3 }), ({ bytes }, at, flip, longer) => {
    const changed = Uint8Array.from({ length: bytes.byteLength + longer }, (_, index) => (bytes[index] ?? 0) ^ (index === at % 150 ? flip : 0))
    const parts = splitEnvelope(changed)
    if (parts === undefined) return
    splitCount++
    assert.deepEqual(Buffer.from(encoded(parts)), Buffer.from(changed))
  }), { numRuns: 3000 })
  assert.ok(splitCount > 50, `only ${splitCount} were split`)
})

test('a length that is not in the shortest form is not taken', () => {
  const { bytes } = signEnvelope(writer, 'pin', new Uint8Array(10))
  const head = bytes.byteLength - 11
  assert.equal(bytes[head], 0x4a)
  for (const longer of [[0x58, 10], [0x59, 0, 10]]) {
    assert.equal(splitEnvelope(Buffer.concat([bytes.subarray(0, head), Buffer.from(longer), bytes.subarray(head + 1)])), undefined)
  }
})
