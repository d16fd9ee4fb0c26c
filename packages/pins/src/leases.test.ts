import { MemoryBlockstore } from '@holdfast/blockstore'
import { Block, CODECS, isErrorCode } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LeaseBook, leasedReader, leasedWriter } from './leases.ts'

const block = await Block.of(Uint8Array.of(1))
const other = await Block.of(Uint8Array.of(2))

test('a lease protects its blocks under any CID with their multihash, until it is let go', () => {
  const leases = new LeaseBook()
  const lease = leases.open('test')
  assert.ok(!leases.isProtected(block.cid))
  lease.protect(block.cid)
  assert.ok(leases.isProtected(CID.createV1(CODECS.dagPb, block.cid.multihash)))
  assert.ok(!leases.isProtected(other.cid))
  lease[Symbol.dispose]()
  assert.ok(!leases.isProtected(block.cid))
})

test('a block under two leases is protected until both are let go', () => {
  const leases = new LeaseBook()
  const [first, second] = [leases.open('first'), leases.open('second')]
  first.protect(block.cid)
  second.protect(block.cid)
  first[Symbol.dispose]()
  first[Symbol.dispose]()
  assert.ok(leases.isProtected(block.cid))
  second[Symbol.dispose]()
  assert.ok(!leases.isProtected(block.cid))
})

test('a lease let go during a collection protects until the collection ends', () => {
  const leases = new LeaseBook()
  const collection = leases.beginCollection()
  const lease = leases.open('test')
  lease.protect(block.cid)
  lease[Symbol.dispose]()
  assert.ok(leases.isProtected(block.cid))
  collection[Symbol.dispose]()
  assert.ok(!leases.isProtected(block.cid))
})

test('a second collection is refused while one runs', () => {
  const leases = new LeaseBook()
  const collection = leases.beginCollection()
  assert.throws(() => leases.beginCollection(), (err) => isErrorCode(err, 'UNAVAILABLE'))
  collection[Symbol.dispose]()
  leases.beginCollection()[Symbol.dispose]()
})

test('a lease that was let go protects nothing more, and says so', () => {
  const leases = new LeaseBook()
  const lease = leases.open('add big.iso')
  lease[Symbol.dispose]()
  assert.throws(() => { lease.protect(block.cid) }, /add big\.iso was let go/)
})

test('holding a block waits for a removal that began before, and not for one that ended', async () => {
  const leases = new LeaseBook()
  using collection = leases.beginCollection()
  using lease = leases.open('test')
  const removal = collection.beginRemoval(block.cid)
  let held = false
  const holding = lease.hold(block.cid).then(() => { held = true; return held })
  await lease.hold(other.cid)
  assert.ok(leases.isProtected(block.cid), 'protected at once')
  assert.equal(held, false)
  removal[Symbol.dispose]()
  await holding
  await lease.hold(block.cid)
})

test('a leased writer protects blocks before they touch the store, and also when the store fails', async () => {
  const leases = new LeaseBook()
  using lease = leases.open('test')
  const seen: boolean[] = []
  const writer = leasedWriter({
    put: async ({ cid }) => {
      seen.push(leases.isProtected(cid))
      throw new Error('no')
    },
    putMany: async (blocks) => { seen.push(...blocks.map(({ cid }) => leases.isProtected(cid))) }
  }, lease)
  await assert.rejects(writer.put(block))
  await writer.putMany([block, other])
  assert.deepEqual(seen, [true, true, true])
  assert.ok(leases.isProtected(block.cid))
})

test('a leased reader protects what is asked for, stored or not', async () => {
  const leases = new LeaseBook()
  using lease = leases.open('test')
  const blocks = new MemoryBlockstore()
  await blocks.put(block)
  const reader = leasedReader(blocks, lease)
  assert.deepEqual((await reader.get(block.cid))?.bytes, block.bytes)
  assert.equal(await reader.has(other.cid), false)
  assert.ok(leases.isProtected(block.cid) && leases.isProtected(other.cid))
})

test('the open leases are listed with their reasons', () => {
  const leases = new LeaseBook()
  using first = leases.open('add big.iso')
  using _second = leases.open('pin bafy')
  first.protect(block.cid)
  first.protect(block.cid)
  first.protect(other.cid)
  assert.deepEqual(leases.list(), [{ reason: 'add big.iso', blockCount: 2 }, { reason: 'pin bafy', blockCount: 0 }])
})

test('a window protects as many blocks as it may, those that were used last, until it is cleared or let go', () => {
  const leases = new LeaseBook()
  const window = leases.openWindow({ maxBlocks: 1 })
  window.protect(block.cid)
  window.protect(block.cid)
  assert.ok(leases.isProtected(block.cid))
  window.protect(other.cid)
  assert.deepEqual([leases.isProtected(block.cid), leases.isProtected(other.cid)], [false, true])
  window.clear()
  assert.ok(!leases.isProtected(other.cid))
  window.protect(other.cid)
  window[Symbol.dispose]()
  assert.ok(!leases.isProtected(other.cid))
})

test('whoever holds a block waits for every removal of it that runs, whichever ends first', async () => {
  const leases = new LeaseBook()
  const [first, second] = [leases.beginRemoval(block.cid), leases.beginRemoval(block.cid)]
  let isHeld = false
  using lease = leases.open('test')
  const held = lease.hold(block.cid).then(() => { isHeld = true })
  second[Symbol.dispose]()
  await new Promise((resolve) => setImmediate(resolve))
  assert.ok(!isHeld)
  first[Symbol.dispose]()
  await held
})

test('the end of a lease and of a collection is told', () => {
  const leases = new LeaseBook()
  let count = 0
  leases.onRelease(() => { count++ })
  leases.open('test')[Symbol.dispose]()
  leases.beginCollection()[Symbol.dispose]()
  assert.equal(count, 2)
})
