import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Block, identityBlock, MAX_BLOCK_BYTES, requireVerifiable } from './block.ts'
import { CODECS } from './codecs.ts'
import { isErrorCode } from './errors.ts'
import { IDENTITY, MAX_DIGEST_BYTES, MAX_IDENTITY_BYTES, MIN_DIGEST_BYTES, SHA2_256 } from './hashers.ts'

const BYTES = Buffer.from('hello world')
const SHA2_512 = 0x13

test('a block is named as IPFS tools name it', async () => {
  assert.equal((await Block.of(BYTES)).cid.toString(), 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e')
  const emptyDirectory = await Block.of(Uint8Array.of(0x0a, 0x02, 0x08, 0x01), { codec: CODECS.dagPb, version: 0 })
  assert.equal(emptyDirectory.cid.toString(), 'QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn')
  assert.equal((await Block.of(Uint8Array.of(1, 2), { hash: IDENTITY })).cid.toString(), 'bafkqaaqbai')
})

test('every codec and hash asked for is in the CID, and the bytes verify against it', async () => {
  for (const codec of [...Object.values(CODECS), 0x300000]) {
    for (const hash of [SHA2_256, SHA2_512, 0x1e, IDENTITY]) {
      const { cid, bytes } = await Block.of(BYTES, { codec, hash })
      assert.deepEqual([cid.version, cid.code, cid.multihash.code], [1, codec, hash])
      assert.equal((await Block.verify(cid, bytes)).cid, cid)
    }
  }
})

test('version 0 exists with dag-pb and sha2-256 only', async () => {
  for (const options of [{}, { codec: CODECS.raw }, { codec: CODECS.dagPb, hash: SHA2_512 }, { codec: CODECS.dagPb, hash: IDENTITY }]) {
    await assert.rejects(Block.of(BYTES, { ...options, version: 0 }), (err) => isErrorCode(err, 'INVALID'), JSON.stringify(options))
  }
})

test('bytes of a block are a plain Uint8Array over the same memory', async () => {
  const { bytes } = await Block.of(BYTES)
  assert.equal(Object.getPrototypeOf(bytes), Uint8Array.prototype)
  assert.equal(bytes.buffer, BYTES.buffer)
  assert.deepEqual(Buffer.from(bytes), BYTES)
})

test('other bytes are CORRUPT, also when they only begin or end alike', async () => {
  for (const hash of [SHA2_256, SHA2_512, IDENTITY]) {
    const { cid } = await Block.of(BYTES, { hash })
    for (const other of [new Uint8Array(), BYTES.subarray(1), BYTES.subarray(0, -1), Buffer.concat([BYTES, Uint8Array.of(0)]), Buffer.from('hello worle')]) {
      await assert.rejects(Block.verify(cid, other), (err) => isErrorCode(err, 'CORRUPT') && err.details.cid === cid.toString(), `${hash}, ${other.byteLength} bytes`)
    }
  }
})

test('a digest may be cut short to what can still be trusted, and never be longer than its hash', async () => {
  const { digest } = (await Block.of(BYTES)).cid.multihash
  const cidOf = (bytes: Uint8Array): CID => CID.createV1(CODECS.raw, createDigest(SHA2_256, bytes))
  assert.ok(await Block.verify(cidOf(digest.subarray(0, MIN_DIGEST_BYTES)), BYTES))
  await assert.rejects(Block.verify(cidOf(digest.subarray(0, MIN_DIGEST_BYTES - 1)), BYTES), (err) => isErrorCode(err, 'INVALID'))
  await assert.rejects(Block.verify(cidOf(digest.subarray(12)), BYTES), (err) => isErrorCode(err, 'CORRUPT'))
  await assert.rejects(Block.verify(cidOf(Buffer.concat([digest, digest])), BYTES), (err) => isErrorCode(err, 'CORRUPT'))
  await assert.rejects(Block.verify(cidOf(new Uint8Array(MAX_DIGEST_BYTES + 1)), BYTES), (err) => isErrorCode(err, 'INVALID'))
})

test('a CIDv0 whose digest is not one of sha2-256 is INVALID', () => {
  for (const [hash, byteLength] of [[SHA2_512, 64], [SHA2_256, 20], [SHA2_256, 64], [IDENTITY, 3]] as const) {
    const cid = CID.create(0, CODECS.dagPb, createDigest(hash, new Uint8Array(byteLength)))
    assert.throws(() => { requireVerifiable(cid) }, (err) => isErrorCode(err, 'INVALID'))
  }
})

test('a hash that is not known is UNSUPPORTED before anything is read', async () => {
  const cid = CID.createV1(CODECS.raw, createDigest(0x300000, new Uint8Array(32)))
  assert.throws(() => { requireVerifiable(cid) }, (err) => isErrorCode(err, 'UNSUPPORTED'))
  await assert.rejects(Block.verify(cid, BYTES), (err) => isErrorCode(err, 'UNSUPPORTED'))
  await assert.rejects(Block.of(BYTES, { hash: 0x300000 }), (err) => isErrorCode(err, 'UNSUPPORTED'))
})

test('a block has at most its limit, whether it is made or verified', async () => {
  const longest = await Block.of(new Uint8Array(MAX_BLOCK_BYTES))
  assert.ok(await Block.verify(longest.cid, longest.bytes))
  const tooLong = new Uint8Array(MAX_BLOCK_BYTES + 1)
  await assert.rejects(Block.of(tooLong), (err) => isErrorCode(err, 'LIMIT'))
  await assert.rejects(Block.verify(longest.cid, tooLong), (err) => isErrorCode(err, 'LIMIT'))
})

test('an identity CID carries its block, up to its limit', async () => {
  const most = await Block.of(new Uint8Array(MAX_IDENTITY_BYTES), { hash: IDENTITY })
  assert.deepEqual((await identityBlock(most.cid))?.bytes, most.bytes)
  assert.equal(await identityBlock((await Block.of(BYTES)).cid), undefined)

  await assert.rejects(Block.of(new Uint8Array(MAX_IDENTITY_BYTES + 1), { hash: IDENTITY }), (err) => isErrorCode(err, 'INVALID'))
  const tooLong = CID.createV1(CODECS.raw, createDigest(IDENTITY, new Uint8Array(MAX_IDENTITY_BYTES + 1)))
  await assert.rejects(identityBlock(tooLong), (err) => isErrorCode(err, 'INVALID'))
  await assert.rejects(Block.verify(tooLong, new Uint8Array(MAX_IDENTITY_BYTES + 1)), (err) => isErrorCode(err, 'INVALID'))
})

test('a block goes by any CID of its multihash and by no other', async () => {
  const block = await Block.of(BYTES)
  const asDagPb = CID.createV1(CODECS.dagPb, block.cid.multihash)
  assert.deepEqual([block.as(asDagPb).cid, block.as(asDagPb).bytes], [asDagPb, block.bytes])
  assert.equal(block.as(block.cid), block)
  assert.throws(() => block.as(CID.createV1(CODECS.raw, createDigest(SHA2_256, new Uint8Array(32)))), (err) => isErrorCode(err, 'CORRUPT'))
})
