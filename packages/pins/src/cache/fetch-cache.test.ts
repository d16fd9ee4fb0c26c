import { type Blockstore, MemoryBlockstore } from '@holdfast/blockstore'
import { testBlockstore } from '@holdfast/blockstore/conformance'
import { Block, CODECS, HoldfastError, isErrorCode } from '@holdfast/core'
import { encode } from '@ipld/dag-cbor'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { collectGarbage } from '../collect.ts'
import { openJournal } from '../journal/journal.ts'
import { LeaseBook, leasedWriter } from '../leases.ts'
import { pinDag } from '../pinning.ts'
import { openPinSet, type PinSet } from '../pin-set.ts'
import type { References } from '../references/references.ts'
import { scratchReferences } from '../references/scratch-references.test.ts'
import { type FetchCache, openFetchCache } from './fetch-cache.ts'
import { roomyJournal } from './roomy-journal.ts'

const scratch = await mkdtemp(join(tmpdir(), 'holdfast-cache-'))
after(async () => { await rm(scratch, { recursive: true }) })

interface World extends AsyncDisposable {
  readonly stored: Blockstore
  readonly cache: FetchCache
  readonly blocks: Blockstore
  readonly pins: PinSet
  readonly leases: LeaseBook
  readonly references: References
  readonly path: string
}

interface WorldOptions {
  readonly stored?: Blockstore
  readonly maxBytes?: number
  readonly maxBlocks?: number
  readonly path?: string
}

let count = 0
const newPath = (): string => join(scratch, String(count++))

async function openWorld ({ stored = new MemoryBlockstore(), maxBytes = 1000, maxBlocks, path = newPath() }: WorldOptions = {}): Promise<World> {
  const leases = new LeaseBook()
  const journal = await openJournal(`${path}.journal`)
  const cache = await openFetchCache({ blocks: stored, leases }, { path, maxBytes, maxBlocks })
  const pins = await openPinSet(roomyJournal(journal, cache))
  const references = await scratchReferences({ blocks: cache.blocks, pins, leases })
  cache.watch(references)
  return {
    stored, cache, pins, leases, references, path,
    blocks: cache.blocks,
    async [Symbol.asyncDispose] () {
      await references[Symbol.asyncDispose]()
      await cache[Symbol.asyncDispose]()
      await pins[Symbol.asyncDispose]()
      await journal[Symbol.asyncDispose]()
    }
  }
}

/** A raw block of 100 bytes that begins with this text. */
async function leafOf (text: string): Promise<Block> {
  return await Block.of(Buffer.alloc(100, text))
}

async function leavesOf (...texts: readonly string[]): Promise<Block[]> {
  return await Promise.all(texts.map(leafOf))
}

async function nodeOf (children: readonly Block[]): Promise<Block> {
  return await Block.of(encode({ children: children.map(({ cid }) => cid) }), { codec: CODECS.dagCbor })
}

async function fetchAll ({ cache }: World, blocks: readonly Block[]): Promise<void> {
  for (const block of blocks) await cache.fetchedBlocks.put(block)
  await cache.settled()
}

async function hasEach ({ stored }: World, blocks: readonly Block[]): Promise<boolean[]> {
  return await Promise.all(blocks.map(({ cid }) => stored.has(cid)))
}

/** More cache than is allowed: what can be evicted is evicted. */
async function overflow (world: World): Promise<void> {
  await fetchAll(world, await Promise.all(Array.from({ length: 20 }, () => Block.of(randomBytes(100)))))
  assert.ok(world.cache.status.byteLength <= world.cache.status.maxBytes, String(world.cache.status.byteLength))
}

for (const role of ['blocks', 'fetchedBlocks'] as const) {
  testBlockstore(`FetchCache ${role}`, async () => {
    const cache = await openFetchCache({ blocks: new MemoryBlockstore(), leases: new LeaseBook() }, { path: newPath(), maxBytes: 0 })
    return { ...cache[role], [Symbol.asyncDispose]: () => cache[Symbol.asyncDispose]() }
  })
}

