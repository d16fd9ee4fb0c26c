import { HoldfastError, isErrorCode } from '@holdfast/core'
import { encode } from '@ipld/dag-cbor'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MAX_ASKED_BUCKETS, MAX_ASKED_NODES, MAX_ASKED_RECORDS, MAX_BATCH_BYTES, MAX_FETCHES_TOLD, MAX_LISTED_BYTES, MAX_MESSAGE_BYTES, MAX_RECORD_BYTES } from '../limits.ts'
import { type Answer, decodeAnswer, decodeRequest, encodeAnswer, encodeRequest, type Request } from './messages.ts'

const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length })
const hash = bytes(32).map((bytes) => Buffer.from(bytes).toString('latin1'))
const records = fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 16 })

const request: fc.Arbitrary<Request> = fc.oneof(
  fc.record({ t: fc.constant('hello' as const), v: fc.nat(), cluster: bytes(32), proof: records }),
  fc.record({ t: fc.constant('nodes' as const), level: fc.constant(3), of: fc.array(fc.nat(4095), { maxLength: MAX_ASKED_NODES }) }),
  fc.record({ t: fc.constant('list' as const), of: fc.array(fc.nat(65_535), { maxLength: MAX_ASKED_BUCKETS }), after: fc.oneof(fc.constant(''), hash) }),
  fc.record({ t: fc.constant('get' as const), hashes: fc.array(hash, { maxLength: 20 }) }),
  fc.record({ t: fc.constant('push' as const), records }),
  fc.record({
    t: fc.constant('beat' as const),
    root: bytes(32),
    beat: fc.record({ usedBytes: fc.nat(), freeBytes: fc.nat(), isFull: fc.boolean(), queueLength: fc.nat(), version: fc.string({ maxLength: 10 }).filter((text) => text.isWellFormed()), fetching: fc.array(fc.record({ pinKey: bytes(35), percent: fc.nat(100), bytesPerSecond: fc.nat() }), { maxLength: MAX_FETCHES_TOLD }) })
  })
)

const answer: fc.Arbitrary<Answer> = fc.oneof(
  fc.record({ t: fc.constant('hello' as const), v: fc.nat() }),
  fc.record({ t: fc.constant('refused' as const), why: fc.string({ maxLength: 20 }).filter((text) => text.isWellFormed()), records }),
  fc.record({ t: fc.constant('nodes' as const), hashes: bytes(512) }),
  fc.record({ t: fc.constant('list' as const), lists: fc.array(fc.array(hash, { maxLength: 5 }), { maxLength: 10 }), isCut: fc.boolean() }),
  fc.record({ t: fc.constant('records' as const), records })
)

test('requests and answers are read back as they were said', () => {
  // A clone, because fast-check makes objects without a prototype.
  fc.assert(fc.property(request.map((said) => structuredClone(said)), (said) => { assert.deepEqual(decodeRequest(encodeRequest(said)), said) }))
  fc.assert(fc.property(answer.map((said) => structuredClone(said)), (said) => { assert.deepEqual(decodeAnswer(encodeAnswer(said)), said) }))
})

test('bytes of any kind are a message or a typed error', () => {
  const fields = fc.dictionary(fc.constantFrom('t', 'v', 'of', 'level', 'hashes', 'after', 'records', 'cluster', 'proof', 'lists', 'isCut', 'root', 'fetching'), fc.oneof(fc.integer(), fc.constantFrom('hello', 'nodes', 'list', 'get', 'push', 'beat', 'records'), fc.uint8Array(), fc.array(fc.integer()), fc.constant(null)))
  fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), fields.map((fields) => encode(fields))), (input) => {
    for (const decode of [decodeRequest, decodeAnswer]) {
      try {
        decode(input)
      } catch (err) {
        assert.ok(err instanceof HoldfastError, String(err))
      }
    }
  }), { numRuns: 2000 })
})

test('the longest messages that are sent fit into what is read', () => {
  const full = Array.from({ length: Math.floor(MAX_BATCH_BYTES / MAX_RECORD_BYTES) }, () => new Uint8Array(MAX_RECORD_BYTES))
  const small = Array.from({ length: 2048 }, () => new Uint8Array(MAX_BATCH_BYTES / 2048))
  const hashes = Array.from({ length: MAX_ASKED_RECORDS }, (_, index) => String(index).padStart(32))
  const lists = Array.from({ length: MAX_ASKED_BUCKETS }, () => hashes.slice(0, MAX_LISTED_BYTES / 32 / MAX_ASKED_BUCKETS))
  const asked = encodeRequest({ t: 'get', hashes })
  const nodes = encodeAnswer({ t: 'nodes', hashes: new Uint8Array(MAX_ASKED_NODES * 512) })
  for (const message of [encodeRequest({ t: 'push', records: full }), encodeRequest({ t: 'push', records: small }), asked, encodeAnswer({ t: 'list', lists, isCut: true }), nodes, encodeAnswer({ t: 'list', lists: [Array.from({ length: MAX_LISTED_BYTES / 32 }, () => 'x'.repeat(32))], isCut: true })]) {
    assert.ok(message.byteLength <= MAX_MESSAGE_BYTES)
  }
  assert.equal(decodeRequest(encodeRequest({ t: 'push', records: small })).t, 'push')
  assert.equal(decodeAnswer(encodeAnswer({ t: 'list', lists, isCut: true })).t, 'list')
  assert.equal(decodeAnswer(nodes).t, 'nodes')
})

test('a message with more values than any that is sent is LIMIT before it is decoded', () => {
  assert.throws(() => decodeRequest(encode({ t: 'push', records: Array.from({ length: 10_000 }, () => new Uint8Array()) })), (err) => isErrorCode(err, 'LIMIT'))
})
