import { Block } from '@holdfast/core'
import { countingBlockstore } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Blockstore } from './blockstore.ts'
import { cachedBlockstore } from './cached-blockstore.ts'
import { testBlockstore } from './conformance.ts'
import { MemoryBlockstore } from './memory-blockstore.ts'

testBlockstore('cachedBlockstore', async () => cachedBlockstore(new MemoryBlockstore()))
testBlockstore('cachedBlockstore without room', async () => cachedBlockstore(new MemoryBlockstore(), { maxBytes: 0 }))

async function filled (count: number, byteLength: number): Promise<{ store: Blockstore, blocks: Block[] }> {
  const store = new MemoryBlockstore()
  const blocks = await Promise.all(Array.from({ length: count }, async (_, index) => await Block.of(new Uint8Array(byteLength).fill(index))))
  await store.putMany(blocks)
  return { store, blocks }
}

test('a block that was read is not read again, and comes with the CID that was asked for', async () => {
  const { store, blocks: [block] } = await filled(1, 100)
  assert.ok(block)
  const { store: counting, counts } = countingBlockstore(store)
  const cached = cachedBlockstore(counting)
  const other = (await Block.of(block.bytes, { codec: 0x70 })).cid
  for (const cid of [block.cid, other, block.cid]) assert.ok((await cached.get(cid))?.cid.equals(cid))
  assert.equal(counts.get, 1)
})

test('the block that was not read for longest goes first, and long blocks are not kept', async () => {
  const { store, blocks } = await filled(4, 1000)
  const { store: counting, counts } = countingBlockstore(store)
  const cached = cachedBlockstore(counting, { maxBytes: 2 * (1000 + 512), maxBlockBytes: 1000 })
  const read = async (...indexes: number[]): Promise<void> => { for (const index of indexes) await cached.get(blocks[index]?.cid ?? assert.fail()) }
  await read(0, 1, 0, 2)
  assert.equal(counts.get, 3)
  await read(0, 2)
  assert.equal(counts.get, 3)
  await read(1)
  assert.equal(counts.get, 4)

  const long = await filled(1, 1001)
  const { store: longCounting, counts: longCounts } = countingBlockstore(long.store)
  const longCached = cachedBlockstore(longCounting, { maxBlockBytes: 1000 })
  for (let turn = 0; turn < 2; turn++) await longCached.get(long.blocks[0]?.cid ?? assert.fail())
  assert.equal(longCounts.get, 2)
})

test('a block that is deleted while it is read is not kept', async () => {
  const { store, blocks: [block] } = await filled(1, 100)
  assert.ok(block)
  const { promise: isReading, resolve: reading } = Promise.withResolvers<void>()
  const { promise: mayReturn, resolve: release } = Promise.withResolvers<void>()
  const slow: Blockstore = Object.assign(Object.create(store) as Blockstore, {
    get: async (cid: Block['cid']) => {
      const found = await store.get(cid)
      reading()
      await mayReturn
      return found
    },
    delete: async (cid: Block['cid']) => await store.delete(cid)
  })
  const cached = cachedBlockstore(slow)
  const got = cached.get(block.cid)
  await isReading
  assert.equal(await cached.delete(block.cid), true)
  release()
  await got
  assert.equal(await cached.get(block.cid), undefined)
})
