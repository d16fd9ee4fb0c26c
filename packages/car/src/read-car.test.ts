import { CarBlockIterator } from '@ipld/car'
import { encode as encodeDagCbor } from '@ipld/dag-cbor'
import { Block, CODECS, type ErrorCode, HoldfastError, IDENTITY, isErrorCode, isHoldfastError, MAX_BLOCK_BYTES } from '@holdfast/core'
import { fixturePath } from '@holdfast/testkit'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import assert from 'node:assert/strict'
import { createReadStream, globSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { test } from 'node:test'
import { encodeCarHeader, MAX_CAR_HEADER_BYTES, MAX_CAR_ROOTS } from './car-header.ts'
import { type CarReader, MAX_CAR_SECTION_BYTES, readCar } from './read-car.ts'
import { encodeVarint } from './varint.ts'
import { encodeCarSection } from './write-car.ts'

async function * inPieces (bytes: Uint8Array, pieceByteLength: number = bytes.byteLength): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += pieceByteLength) yield bytes.subarray(at, at + pieceByteLength)
}

async function read (bytes: Uint8Array, pieceByteLength?: number): Promise<{ reader: CarReader, blocks: Block[] }> {
  const reader = await readCar(inPieces(bytes, pieceByteLength))
  return { reader, blocks: await Array.fromAsync(reader.blocks) }
}

/** Joins parts of a CAR: blocks become sections. */
function carOf (roots: readonly CID[], ...parts: ReadonlyArray<Block | Uint8Array>): Uint8Array {
  return Uint8Array.from(Buffer.concat([encodeCarHeader(roots), ...parts.flatMap((part) => part instanceof Block ? encodeCarSection(part) : [part])]))
}

function section (cid: Uint8Array, bytes: Uint8Array): Uint8Array {
  return Buffer.concat([encodeVarint(cid.byteLength + bytes.byteLength), cid, bytes])
}

/** A CARv2 around a CARv1: what stands in the header may be made to lie. */
function v2Of (v1: Uint8Array, lies: { padding?: number, dataOffset?: number, dataByteLength?: number, index?: Uint8Array } = {}): Uint8Array {
  const { padding = 0, index = new Uint8Array() } = lies
  const { dataOffset = 51 + padding, dataByteLength = v1.byteLength } = lies
  const fixed = new DataView(new ArrayBuffer(40))
  fixed.setBigUint64(16, BigInt(dataOffset), true)
  fixed.setBigUint64(24, BigInt(dataByteLength), true)
  fixed.setBigUint64(32, BigInt(dataOffset + dataByteLength), true)
  const pragma = Buffer.concat([encodeVarint(10), encodeDagCbor({ version: 2 })])
  return Buffer.concat([pragma, new Uint8Array(fixed.buffer), new Uint8Array(padding), v1, index])
}

function fails (code: ErrorCode, byteOffset: number, blockCount?: number): (err: unknown) => boolean {
  return (err) => {
    assert.ok(isErrorCode(err, code), String(err))
    assert.equal(err.details.byteOffset, byteOffset, 'byteOffset')
    if (blockCount !== undefined) assert.equal(err.details.blockCount, blockCount, 'blockCount')
    return true
  }
}

function shown (blocks: ReadonlyArray<{ cid: { toString: () => string }, bytes: Uint8Array }>): string[] {
  return blocks.map(({ cid, bytes }) => `${cid} ${Buffer.from(bytes).toString('hex')}`)
}

const blocks = await Promise.all([
  Block.of(Uint8Array.of(1, 2, 3)),
  Block.of(new Uint8Array()),
  Block.of(Uint8Array.of(0x0a, 0x02, 0x08, 0x01), { codec: CODECS.dagPb, version: 0 }),
  Block.of(new Uint8Array(300).fill(7), { hash: 0x13 }),
  Block.of(Uint8Array.of(9), { hash: IDENTITY })
])
const [first, second] = blocks
assert.ok(first !== undefined && second !== undefined)
const roots = [first.cid, second.cid]
const good = carOf(roots, ...blocks)
const headerByteLength = encodeCarHeader(roots).byteLength

