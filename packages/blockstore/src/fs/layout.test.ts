import { Block, CODECS, IDENTITY } from '@holdfast/core'
import { base32upper } from 'multiformats/bases/base32'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isShard, LAYOUTS } from './layout.ts'

const emptyDirectory = CID.parse('QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn')
const layouts = Object.values(LAYOUTS)

test('the empty directory lies where Kubo and Helia put it', () => {
  assert.deepEqual(LAYOUTS.flatfs.placeOf(emptyDirectory), { shard: 'X3', file: 'CIQFTFEEHEDF6KLBT32BFAGLXEZL4UWFNWM4LFTLMXQBCERZ6CMLX3Y.data' })
  assert.deepEqual(LAYOUTS['blockstore-fs'].placeOf(emptyDirectory), { shard: '3Y', file: 'BCIQFTFEEHEDF6KLBT32BFAGLXEZL4UWFNWM4LFTLMXQBCERZ6CMLX3Y.data' })
})

test('the CID of any place is the raw CIDv1 of the block that lies there', () => {
  fc.assert(fc.property(fc.constantFrom(...layouts), fc.uint8Array({ minLength: 20, maxLength: 128 }), fc.constantFrom(0x12, 0x13, 0x1e, 0xb220), (layout, digest, hash) => {
    const cid = CID.createV1(CODECS.dagPb, createDigest(hash, digest))
    const place = layout.placeOf(cid)
    assert.ok(isShard(place.shard))
    assert.ok(layout.cidOf(place)?.equals(CID.createV1(CODECS.raw, cid.multihash)))
    assert.ok(place.file.length <= 255, 'a name that every file system takes')
  }))
})

test('a file that get would not open is no block', async () => {
  const cid = (await Block.of(Uint8Array.of(1))).cid
  const named = (multihash: Uint8Array): string => base32upper.baseEncode(multihash)
  for (const layout of layouts) {
    const { shard, file } = layout.placeOf(cid)
    const prefix = layout.name === 'blockstore-fs' ? 'B' : ''
    const files = [
      '', '.data', 'B.data', file.replace('.data', ''), file.replace('.data', '.DATA'), `${file}.tmp`, `.${file}.tmp`, file.toLowerCase(), `A${file}`, file.slice(1),
      `${prefix}${named(createDigest(IDENTITY, Uint8Array.of(1)).bytes)}.data`, // Never stored.
      `${prefix}${named(createDigest(0x300000, new Uint8Array(32)).bytes)}.data`, // Cannot be verified.
      `${prefix}${named(createDigest(0x12, new Uint8Array(8)).bytes)}.data`, // Too short to be trusted.
      `${prefix}${named(cid.multihash.bytes.subarray(0, -1))}.data`
    ]
    for (const file of files) {
      const base32 = file.replace(/^B?|\.data$/g, '')
      for (const folder of [shard, base32.slice(-3, -1), base32.slice(-2)]) assert.equal(layout.cidOf({ shard: folder, file }), undefined, `${layout.name} ${folder}/${file}`)
    }
    assert.equal(layout.cidOf({ shard: 'AA', file }), undefined, 'the wrong folder')
  }
})

test('the layouts never take a file of the other for theirs', async () => {
  for (let index = 0; index < 500; index++) {
    const { cid } = await Block.of(Uint8Array.of(index, index >> 8))
    assert.equal(LAYOUTS.flatfs.cidOf(LAYOUTS['blockstore-fs'].placeOf(cid)), undefined)
    assert.equal(LAYOUTS['blockstore-fs'].cidOf(LAYOUTS.flatfs.placeOf(cid)), undefined)
  }
})
