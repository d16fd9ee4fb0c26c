import { CarWriter } from '@ipld/car'
import { Block, CODECS, IDENTITY, isErrorCode } from '@holdfast/core'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeCarHeader, MAX_CAR_ROOTS } from './car-header.ts'
import { readCar } from './read-car.ts'
import { encodeCarSection, writeCar } from './write-car.ts'

async function * asStream<T> (items: Iterable<T>): AsyncGenerator<T> {
  yield * items
}

/** Blocks of every kind: any codec, the hashes in use, lengths around the steps of a varint. */
const anyBlock = fc.record({
  bytes: fc.uint8Array({ maxLength: 300 }),
  codec: fc.constantFrom<number>(...Object.values(CODECS), 0x300001),
  hash: fc.constantFrom(0x12, 0x13, 0x1e, 0xb220, IDENTITY)
}).map(({ bytes, codec, hash }) => ({ bytes: hash === IDENTITY ? bytes.subarray(0, 128) : bytes, codec, hash }))

test('what we write is what @ipld/car writes, byte for byte, and reads back as it was', async () => {
  await fc.assert(fc.asyncProperty(fc.array(anyBlock, { maxLength: 8 }), fc.nat(8), fc.integer({ min: 1, max: 700 }), async (given, rootCount, pieceByteLength) => {
    const blocks = await Promise.all(given.map(({ bytes, codec, hash }) => Block.of(bytes, { codec, hash })))
    const roots = blocks.slice(0, rootCount).map(({ cid }) => cid)
    const ours = Buffer.concat(await Array.fromAsync(writeCar(roots, asStream(blocks))))

    const { writer, out } = CarWriter.create(roots)
    const writing = Promise.all([...blocks.map(({ cid, bytes }) => writer.put({ cid, bytes })), writer.close()])
    const theirs = Buffer.concat(await Array.fromAsync(out))
    await writing
    assert.equal(Buffer.compare(ours, theirs), 0)

    const pieces = Array.from({ length: Math.ceil(ours.byteLength / pieceByteLength) }, (_, index) => ours.subarray(index * pieceByteLength, (index + 1) * pieceByteLength))
    const reader = await readCar(asStream(pieces))
    assert.deepEqual(reader.roots.map(String), roots.map(String))
    const found = await Array.fromAsync(reader.blocks)
    assert.deepEqual(found.map(({ cid }) => cid.toString()), blocks.map(({ cid }) => cid.toString()))
    for (const [index, { bytes }] of found.entries()) assert.equal(Buffer.compare(bytes, blocks[index]?.bytes ?? Buffer.from('?')), 0)
  }), { numRuns: 500 })
})

test('the bytes of a block are handed on, not copied', async () => {
  const block = await Block.of(new Uint8Array(1000))
  assert.equal(encodeCarSection(block)[1], block.bytes)
})

test('short blocks come together, long ones as they are', async () => {
  const long = await Block.of(new Uint8Array(100_000))
  const short = await Promise.all(Array.from({ length: 1000 }, (_, index) => Block.of(new Uint8Array(1000).fill(index))))
  const pieces = await Array.fromAsync(writeCar([], asStream([long, ...short, long])))
  assert.equal(pieces.filter((piece) => piece === long.bytes).length, 2)
  assert.ok(pieces.length < 10, `${pieces.length} pieces`)
  assert.ok(pieces.every(({ byteLength }) => byteLength <= 256 * 1024))
  const { blocks } = await readCar(asStream(pieces))
  assert.deepEqual((await Array.fromAsync(blocks)).map(({ cid }) => cid.toString()), [long, ...short, long].map(({ cid }) => cid.toString()))
})

test('a CAR without roots or blocks is one', async () => {
  const reader = await readCar(writeCar([], asStream([])))
  assert.deepEqual([reader.roots, await Array.fromAsync(reader.blocks)], [[], []])
})

test('more roots than are read are not written', async () => {
  const { cid } = await Block.of(new Uint8Array())
  const most = Array.from({ length: MAX_CAR_ROOTS }, () => cid)
  assert.ok(encodeCarHeader(most).byteLength > MAX_CAR_ROOTS * cid.bytes.byteLength)
  assert.throws(() => encodeCarHeader([...most, cid]), (err) => isErrorCode(err, 'LIMIT'))
})

test('a failure of the blocks ends the CAR with that failure', async () => {
  const failure = new Error('block lost')
  async function * failing (): AsyncGenerator<Block> {
    yield await Block.of(new Uint8Array(100_000))
    throw failure
  }
  const pieces: Uint8Array[] = []
  await assert.rejects(async () => {
    for await (const piece of writeCar([], failing())) pieces.push(piece)
  }, (err) => err === failure)
  assert.equal(pieces.length, 2)
})