/** Where each section begins, and where the last one ends. */
const boundaries = [0, ...blocks.keys().map((index) => index + 1)].map((count) => carOf(roots, ...blocks.slice(0, count)).byteLength)

test('a CAR is read whatever the pieces in which it comes', async () => {
  for (const pieceByteLength of [1, 2, 7, 64, good.byteLength]) {
    const { reader, blocks: found } = await read(good, pieceByteLength)
    assert.equal(reader.version, 1)
    assert.deepEqual(reader.roots.map(String), roots.map(String))
    assert.deepEqual(shown(found), shown(blocks))
  }
})

test('pieces without bytes are passed over', async () => {
  async function * withGaps (): AsyncGenerator<Uint8Array> {
    for await (const piece of inPieces(good, 10)) {
      yield new Uint8Array()
      yield piece
    }
  }
  assert.equal((await Array.fromAsync((await readCar(withGaps())).blocks)).length, blocks.length)
})

const fixtureFolder = dirname(fixturePath('README.md'))
for (const name of globSync('**/*.car', { cwd: fixtureFolder })) {
  test(`${name} is read as @ipld/car reads it`, async () => {
    const path = fixturePath(name)
    const reader = await readCar(createReadStream(path, { highWaterMark: 1000 }))
    const oracle = await CarBlockIterator.fromIterable(inPieces(await readFile(path)))
    assert.deepEqual(reader.roots.map(String), (await oracle.getRoots()).map(String))
    assert.deepEqual(shown(await Array.fromAsync(reader.blocks)), shown(await Array.fromAsync(oracle)))
  })
}

test('a CARv2 holds the same blocks as its CARv1', async () => {
  const [v1, v2] = await Promise.all(['kubo/TestDagStat.car', 'kubo/TestDagStatCARv2.car'].map(async (name) => await read(await readFile(fixturePath(name)))))
  assert.equal(v2?.reader.version, 2)
  assert.deepEqual(shown(v2.blocks), shown(v1?.blocks ?? []))
})

test('of a CARv2 the padding is passed over and the index is not read', async () => {
  for (const car of [v2Of(good), v2Of(good, { padding: 1413 }), v2Of(good, { index: new Uint8Array(100).fill(0xff) })]) {
    for (const pieceByteLength of [1, 1000, undefined]) {
      const { reader, blocks: found } = await read(car, pieceByteLength)
      assert.equal(reader.version, 2)
      assert.deepEqual(shown(found), shown(blocks))
    }
  }
})

test('a CARv2 whose payload cannot be where it says is INVALID', async () => {
  for (const lie of [{ dataOffset: 50 }, { dataOffset: 0 }, { dataByteLength: 2 ** 53 }, { dataOffset: 2 ** 60 }]) {
    await assert.rejects(read(v2Of(good, lie)), fails('INVALID', 11), JSON.stringify(lie))
  }
  await assert.rejects(read(v2Of(v2Of(good))), fails('INVALID', 51), 'a CARv2 in a CARv2')
  await assert.rejects(read(v2Of(good, { dataOffset: 10_000 })), fails('INVALID', 11), 'beyond the file')
  await assert.rejects(read(v2Of(good).subarray(0, 30)), fails('INVALID', 11), 'cut inside the fixed header')
})

test('a CARv2 that ends before its payload does is INVALID, also between two sections', async () => {
  const car = v2Of(good, { index: new Uint8Array(10) })
  await assert.rejects(read(car.subarray(0, 51 + (boundaries[2] ?? 0))), fails('INVALID', 51 + (boundaries[2] ?? 0), 2))
  await assert.rejects(read(v2Of(good, { dataByteLength: (boundaries[2] ?? 0) - 1 })), fails('INVALID', 51 + (boundaries[1] ?? 0), 1))
  const whole = await read(v2Of(good, { dataByteLength: boundaries[2] ?? 0 }))
  assert.equal(whole.blocks.length, 2, 'what lies after the payload is none of it')
})

