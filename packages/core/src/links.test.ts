import * as dagCbor from '@ipld/dag-cbor'
import * as dagJson from '@ipld/dag-json'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import assert from 'node:assert/strict'
import { threadCpuUsage } from 'node:process'
import { test } from 'node:test'
import { Block } from './block.ts'
import { CODECS } from './codecs.ts'
import { encodeDagPb } from './dag-pb.ts'
import { isErrorCode, isHoldfastError } from './errors.ts'
import { decodeDagCbor, decodeIpld, linksOf, MAX_ITEM_COUNT, MAX_NESTING_DEPTH } from './links.ts'

const cids = Array.from({ length: 20 }, (_, index) => CID.createV1(CODECS.raw, createDigest(0x12, new Uint8Array(32).fill(index))))
const [first, second, third] = cids
assert.ok(first !== undefined && second !== undefined && third !== undefined)

async function linksIn (codec: number, bytes: Uint8Array | string): Promise<string[]> {
  return linksOf(await Block.of(Buffer.from(bytes), { codec })).map(String)
}

test('the links of a dag-pb block come in its order, repeats included', async () => {
  const links = [second, first, second].map((cid) => ({ cid, name: new Uint8Array(), tsize: 1 }))
  assert.deepEqual(await linksIn(CODECS.dagPb, encodeDagPb({ links, data: undefined })), [second, first, second].map(String))
})

test('the links of dag-cbor and dag-json come in the order of the bytes, wherever they stand', async () => {
  const value = { a: first, b: [second, { c: [[third]], d: 'x' }, first], e: { f: second }, '/': 3 }
  for (const [codec, bytes] of [[CODECS.dagCbor, dagCbor.encode(value)], [CODECS.dagJson, dagJson.encode(value)]] as const) {
    assert.deepEqual(await linksIn(codec, bytes), [first, second, third, first, second].map(String))
  }
  assert.deepEqual(await linksIn(CODECS.dagCbor, dagCbor.encode(first)), [first.toString()])
  assert.deepEqual(await linksIn(CODECS.dagJson, dagJson.encode(first)), [first.toString()])
})

/** Trees of links under keys that JavaScript would reorder, rename or hide. */
const anyTree: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(...cids),
    fc.constantFrom<unknown>(null, true, 0, -1, 1.5, '', 'text', '{"/":"x"}', '\\"{', Uint8Array.of(0xd8, 0x2a, 0x41, 0x00)),
    fc.array(tie('tree'), { maxLength: 4 }),
    fc.array(fc.tuple(fc.constantFrom('0', '1', '10', '2', 'a', 'length', '__proto__', '/x', 'bytes', '"', 'ä'), tie('tree')), { maxLength: 4 })
      .map((entries) => new Map(entries))
  )
})).tree

test('in any dag-cbor or dag-json value exactly its links are found, in the order of the bytes', async () => {
  await fc.assert(fc.asyncProperty(anyTree, async (tree) => {
    const cborBytes = dagCbor.encode(tree)
    assert.deepEqual(await linksIn(CODECS.dagCbor, cborBytes), positions(Buffer.from(cborBytes), (cid) => Buffer.concat([Uint8Array.of(0xd8, 0x2a, 0x58, 0x25, 0x00), cid.bytes])))
    const jsonBytes = dagJson.encode(tree)
    assert.deepEqual(await linksIn(CODECS.dagJson, jsonBytes), positions(Buffer.from(jsonBytes), (cid) => Buffer.from(`{"/":"${cid}"}`)))
  }), { numRuns: 1000 })
})

/** All CIDs of the test by where their encoding stands in the bytes. */
function positions (bytes: Buffer, encode: (cid: CID) => Uint8Array): string[] {
  const found: Array<{ at: number, cid: string }> = []
  for (const cid of cids) {
    const encoded = Buffer.from(encode(cid))
    for (let at = bytes.indexOf(encoded); at !== -1; at = bytes.indexOf(encoded, at + 1)) found.push({ at, cid: cid.toString() })
  }
  return found.toSorted((a, b) => a.at - b.at).map(({ cid }) => cid)
}

