import { CODECS } from '@holdfast/core'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { test } from 'node:test'
import { DigestSet } from './digest-set.ts'

/** sha1, sha2-256, sha2-512 and identity, whose digests may have any length. */
const cidArbitrary = fc.oneof(
  fc.tuple(fc.constant(0x11), fc.uint8Array({ minLength: 20, maxLength: 20 })),
  fc.tuple(fc.constant(0x12), fc.uint8Array({ minLength: 32, maxLength: 32 })),
  fc.tuple(fc.constant(0x13), fc.uint8Array({ minLength: 20, maxLength: 64 })),
  fc.tuple(fc.constant(0x00), fc.uint8Array({ maxLength: 128 }))
).map(([code, digest]) => CID.createV1(CODECS.raw, createDigest(code, digest)))

test('behaves like a set of multihashes', () => {
  fc.assert(fc.property(fc.array(cidArbitrary, { maxLength: 200 }), fc.array(cidArbitrary, { maxLength: 50 }), (added, others) => {
    const set = new DigestSet()
    const model = new Set<string>()
    for (const cid of added) {
      assert.equal(set.add(cid), !model.has(keyOf(cid)))
      model.add(keyOf(cid))
    }
    for (const cid of [...added, ...others]) assert.equal(set.has(cid), model.has(keyOf(cid)))
    assert.equal(set.count, model.size)
  }))
})

test('grows past its first table without losing an entry', () => {
  const set = new DigestSet()
  for (let index = 0; index < 30_000; index++) assert.ok(set.add(numbered(index)))
  assert.equal(set.count, 30_000)
  for (let index = 0; index < 30_000; index++) assert.ok(set.has(numbered(index)))
  for (let index = 30_000; index < 60_000; index++) assert.ok(!set.has(numbered(index)))
})

test('a multihash is the same under every codec and CID version', () => {
  const set = new DigestSet()
  const { multihash } = numbered(1)
  assert.ok(set.add(CID.createV1(CODECS.raw, multihash)))
  assert.ok(set.has(CID.createV1(CODECS.dagPb, multihash)))
  assert.ok(!set.add(CID.create(0, CODECS.dagPb, multihash)))
})

test('identity digests that differ only behind their twentieth byte are told apart', () => {
  const set = new DigestSet()
  const [one, other] = [1, 2].map((last) => CID.createV1(CODECS.raw, createDigest(0, Buffer.concat([Buffer.alloc(40), Buffer.of(last)]))))
  assert.ok(one !== undefined && other !== undefined)
  set.add(one)
  assert.ok(!set.has(other))
})

function numbered (index: number): CID {
  return CID.createV1(CODECS.raw, createDigest(0x12, hash('sha256', `block ${index}`, 'buffer')))
}

function keyOf ({ multihash }: CID): string {
  return Buffer.from(multihash.bytes).toString('hex')
}
