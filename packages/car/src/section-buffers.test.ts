import { Block } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readCar } from './read-car.ts'
import { SectionBuffers } from './section-buffers.ts'
import { writeCar } from './write-car.ts'

async function * asStream<T> (items: Iterable<T>): AsyncGenerator<T> {
  yield * items
}

/** Lengths around the steps of the buffers, and the longest block there may be. */
const BYTE_LENGTHS = [0, 1, 32_767, 32_768, 65_536, 1_048_576, 1_048_577, 2 * 1_048_576]

async function blocksOf (): Promise<Block[]> {
  return await Promise.all(BYTE_LENGTHS.map((byteLength, index) => Block.of(new Uint8Array(byteLength).fill(index))))
}

test('memory that was given back is used again, once, for sections of about that length', () => {
  const buffers = new SectionBuffers()
  const section = buffers.take(1_048_576 + 38)
  buffers.give(section.subarray(38))
  buffers.give(section.subarray(38))
  const [again, other] = [buffers.take(1_000_000), buffers.take(1_000_000)]
  assert.equal(again.buffer, section.buffer)
  assert.notEqual(other.buffer, section.buffer)
  assert.ok(section.buffer.byteLength < 1_048_576 * 1.01, 'a block of a power of two takes hardly more than that')
  buffers.give(new Uint8Array(1_048_576))
  assert.notEqual(buffers.take(1_048_576).buffer.byteLength, 1_048_576, 'memory of others is not taken')
})

for (const pieceByteLength of [1000, 100_000, Infinity]) {
  test(`blocks that are copied out of reused pieces of ${pieceByteLength} bytes, into reused memory, are whole while they are held`, async () => {
    const blocks = [...await blocksOf(), ...await blocksOf()]
    const car = Buffer.concat(await Array.fromAsync(writeCar([], asStream(blocks))))
    const piece = Buffer.alloc(Math.min(pieceByteLength, car.byteLength))
    async function * reusing (): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < car.byteLength; at += piece.byteLength) yield piece.subarray(0, car.copy(piece, 0, at))
    }
    const memory = new SectionBuffers()
    const { blocks: walk } = await readCar(reusing(), { memory })
    const held: Block[] = []
    const cids: string[] = []
    for await (const block of walk) {
      held.push(block)
      cids.push(block.cid.toString())
      if (held.length < 3) continue
      const oldest = held.shift()
      assert.ok(oldest !== undefined)
      await Block.verify(oldest.cid, oldest.bytes)
      memory.give(oldest.bytes)
    }
    for (const { cid, bytes } of held) await Block.verify(cid, bytes)
    assert.deepEqual(cids, blocks.map(({ cid }) => cid.toString()))
  })
}

test('a CID outlives the memory of its block', async () => {
  const [block] = (await blocksOf()).slice(-1)
  assert.ok(block !== undefined)
  const memory = new SectionBuffers()
  const { blocks } = await readCar(writeCar([], asStream([block])), { memory })
  for await (const { cid, bytes } of blocks) {
    bytes.fill(0xff)
    new Uint8Array(bytes.buffer).fill(0xff)
    assert.equal(cid.toString(), block.cid.toString())
  }
})