test('a dag-json link may be spelt with spaces and escapes, and what only looks like one is none', async () => {
  assert.deepEqual(await linksIn(CODECS.dagJson, ` { "\\u002f" :\n"${first}" } `), [first.toString()])
  for (const json of [
    `{"x":"${first}"}`, `["/","${first}"]`, `"{\\"/\\":\\"${first}\\"}"`, '{"/":{"bytes":"aGk"}}', '{"x":"/","y":"z"}', '{}', '[{}]', '""'
  ]) assert.deepEqual(await linksIn(CODECS.dagJson, json), [], json)
})

test('a block whose codec is not read, or has no links, has none', async () => {
  const bytes = dagCbor.encode({ link: first })
  for (const codec of [CODECS.raw, CODECS.cbor, CODECS.json, CODECS.libp2pKey, 0x300000]) assert.deepEqual(await linksIn(codec, bytes), [])
})

test('bytes that are not of the codec of their CID are INVALID', async () => {
  const cases: Array<[number, Uint8Array | string]> = [
    [CODECS.dagCbor, ''], [CODECS.dagCbor, Uint8Array.of(0xff)], [CODECS.dagCbor, Uint8Array.of(0x82, 0x01)],
    [CODECS.dagCbor, Uint8Array.of(0x01, 0x01)], // Bytes after the value.
    [CODECS.dagCbor, Uint8Array.of(0x9f, 0x01, 0xff)], // Indefinite length.
    [CODECS.dagCbor, Uint8Array.of(0x5a, 0x40, 0x00, 0x00, 0x00)], // A gigabyte is announced.
    [CODECS.dagCbor, Uint8Array.of(0xc1, 0x01)], // A tag that is not 42.
    [CODECS.dagCbor, Uint8Array.of(0xd8, 0x2a, 0x42, 0x01, 0x02)], // A link without its leading 0.
    [CODECS.dagCbor, Uint8Array.of(0xd8, 0x2a, 0x01)], // A link that is a number.
    [CODECS.dagCbor, Uint8Array.of(0xf9, 0x7e, 0x00)], // NaN.
    [CODECS.dagJson, ''], [CODECS.dagJson, '{'], [CODECS.dagJson, '{"/":"not a CID"}'], [CODECS.dagJson, `{"/":"${first}","x":1}`],
    [CODECS.dagJson, '{"a":1,"a":2}'], [CODECS.dagJson, '"cut'], [CODECS.dagJson, '"cut\\'],
    [CODECS.dagPb, Uint8Array.of(0xff)]
  ]
  for (const [codec, bytes] of cases) {
    await assert.rejects(linksIn(codec, bytes), (err) => isErrorCode(err, 'INVALID'), `0x${codec.toString(16)} ${Buffer.from(bytes).toString('hex')}`)
  }
})

test('any bytes as any codec give links or a typed error', async () => {
  const hostile = fc.oneof(fc.uint8Array({ maxLength: 60 }), fc.array(fc.constantFrom(0x81, 0xa1, 0x61, 0x5b, 0x7b, 0xd8, 0x2a, 0x22, 0x2f, 0x3a, 0x7d, 0x5d, 0x5c, 0x00), { maxLength: 60 }).map((bytes) => Uint8Array.from(bytes)))
  await fc.assert(fc.asyncProperty(hostile, fc.constantFrom(CODECS.dagCbor, CODECS.dagJson, CODECS.dagPb), async (bytes, codec) => {
    await linksIn(codec, bytes).catch((err: unknown) => { assert.ok(isHoldfastError(err), String(err)) })
  }), { numRuns: 5000 })
})

