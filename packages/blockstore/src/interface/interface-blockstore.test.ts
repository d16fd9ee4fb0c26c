import { Block, isErrorCode, MAX_BLOCK_BYTES } from '@holdfast/core'
import { MemoryBlockstore as HeliaMemoryBlockstore } from 'blockstore-core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testBlockstore } from '../conformance.ts'
import { MemoryBlockstore } from '../memory-blockstore.ts'
import { adoptBlockstore } from './adopted-blockstore.ts'
import { interfaceBlockstore } from './interface-blockstore.ts'

testBlockstore('blockstore-core in memory, adopted', async () => adoptBlockstore(new HeliaMemoryBlockstore()))

testBlockstore('MemoryBlockstore, there and back', async () => adoptBlockstore(interfaceBlockstore(new MemoryBlockstore())))

test('a store in the shape of interface-blockstore takes bytes in pieces and gives them out', async () => {
  const store = interfaceBlockstore(new MemoryBlockstore())
  const blocks = await Promise.all(['one', 'two', 'three'].map(async (text) => await Block.of(Buffer.from(text))))
  const pairs = blocks.map(({ cid, bytes }) => ({ cid, bytes: [bytes.subarray(0, 1), bytes.subarray(1)] }))
  assert.equal((await Array.fromAsync(store.putMany(pairs))).length, 3)
  for await (const { cid, bytes } of store.getMany(blocks.map(({ cid }) => cid))) {
    assert.deepEqual(Buffer.concat(await Array.fromAsync(bytes)), Buffer.from(blocks.find((block) => block.cid === cid)?.bytes ?? []))
  }
  assert.equal((await Array.fromAsync(store.getAll())).length, 3)
  await Array.fromAsync(store.deleteMany(blocks.slice(1).map(({ cid }) => cid)))
  assert.equal((await Array.fromAsync(store.getAll())).length, 1)
})

test('absence is an error that Helia knows, and wrong or endless bytes are refused', async () => {
  const store = interfaceBlockstore(new MemoryBlockstore())
  const { cid } = await Block.of(Buffer.from('one'))
  await assert.rejects(Array.fromAsync(store.get(cid)), (err) => err instanceof Error && err.name === 'NotFoundError')
  await assert.rejects(async () => await store.put(cid, Buffer.from('two')), (err) => isErrorCode(err, 'CORRUPT'))
  function * endless (): Generator<Uint8Array> { for (;;) yield new Uint8Array(MAX_BLOCK_BYTES / 4) }
  await assert.rejects(async () => await store.put(cid, endless()), (err) => isErrorCode(err, 'LIMIT'))
  assert.equal(await store.has(cid), false)
})

test('an adopted store that fails is unavailable, and gives out no wrong bytes', async () => {
  const theirs = new HeliaMemoryBlockstore()
  const [one, two] = await Promise.all([Block.of(Buffer.from('one')), Block.of(Buffer.from('two'))])
  theirs.put(one.cid, two.bytes)
  await assert.rejects(adoptBlockstore(theirs).get(one.cid), (err) => isErrorCode(err, 'CORRUPT'))
  const broken = Object.assign(new HeliaMemoryBlockstore(), { has: () => { throw new Error('out of order') } })
  await assert.rejects(adoptBlockstore(broken).has(one.cid), (err) => isErrorCode(err, 'UNAVAILABLE'))
})