test('T2.7-a: a CAR cut at any byte yields the blocks before the cut, and says where and after how many', async () => {
  for (let cut = 0; cut < good.byteLength; cut++) {
    const found: Block[] = []
    const reading = (async () => {
      for await (const block of (await readCar(inPieces(good.subarray(0, cut)))).blocks) found.push(block)
    })()
    const sectionIndex = boundaries.findLastIndex((start) => start <= cut)
    if (sectionIndex === -1) await assert.rejects(reading, fails('INVALID', 0))
    else if (boundaries[sectionIndex] === cut) await reading
    else await assert.rejects(reading, fails('INVALID', boundaries[sectionIndex] ?? 0, sectionIndex))
    assert.deepEqual(shown(found), shown(blocks.slice(0, Math.max(0, sectionIndex))), `cut at ${cut}`)
  }
})

test('T2.7-b: a header with any bit flipped is read or refused with a typed error', async () => {
  for (let bit = 0; bit < headerByteLength * 8; bit++) {
    const flipped = Uint8Array.from(good)
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    await read(flipped).catch((err: unknown) => { assert.ok(isHoldfastError(err), `bit ${bit}: ${String(err)}`) })
  }
})

test('a CAR with any byte changed never yields a block that is not what its CID says', async () => {
  await fc.assert(fc.asyncProperty(fc.nat(good.byteLength - 1), fc.integer({ min: 1, max: 255 }), async (at, mask) => {
    const changed = Uint8Array.from(good)
    changed[at] = (changed[at] ?? 0) ^ mask
    try {
      for (const { cid, bytes } of (await read(changed)).blocks) await Block.verify(cid, bytes)
    } catch (err) {
      assert.ok(isHoldfastError(err) && err.code !== 'NOT_FOUND', String(err))
    }
  }), { numRuns: 2000 })
})

test('T2.7-c: a block that is there a thousand times is yielded a thousand times', async () => {
  const { blocks: found } = await read(carOf([first.cid], ...Array.from({ length: 1000 }, () => first)))
  assert.equal(found.length, 1000)
  assert.deepEqual(new Set(shown(found)), new Set(shown([first])))
})

test('T2.7-d: a length that is padded or too long is refused', async () => {
  const [head, bytes] = encodeCarSection(first)
  assert.ok(head !== undefined && bytes !== undefined && head[0] !== undefined)
  const padded = Buffer.concat([Uint8Array.of(head[0] | 0x80, 0x00), head.subarray(1), bytes])
  await assert.rejects(read(carOf(roots, second, padded)), fails('INVALID', boundaryAfter(second), 1))
  await assert.rejects(read(Buffer.concat([Uint8Array.of((good[0] ?? 0) | 0x80, 0x00), good.subarray(1)])), fails('INVALID', 0))
  await assert.rejects(read(carOf(roots, Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0x80, 0x01))), fails('LIMIT', headerByteLength, 0))
})

test('a section whose CID is padded, malformed or missing is INVALID', async () => {
  const cid = first.cid.bytes
  const sections = {
    'padded version': section(Buffer.concat([Uint8Array.of(0x81, 0x00), cid.subarray(1)]), first.bytes),
    'padded codec': section(Buffer.concat([Uint8Array.of(0x01, 0xd5, 0x00), cid.subarray(2)]), first.bytes),
    'version 2': section(Buffer.concat([Uint8Array.of(0x02), cid.subarray(1)]), first.bytes),
    'version 0 with a short digest': section(Buffer.concat([Uint8Array.of(0x12, 0x14), cid.subarray(4, 24)]), first.bytes),
    'digest longer than the section': section(cid.subarray(0, 20), new Uint8Array()),
    'digest too short to trust': section(CID.createV1(CODECS.raw, createDigest(0x12, cid.subarray(4, 12))).bytes, first.bytes),
    'identity above its limit': section(CID.createV1(CODECS.raw, createDigest(IDENTITY, new Uint8Array(129))).bytes, new Uint8Array(129)),
    'no CID': section(new Uint8Array(), new Uint8Array()),
    'zeros': section(new Uint8Array(3), new Uint8Array())
  }
  for (const [name, bytes] of Object.entries(sections)) {
    await assert.rejects(read(carOf(roots, second, bytes)), fails('INVALID', boundaryAfter(second), 1), name)
  }
})