test('nesting is read down to its limit, and one level more is LIMIT', async () => {
  const cborAt = (depth: number): Uint8Array => Buffer.concat([new Uint8Array(depth).fill(0x81), dagCbor.encode(first)])
  const jsonAt = (depth: number): string => '['.repeat(depth) + '1' + ']'.repeat(depth)
  assert.deepEqual(await linksIn(CODECS.dagCbor, cborAt(MAX_NESTING_DEPTH - 1)), [first.toString()])
  assert.deepEqual(await linksIn(CODECS.dagJson, jsonAt(MAX_NESTING_DEPTH)), [])
  await assert.rejects(linksIn(CODECS.dagCbor, cborAt(MAX_NESTING_DEPTH + 1)), (err) => isErrorCode(err, 'LIMIT'))
  await assert.rejects(linksIn(CODECS.dagJson, jsonAt(MAX_NESTING_DEPTH + 1)), (err) => isErrorCode(err, 'LIMIT'))
  for (const depth of [5000, 2_000_000]) {
    await assert.rejects(linksIn(CODECS.dagCbor, cborAt(depth)), (err) => isErrorCode(err, 'LIMIT'), `${depth}`)
    await assert.rejects(linksIn(CODECS.dagJson, '['.repeat(depth)), (err) => isErrorCode(err, 'LIMIT'), `${depth}`)
    await assert.rejects(linksIn(CODECS.dagJson, '{"a":'.repeat(depth / 5)), (err) => isErrorCode(err, 'LIMIT'), `${depth}`)
  }
})

test('two megabytes of tiny values are LIMIT within a tenth of a second of work', async () => {
  const list = Uint8Array.of(0x9a, 0x00, 0x1f, 0xff, 0xf0)
  const floods: Array<[number, Uint8Array]> = [
    [CODECS.dagCbor, Buffer.concat([list, new Uint8Array(0x1ffff0).fill(0xa0)])],
    [CODECS.dagCbor, Buffer.concat([list, new Uint8Array(0x1ffff0)])],
    [CODECS.dagJson, Buffer.from(`[${'{},'.repeat(690_000)}1]`)],
    [CODECS.dagJson, Buffer.from(`[${'1,'.repeat(1_000_000)}1]`)]
  ]
  for (const [codec, bytes] of floods) {
    const block = await Block.of(bytes, { codec })
    // Time on the processor, and the best of three: neighbours on the machine are not what is tested.
    const costsMs = [1, 2, 3].map(() => {
      const start = threadCpuUsage()
      assert.throws(() => linksOf(block), (err) => isErrorCode(err, 'LIMIT'))
      const { user, system } = threadCpuUsage(start)
      return (user + system) / 1000
    })
    assert.ok(Math.min(...costsMs) < 100, costsMs.join(', '))
  }
})

test('as many values as the limit are read', async () => {
  const head = new DataView(new ArrayBuffer(5))
  head.setUint8(0, 0x9a)
  head.setUint32(1, MAX_ITEM_COUNT - 1)
  const most = Buffer.concat([new Uint8Array(head.buffer), new Uint8Array(MAX_ITEM_COUNT - 1)])
  assert.deepEqual(await linksIn(CODECS.dagCbor, most), [])
})

test('values of the data model are decoded, and other codecs are UNSUPPORTED', async () => {
  const value = { a: [1, -1, 1.5, true, null, 'x', Uint8Array.of(1)], b: first }
  assert.deepEqual(decodeIpld(await Block.of(dagCbor.encode(value), { codec: CODECS.dagCbor })), value)
  assert.deepEqual(decodeIpld(await Block.of(dagJson.encode(value), { codec: CODECS.dagJson })), value)
  const raw = await Block.of(Uint8Array.of(1))
  assert.throws(() => decodeIpld(raw), (err) => isErrorCode(err, 'UNSUPPORTED') && err.details.cid === raw.cid.toString())
})

test('dag-cbor that is no block is decoded within the limits that are given', () => {
  const limits = { maxItemCount: 3, maxNestingDepth: 2 }
  assert.deepEqual(decodeDagCbor(dagCbor.encode([[1]]), limits), [[1]])
  assert.throws(() => decodeDagCbor(dagCbor.encode([1, 2, 3]), limits), (err) => isErrorCode(err, 'LIMIT'))
  assert.throws(() => decodeDagCbor(dagCbor.encode([[[]]]), limits), (err) => isErrorCode(err, 'LIMIT'))
  // A list of 2^32 - 1 values that are not there.
  assert.throws(() => decodeDagCbor(Buffer.from('9affffffff', 'hex')), (err) => isHoldfastError(err))
  assert.throws(() => decodeDagCbor(Buffer.from('ff', 'hex')), (err) => isErrorCode(err, 'INVALID'))
})
