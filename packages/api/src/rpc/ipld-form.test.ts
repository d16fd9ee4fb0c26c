import { Block, CODECS, encodeDagPb, type Ipld, isErrorCode } from '@holdfast/core'
import * as dagCbor from '@ipld/dag-cbor'
import * as dagJson from '@ipld/dag-json'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { convert, encodeIpld, ipldOf } from './ipld-form.ts'

const CIDS = ['bafkqaaa', 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e', 'QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n'].map((text) => CID.parse(text))

const { value: valueArbitrary } = fc.letrec<{ value: Ipld }>((tie) => ({
  value: fc.oneof({ maxDepth: 3 },
    fc.integer(), fc.boolean(), fc.constant(null), fc.string(), fc.uint8Array({ maxLength: 20 }), fc.constantFrom(...CIDS),
    fc.array(tie('value'), { maxLength: 4 }), fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), tie('value'), { maxKeys: 4, noNullPrototype: true }))
}))

test('a value is the same in every codec that holds it', async () => {
  await fc.assert(fc.asyncProperty(valueArbitrary, async (value) => {
    const cbor = dagCbor.encode(value)
    const json = await convert(cbor, { from: CODECS.dagCbor, to: CODECS.dagJson })
    assert.deepEqual(dagJson.decode(json), value)
    assert.deepEqual(Buffer.from(await convert(json, { from: CODECS.dagJson, to: CODECS.dagCbor })), Buffer.from(cbor))
  }))
})

test('a dag-pb node comes back from its logical form as the same bytes', async () => {
  const link = fc.record({ cid: fc.constantFrom(...CIDS), name: fc.stringMatching(/^[a-zü]{0,6}$/).map((name) => new Uint8Array(Buffer.from(name))), tsize: fc.option(fc.nat(), { nil: undefined }) })
  await fc.assert(fc.asyncProperty(fc.array(link, { maxLength: 4 }), fc.option(fc.uint8Array({ maxLength: 20 }), { nil: undefined }), async (links, data) => {
    const bytes = encodeDagPb({ links: links.toSorted((a, b) => Buffer.compare(a.name, b.name)), data })
    const form = ipldOf(await Block.of(bytes, { codec: CODECS.dagPb }))
    assert.deepEqual(Buffer.from(encodeIpld(form, CODECS.dagPb)), Buffer.from(bytes))
    const json = await convert(bytes, { from: CODECS.dagPb, to: CODECS.dagJson })
    assert.deepEqual(Buffer.from(await convert(json, { from: CODECS.dagJson, to: CODECS.dagPb })), Buffer.from(bytes))
  }))
})

test('what a codec cannot hold, and codecs that nobody reads, are refused', async () => {
  const cases: ReadonlyArray<readonly [value: Ipld, codec: number]> = [
    ['text', CODECS.raw], [{ Links: 1 }, CODECS.dagPb], [{ Links: [], Name: 'x' }, CODECS.dagPb], [{ Links: [{ Name: 'x' }] }, CODECS.dagPb], [{ Links: [{ Hash: CIDS[0] ?? null, Tsize: -1 }] }, CODECS.dagPb], [[], CODECS.dagPb], [null, CODECS.dagPb], [{ Data: 'text' }, CODECS.dagPb]
  ]
  for (const [value, codec] of cases) assert.throws(() => encodeIpld(value, codec), (err) => isErrorCode(err, 'INVALID'), JSON.stringify(value))
  assert.throws(() => encodeIpld('x', CODECS.libp2pKey), (err) => isErrorCode(err, 'UNSUPPORTED'))
  assert.throws(() => encodeIpld('x', CODECS.cbor), (err) => isErrorCode(err, 'UNSUPPORTED'))
  await assert.rejects(convert(Buffer.from('{"a":'), { from: CODECS.dagJson, to: CODECS.dagCbor }), (err) => isErrorCode(err, 'INVALID'))
  await assert.rejects(convert(Buffer.from([0xff]), { from: CODECS.dagCbor, to: CODECS.dagCbor }), (err) => isErrorCode(err, 'INVALID'))
})