test('T2.7-e: a root that is not in the file is still a root', async () => {
  const { reader, blocks: found } = await read(carOf([first.cid], second))
  assert.deepEqual(reader.roots.map(String), [first.cid.toString()])
  assert.deepEqual(shown(found), shown([second]))
})

test('T2.7-f: a declared length beyond the limits is refused before the bytes are asked for', async () => {
  const tenGigabytes = encodeVarint(10 * 2 ** 30)
  await assert.rejects(read(carOf(roots, first, tenGigabytes)), fails('LIMIT', boundaryAfter(first), 1))
  await assert.rejects(read(carOf(roots, encodeVarint(MAX_CAR_SECTION_BYTES + 1))), fails('LIMIT', headerByteLength, 0))

  let pulledByteLength = 0
  async function * endless (): AsyncGenerator<Uint8Array> {
    yield encodeVarint(2 ** 31)
    for (;;) {
      pulledByteLength += 1000
      yield new Uint8Array(1000)
    }
  }
  await assert.rejects(readCar(endless()), fails('LIMIT', 0))
  assert.equal(pulledByteLength, 0)
})

test('T2.7-g: bytes that are not those of their CID are CORRUPT, with the CID and the place', async () => {
  await assert.rejects(read(carOf(roots, second, section(first.cid.bytes, Uint8Array.of(3, 2, 1)))), (err) => {
    assert.ok(err instanceof HoldfastError)
    assert.equal(err.details.cid, first.cid.toString())
    return fails('CORRUPT', boundaryAfter(second), 1)(err)
  })
})

test('the longest block is read, one byte more is LIMIT', async () => {
  const longest = await Block.of(new Uint8Array(MAX_BLOCK_BYTES))
  const { blocks: found } = await read(carOf([longest.cid], longest), 100_000)
  assert.equal(found[0]?.bytes.byteLength, MAX_BLOCK_BYTES)
  await assert.rejects(read(carOf([], section(longest.cid.bytes, new Uint8Array(MAX_BLOCK_BYTES + 1)))), fails('LIMIT', encodeCarHeader([]).byteLength, 0))
})

test('a hash that cannot be checked is UNSUPPORTED', async () => {
  const cid = CID.createV1(CODECS.raw, createDigest(0x300000, new Uint8Array(32)))
  await assert.rejects(read(carOf([cid], section(cid.bytes, Uint8Array.of(1)))), fails('UNSUPPORTED', encodeCarHeader([cid]).byteLength, 0))
})

test('headers that are none are refused', async () => {
  const header = (value: unknown): Uint8Array => {
    const bytes = encodeDagCbor(value)
    return Buffer.concat([encodeVarint(bytes.byteLength), bytes])
  }
  const headers: Array<[ErrorCode, string, Uint8Array]> = [
    ['INVALID', 'nothing', new Uint8Array()],
    ['INVALID', 'length zero', Uint8Array.of(0)],
    ['INVALID', 'no DAG-CBOR', Uint8Array.of(2, 0xff, 0xff)],
    ['INVALID', 'a number', header(1)],
    ['INVALID', 'a list', header([])],
    ['INVALID', 'a CID', header(first.cid)],
    ['INVALID', 'no roots', header({ version: 1 })],
    ['INVALID', 'roots that are no list', header({ version: 1, roots: first.cid })],
    ['INVALID', 'a root that is no CID', header({ version: 1, roots: ['x'] })],
    ['INVALID', 'another field', header({ version: 1, roots: [], extra: 1 })],
    ['INVALID', 'roots in a CARv2 header', header({ version: 2, roots: [] })],
    ['UNSUPPORTED', 'version 3', header({ version: 3, roots: [] })],
    ['UNSUPPORTED', 'no version', header({ roots: [] })],
    ['LIMIT', 'nesting', Buffer.concat([encodeVarint(5000), new Uint8Array(5000).fill(0x81)])],
    ['LIMIT', 'too long', encodeVarint(MAX_CAR_HEADER_BYTES + 1)]
  ]
  for (const [code, name, bytes] of headers) await assert.rejects(read(bytes), fails(code, 0), name)
})

