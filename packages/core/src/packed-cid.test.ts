import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { packedCid } from './packed-cid.ts'

test('a packed CID is equal to the one that multiformats makes, and stays so when others follow', () => {
  const digests = fc.uint8Array({ minLength: 0, maxLength: 128 })
  const made: Array<readonly [CID, CID]> = []
  fc.assert(fc.property(fc.integer({ min: 0, max: 0xb260 }), fc.integer({ min: 0, max: 0xb260 }), digests, (codec, hash, digest) => {
    made.push([packedCid(1, codec, hash, digest), CID.create(1, codec, createDigest(hash, digest))])
  }), { numRuns: 500 })
  for (const [packed, plain] of made) assertSame(packed, plain)
})

test('a packed CID of version 0 is its multihash', () => {
  const digest = new Uint8Array(32).fill(7)
  assertSame(packedCid(0, 0x70, 0x12, digest), CID.create(0, 0x70, createDigest(0x12, digest)))
})

function assertSame (packed: CID, plain: CID): void {
  assert.equal(packed.toString(), plain.toString())
  assert.deepEqual(Uint8Array.from(packed.bytes), Uint8Array.from(plain.bytes))
  assert.deepEqual(Uint8Array.from(packed.multihash.bytes), Uint8Array.from(plain.multihash.bytes))
  assert.deepEqual(Uint8Array.from(packed.multihash.digest), Uint8Array.from(plain.multihash.digest))
  assert.ok(packed.equals(plain) && plain.equals(packed) && CID.asCID(packed) === packed)
  assert.deepEqual([packed.version, packed.code, packed.multihash.code, packed.multihash.size], [plain.version, plain.code, plain.multihash.code, plain.multihash.size])
}