test('of more fetched blocks than allowed, those used longest ago go until a tenth of the bound is free', async () => {
  await using world = await openWorld({ maxBytes: 1000 })
  const leaves = await leavesOf(...'abcdefghij')
  const [first] = leaves
  assert.ok(first)
  await fetchAll(world, leaves)
  assert.deepEqual(world.cache.status, { blockCount: 10, byteLength: 1000, maxBytes: 1000 })
  await world.blocks.get(first.cid)
  const extra = await leafOf('k')
  await fetchAll(world, [extra])
  assert.deepEqual(await hasEach(world, [...leaves, extra]), [true, false, false, ...Array.from({ length: 8 }, () => true)])
  assert.deepEqual(world.cache.status, { blockCount: 9, byteLength: 900, maxBytes: 1000 })
})

test('more blocks than the book holds go, whatever their bytes', async () => {
  await using world = await openWorld({ maxBytes: 1_000_000, maxBlocks: 10 })
  await fetchAll(world, await leavesOf(...'abcdefghijk'))
  assert.equal(world.cache.status.blockCount, 9)
})

test('with a bound of 0 nothing fetched stays, and what was put does', async () => {
  await using world = await openWorld({ maxBytes: 0 })
  const [put, ...fetched] = await leavesOf(...'abc')
  assert.ok(put)
  await world.blocks.put(put)
  await fetchAll(world, [put, ...fetched])
  assert.deepEqual(await hasEach(world, [put, ...fetched]), [true, false, false])
})

for (const [how, keep] of [
  ['put before it was fetched', async (world: World, leaf: Block) => { await world.blocks.put(leaf); await fetchAll(world, [leaf]) }],
  ['put after it was fetched', async (world: World, leaf: Block) => { await fetchAll(world, [leaf]); await world.blocks.put(leaf) }],
  ['put while it is fetched', async (world: World, leaf: Block) => { await Promise.all([world.cache.fetchedBlocks.put(leaf), world.blocks.put(leaf), world.cache.fetchedBlocks.put(leaf)]) }],
  ['pinned after it was fetched', async (world: World, leaf: Block) => { await fetchAll(world, [leaf]); await pinDag(world, { cid: leaf.cid, kind: 'direct' }) }],
  ['unpinned again', async (world: World, leaf: Block) => { await fetchAll(world, [leaf]); await pinDag(world, { cid: leaf.cid, kind: 'recursive' }); await world.pins.remove({ cid: leaf.cid }) }]
] as const) {
  test(`a block that is ${how} is no cache`, async () => {
    await using world = await openWorld()
    const leaf = await leafOf('kept')
    await keep(world, leaf)
    await overflow(world)
    assert.ok(await world.stored.has(leaf.cid))
  })
}

test('a DAG that was fetched and pinned stays whole, and blocks that it shares with another fetch, too', async () => {
  await using world = await openWorld()
  const leaves = await leavesOf('a', 'b', 'c')
  const root = await nodeOf(leaves.slice(0, 2))
  const other = await nodeOf(leaves)
  await fetchAll(world, [...leaves, root, other])
  await pinDag(world, { cid: root.cid, kind: 'recursive' })
  await fetchAll(world, [...leaves, other])
  await overflow(world)
  assert.deepEqual(await hasEach(world, [...leaves, root, other]), [true, true, false, true, false])
})

test('what a lease protects, a reader read last or is about to read stays; it goes when they are done', async () => {
  await using world = await openWorld({ maxBytes: 0 })
  const [leased, read, ahead] = await leavesOf('a', 'b', 'c')
  assert.ok(leased && read && ahead)
  const reader = world.cache.protectReader({ get: (cid) => world.blocks.get(cid), has: (cid) => world.blocks.has(cid), [Symbol.dispose] () {} })
  {
    using lease = world.leases.open('test')
    await leasedWriter(world.cache.fetchedBlocks, lease).put(leased)
    await world.cache.fetchedBlocks.put(read)
    assert.ok(await reader.get(read.cid))
    await fetchAll(world, [ahead])
    assert.deepEqual(await hasEach(world, [leased, read, ahead]), [true, true, true])
    assert.equal((await collectGarbage(world)).removedCount, 0)
  }
  reader[Symbol.dispose]()
  await world.cache.settled()
  assert.deepEqual(await hasEach(world, [leased, read, ahead]), [false, false, false])
})