test('more roots than are written are not read', async () => {
  const most = Array.from({ length: MAX_CAR_ROOTS }, () => first.cid)
  assert.equal((await read(encodeCarHeader(most))).reader.roots.length, MAX_CAR_ROOTS)
  const bytes = encodeDagCbor({ version: 1, roots: [...most, first.cid] })
  await assert.rejects(read(Buffer.concat([encodeVarint(bytes.byteLength), bytes])), (err) => isErrorCode(err, 'LIMIT'))
})

test('no more is pulled than the section that is being read, and the source is closed when the walk ends early', async () => {
  const many = await Promise.all(Array.from({ length: 100 }, (_, index) => Block.of(new Uint8Array(1000).fill(index))))
  let pulledByteLength = 0
  let isClosed = false
  async function * counted (): AsyncGenerator<Uint8Array> {
    try {
      for await (const piece of inPieces(carOf([], ...many), 100)) {
        pulledByteLength += piece.byteLength
        yield piece
      }
    } finally {
      isClosed = true
    }
  }
  const { blocks: walk } = await readCar(counted())
  let readCount = 0
  for await (const _ of walk) {
    readCount++
    assert.ok(pulledByteLength <= encodeCarHeader([]).byteLength + readCount * 1100 + 100, `${pulledByteLength} bytes pulled for ${readCount} blocks`)
    if (readCount === 10) break
  }
  assert.equal(isClosed, true)
})

test('the source is closed when the header is refused, and its own failure passes as it is', async () => {
  let isClosed = false
  async function * none (): AsyncGenerator<Uint8Array> {
    try {
      yield new Uint8Array(100)
    } finally {
      isClosed = true
    }
  }
  await assert.rejects(readCar(none()), (err) => isErrorCode(err, 'INVALID'))
  assert.equal(isClosed, true)

  const failure = new Error('connection lost')
  async function * failing (): AsyncGenerator<Uint8Array> {
    yield good.subarray(0, (boundaries[1] ?? 0) + 5)
    throw failure
  }
  const found: Block[] = []
  await assert.rejects(async () => {
    for await (const block of (await readCar(failing())).blocks) found.push(block)
  }, (err) => err === failure)
  assert.deepEqual(shown(found), shown([first]))
})

test('a reader that waits for a source that hangs ends with the reason', { timeout: 10_000 }, async () => {
  const reason = new Error('changed my mind')
  async function * hanging (byteLength: number): AsyncGenerator<Uint8Array> {
    yield good.subarray(0, byteLength)
    await new Promise(() => {})
  }
  const inHeader = new AbortController()
  const reading = readCar(hanging(10), { signal: inHeader.signal })
  setImmediate(() => { inHeader.abort(reason) })
  await assert.rejects(reading, (err) => err === reason)

  const inBlocks = new AbortController()
  const { blocks: walk } = await readCar(hanging((boundaries[1] ?? 0) + 5), { signal: inBlocks.signal })
  setImmediate(() => { inBlocks.abort(reason) })
  await assert.rejects(Array.fromAsync(walk), (err) => err === reason)

  await assert.rejects(readCar(inPieces(good), { signal: AbortSignal.abort(reason) }), (err) => err === reason)
})

function boundaryAfter (block: Block): number {
  return carOf(roots, block).byteLength
}
