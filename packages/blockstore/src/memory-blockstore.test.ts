import { Block } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { testBlockstore } from './conformance.ts'
import { MemoryBlockstore } from './memory-blockstore.ts'

testBlockstore('MemoryBlockstore', async () => new MemoryBlockstore())

test('a walk ends although blocks are to be deleted on the way, and stay', async () => {
  const store = new MemoryBlockstore()
  await store.putMany([await Block.of(Buffer.from('a')), await Block.of(Buffer.from('b'))])
  let seen = 0
  for await (const cid of store.list()) {
    await store.delete(cid, { when: () => false })
    assert.ok(++seen <= 2)
  }
  assert.equal(seen, 2)
})