test('gc removes cached blocks as well, and the book knows', async () => {
  await using world = await openWorld()
  await fetchAll(world, await leavesOf('a', 'b'))
  assert.equal((await collectGarbage(world)).removedCount, 2)
  assert.deepEqual(world.cache.status, { blockCount: 0, byteLength: 0, maxBytes: 1000 })
})

/** Takes so many bytes, then refuses as a full disk does. */
class SmallDisk extends MemoryBlockstore {
  readonly #capacity: number
  #turn: Promise<void> = Promise.resolve()

  constructor (capacity: number) {
    super()
    this.#capacity = capacity
  }

  override async putMany (...[blocks, options]: Parameters<Blockstore['putMany']>): Promise<void> {
    const turn = this.#turn.then(async () => { await this.#putAll(blocks, options) })
    this.#turn = turn.catch(() => {})
    await turn
  }

  async #putAll (...[blocks, options]: Parameters<Blockstore['putMany']>): Promise<void> {
    const { byteLength } = await this.usage()
    if (byteLength + blocks.reduce((sum, { bytes }) => sum + bytes.byteLength, 0) > this.#capacity) {
      const cause = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC', syscall: 'write' })
      throw new HoldfastError('LIMIT', 'Block was not stored: the disk is full', { cause })
    }
    await super.putMany(blocks, options)
  }
}

test('a write that finds no space evicts and succeeds; it is refused when nothing is left to evict', async () => {
  await using world = await openWorld({ stored: new SmallDisk(1000), maxBytes: 1_000_000 })
  const fetched = await leavesOf(...'abcdefgh')
  await fetchAll(world, fetched)
  const put = await leavesOf(...'ABCDEFGHIJ')
  await Promise.all(put.map((block) => world.blocks.put(block)))
  assert.deepEqual(await hasEach(world, put), put.map(() => true))
  assert.equal(world.cache.status.blockCount, 0)
  await assert.rejects(world.blocks.put(await leafOf('z')), (err) => isErrorCode(err, 'LIMIT'))
  await assert.rejects(world.cache.fetchedBlocks.put(await leafOf('y')), (err) => isErrorCode(err, 'LIMIT'))
  assert.deepEqual(await hasEach(world, put), put.map(() => true))
})

test('other failures of a write evict nothing', async () => {
  await using world = await openWorld()
  await fetchAll(world, await leavesOf('a'))
  await assert.rejects(world.cache.withRoom(1, async () => { throw new HoldfastError('LIMIT', 'Queue is full') }), (err) => isErrorCode(err, 'LIMIT'))
  assert.equal(world.cache.status.blockCount, 1)
})

test('the journal of pins gets room, too', async () => {
  await using world = await openWorld()
  await fetchAll(world, await leavesOf('a'))
  let tries = 0
  const full = new HoldfastError('LIMIT', 'Could not write', { cause: Object.assign(new Error('full'), { code: 'ENOSPC' }) })
  await using journal = await openJournal(newPath())
  const failing = { append: async () => { if (++tries === 1) throw full }, replay: () => journal.replay(), compact: async () => {}, byteLength: 0, async [Symbol.asyncDispose] () {} }
  await roomyJournal(failing, world.cache).append([])
  assert.equal(tries, 2)
  assert.equal(world.cache.status.blockCount, 0)
})

test('after an orderly end the book is what it was, in its order', async () => {
  const path = newPath()
  const stored = new MemoryBlockstore()
  const leaves = await leavesOf(...'abcde')
  const [first] = leaves
  assert.ok(first)
  {
    await using world = await openWorld({ path, stored })
    await fetchAll(world, leaves)
    await world.blocks.get(first.cid)
  }
  await using world = await openWorld({ path, stored, maxBytes: 400 })
  await world.cache.settled()
  assert.deepEqual(await hasEach(world, leaves), [true, false, false, true, true])
})

test('a block that came as cache and was put is none after a crash either', async () => {
  const path = newPath()
  const stored = new MemoryBlockstore()
  const [put, cached] = await leavesOf('a', 'b')
  assert.ok(put && cached)
  const crashed = newPath()
  {
    await using world = await openWorld({ path, stored })
    await fetchAll(world, [put, cached])
    await world.blocks.put(put)
    await cp(path, crashed)
  }
  await using world = await openWorld({ path: crashed, stored, maxBytes: 0 })
  await world.cache.settled()
  assert.deepEqual(await hasEach(world, [put, cached]), [true, false])
})

test('a book that is older than the pins evicts nothing that they need', async () => {
  const path = newPath()
  const stored = new MemoryBlockstore()
  const leaves = await leavesOf('a', 'b')
  const root = await nodeOf(leaves)
  const cached = await leafOf('c')
  const older = newPath()
  {
    await using world = await openWorld({ path, stored })
    await fetchAll(world, [...leaves, root, cached])
    // Writes what the book says by now.
    await world.blocks.put(await leafOf('elsewhere'))
    await world.cache.kept()
    await waitForFile(path)
    await cp(path, older)
    await pinDag(world, { cid: root.cid, kind: 'recursive' })
  }
  await cp(`${path}.journal`, `${older}.journal`, { recursive: true })
  await using world = await openWorld({ path: older, stored, maxBytes: 0 })
  await world.cache.settled()
  assert.deepEqual(await hasEach(world, [...leaves, root, cached]), [true, true, true, false])
})

/** The book is written some time after a fetch: waits until it names four blocks. */
async function waitForFile (path: string): Promise<void> {
  const endMs = performance.now() + 10_000
  while ((await readFile(path).catch(() => Buffer.alloc(0))).byteLength < 8 + 4 * 40) {
    assert.ok(performance.now() < endMs, 'the book is written within 10 s')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

test('after a crash nothing of before is evicted when a pin cannot be walked; what is fetched from then on is', async () => {
  const path = newPath()
  const stored = new MemoryBlockstore()
  const [leaf, cached, owned] = await leavesOf('a', 'b', 'd')
  assert.ok(leaf && cached && owned)
  const root = await nodeOf([await nodeOf([leaf])])
  const crashed = newPath()
  {
    await using world = await openWorld({ path, stored })
    await world.pins.add({ cid: root.cid, kind: 'recursive' })
    await fetchAll(world, [leaf, cached, owned])
    await world.blocks.putMany([root, owned])
    await cp(path, crashed)
    await cp(`${path}.journal`, `${crashed}.journal`, { recursive: true })
  }
  await using world = await openWorld({ path: crashed, stored, maxBytes: 0 })
  await world.cache.settled()
  const fetched = await leafOf('c')
  await fetchAll(world, [fetched])
  assert.deepEqual(await hasEach(world, [leaf, cached, root, fetched]), [true, true, true, false])
})

test('a block that a pin keeps and that is fetched anew, because it was damaged, does not become cache', async () => {
  await using world = await openWorld({ maxBytes: 0 })
  const leaf = await leafOf('a')
  const root = await nodeOf([leaf])
  await world.blocks.putMany([leaf, root])
  await world.pins.add({ cid: root.cid, kind: 'recursive' })
  await world.references.settle()
  // What is quarantined counts as absent, as if it were not stored.
  await world.stored.delete(leaf.cid)
  await fetchAll(world, [leaf])
  await world.cache.settled()
  assert.deepEqual([await world.stored.has(leaf.cid), world.cache.has(leaf.cid)], [true, false])
})
