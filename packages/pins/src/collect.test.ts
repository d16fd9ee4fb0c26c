import { type Blockstore, MemoryBlockstore } from '@holdfast/blockstore'
import { Block, CODECS, isErrorCode, multihashKey } from '@holdfast/core'
import { countingBlockstore } from '@holdfast/testkit'
import { encode } from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { collectGarbage, type CollectProgress } from './collect.ts'
import { type Journal, openJournal } from './journal/journal.ts'
import { LeaseBook, leasedReader, leasedWriter } from './leases.ts'
import { pinDag } from './pinning.ts'
import { openPinSet, type PinSet } from './pin-set.ts'
import type { References } from './references/references.ts'
import { scratchReferences } from './references/scratch-references.test.ts'

const scratch = await mkdtemp(join(tmpdir(), 'holdfast-collect-'))
after(async () => { await rm(scratch, { recursive: true }) })

interface World extends AsyncDisposable {
  blocks: Blockstore
  pins: PinSet
  leases: LeaseBook
  references: References
  journal: Journal
}

let folderCount = 0
async function openWorld (blocks: Blockstore = new MemoryBlockstore()): Promise<World> {
  const journal = await openJournal(join(scratch, String(folderCount++)))
  const pins = await openPinSet(journal)
  const leases = new LeaseBook()
  const references = await scratchReferences({ blocks, pins, leases })
  return {
    blocks, pins, leases, references, journal,
    async [Symbol.asyncDispose] () {
      await references[Symbol.asyncDispose]()
      await journal[Symbol.asyncDispose]()
    }
  }
}

/** A raw block with this text. */
async function leafOf (text: string): Promise<Block> {
  return await Block.of(Buffer.from(text))
}

/** A DAG node that links to `children`, repeats included. */
async function nodeOf (children: readonly Block[], codec: 'dagCbor' | 'raw' = 'dagCbor'): Promise<Block> {
  return await Block.of(encode({ children: children.map(({ cid }) => cid) }), { codec: CODECS[codec] })
}

async function heldIn (blocks: Blockstore): Promise<Set<string>> {
  return new Set((await Array.fromAsync(blocks.list())).map(multihashKey))
}

function keysOf (blocks: readonly Block[]): Set<string> {
  return new Set(blocks.map(({ cid }) => multihashKey(cid)))
}

test('exactly what neither a pin nor a lease keeps is removed, and counted', async () => {
  await using world = await openWorld()
  const { blocks, pins, leases } = world
  const [a, b, c, d, e] = await Promise.all(['a', 'bb', 'ccc', 'dddd', 'eeeee'].map(leafOf))
  assert.ok(a && b && c && d && e)
  const inner = await nodeOf([a, b])
  const root = await nodeOf([inner, c])
  await blocks.putMany([a, b, c, d, e, inner, root])
  await pins.add({ cid: root.cid, kind: 'recursive' })
  using lease = leases.open('test')
  lease.protect(d.cid)
  assert.deepEqual(await collectGarbage(world), { keptCount: 6, removedCount: 1, removedByteLength: 5 })
  assert.deepEqual(await heldIn(blocks), keysOf([a, b, c, d, inner, root]))
})

test('a direct pin keeps its block and nothing below', async () => {
  await using world = await openWorld()
  const leaf = await leafOf('below')
  const root = await nodeOf([leaf])
  await world.blocks.putMany([leaf, root])
  await world.pins.add({ cid: root.cid, kind: 'direct' })
  await collectGarbage(world)
  assert.deepEqual(await heldIn(world.blocks), keysOf([root]))
})

for (const order of [['direct', 'recursive'], ['recursive', 'direct']] as const) {
  test(`pinned ${order.join(' and then ')}, a DAG stays whole`, async () => {
    await using world = await openWorld()
    const leaf = await leafOf('below')
    const root = await nodeOf([leaf])
    await world.blocks.putMany([leaf, root])
    for (const kind of order) await world.pins.add({ cid: root.cid, kind })
    await collectGarbage(world)
    assert.deepEqual(await heldIn(world.blocks), keysOf([root, leaf]))
  })
}

// Helia 7.1.15 deletes x here: it counts references once per pin and takes them back once per visit.
test('a block linked twice by one pin and once by another stays when the first pin goes', async () => {
  await using world = await openWorld()
  const x = await leafOf('x')
  const twice = await nodeOf([x, x])
  const once = await nodeOf([x])
  await world.blocks.putMany([x, twice, once])
  await pinDag(world, { cid: twice.cid, kind: 'recursive' })
  await pinDag(world, { cid: once.cid, kind: 'recursive' })
  await world.pins.remove({ cid: twice.cid })
  await collectGarbage(world)
  assert.deepEqual(await heldIn(world.blocks), keysOf([x, once]))
})

test('of two pins of one DAG either keeps it, under whatever name', async () => {
  await using world = await openWorld()
  const leaf = await leafOf('below')
  const root = await nodeOf([leaf])
  await world.blocks.putMany([leaf, root])
  await world.pins.add({ cid: root.cid, kind: 'recursive', name: 'a' })
  await world.pins.add({ cid: root.cid, kind: 'recursive', name: 'b' })
  await world.pins.remove({ cid: root.cid, name: 'a' })
  assert.equal((await collectGarbage(world)).removedCount, 0)
  await world.pins.remove({ cid: root.cid, name: 'b' })
  assert.equal((await collectGarbage(world)).removedCount, 2)
})

test('bytes linked as raw first and as a DAG node later keep what the DAG node links to', async () => {
  await using world = await openWorld()
  const leaf = await leafOf('hidden')
  const node = await nodeOf([leaf])
  const asRaw = node.as(CID.createV1(CODECS.raw, node.cid.multihash))
  const root = await nodeOf([asRaw, node])
  await world.blocks.putMany([leaf, node, root])
  await world.pins.add({ cid: asRaw.cid, kind: 'recursive' })
  await world.pins.add({ cid: root.cid, kind: 'recursive' })
  assert.equal((await collectGarbage(world)).removedCount, 0)
  await pinDag(world, { cid: root.cid, kind: 'recursive', name: 'walks it all' })
  await world.pins.remove({ cid: root.cid })
  assert.equal((await collectGarbage(world)).removedCount, 2)
  assert.deepEqual(await heldIn(world.blocks), keysOf([node]))
})

for (const code of ['NOT_FOUND', 'CORRUPT'] as const) {
  test(`nothing is removed when a DAG node is ${code === 'CORRUPT' ? 'damaged' : 'missing'} below a pin that was not walked before, and pin and block are named`, async () => {
    const leaf = await leafOf('below')
    const inner = await nodeOf([leaf])
    const root = await nodeOf([inner])
    const garbage = await leafOf('garbage')
    const stored = new MemoryBlockstore()
    let isDamaged = true
    const blocks = rotting(stored, inner.cid, () => isDamaged)
    await using world = await openWorld(code === 'CORRUPT' ? blocks : stored)
    await stored.putMany([leaf, root, garbage])
    if (code === 'CORRUPT') await stored.put(inner)
    const pin = await world.pins.add({ cid: root.cid, kind: 'recursive' })
    await assert.rejects(collectGarbage(world), (err) => isErrorCode(err, code) &&
      err.message.includes(root.cid.toString()) && err.message.includes(inner.cid.toString()) &&
      err.details['pin'] === pin.id && err.details['root'] === root.cid.toString() && err.cause instanceof Error)
    assert.ok(await stored.has(garbage.cid))
    // The failed collection has ended: another may run.
    await stored.put(inner)
    isDamaged = false
    assert.equal((await collectGarbage(world)).removedCount, 1)
  })
}

test('a pin that was walked keeps its blocks whatever is lost below it, and others are collected', async () => {
  await using world = await openWorld()
  const leaf = await leafOf('below')
  const inner = await nodeOf([leaf])
  const root = await nodeOf([inner])
  await world.blocks.putMany([leaf, inner, root])
  await world.pins.add({ cid: root.cid, kind: 'recursive' })
  await collectGarbage(world)
  await world.blocks.delete(inner.cid)
  const garbage = await leafOf('garbage')
  await world.blocks.put(garbage)
  world.references.note(garbage.cid)
  assert.equal((await collectGarbage(world)).removedCount, 1)
  assert.deepEqual(await heldIn(world.blocks), keysOf([leaf, root]))
  await world.pins.remove({ cid: root.cid })
  assert.equal((await collectGarbage(world)).removedCount, 2)
})

/** A store in which the bytes of one block have rotted. */
function rotting (blocks: Blockstore, cid: CID, isRotten: () => boolean = () => true): Blockstore {
  return {
    get: async (asked, options) => isRotten() && multihashKey(asked) === multihashKey(cid) ? await Block.verify(asked, Uint8Array.of(0)) : await blocks.get(asked, options),
    has: async (asked, options) => await blocks.has(asked, options),
    put: async (block, options) => { await blocks.put(block, options) },
    putMany: async (some, options) => { await blocks.putMany(some, options) },
    delete: async (asked, options) => await blocks.delete(asked, options),
    list: (options) => blocks.list(options),
    usage: async (options) => await blocks.usage(options),
    [Symbol.asyncDispose]: async () => {}
  }
}

test('garbage that rotted is removed like any other', async () => {
  await using world = await openWorld()
  const garbage = await leafOf('garbage')
  await world.blocks.put(garbage)
  const { removedCount } = await collectGarbage({ ...world, blocks: rotting(world.blocks, garbage.cid) })
  assert.equal(removedCount, 1)
  assert.deepEqual(await heldIn(world.blocks), new Set())
})

test('a dry run counts what would be removed, and removes nothing', async () => {
  await using world = await openWorld()
  await world.blocks.putMany([await leafOf('one'), await leafOf('three')])
  assert.deepEqual(await collectGarbage(world, { dryRun: true }), { keptCount: 0, removedCount: 2, removedByteLength: 8 })
  assert.equal((await world.blocks.usage()).blockCount, 2)
})

test('progress goes from marking to sweeping and ends with the result', async () => {
  await using world = await openWorld()
  const leaves = await Promise.all(Array.from({ length: 1500 }, async (_, index) => await leafOf(`kept ${index}`)))
  const root = await nodeOf(leaves)
  await world.blocks.putMany([...leaves, root, await leafOf('garbage')])
  await world.pins.add({ cid: root.cid, kind: 'recursive' })
  const events: CollectProgress[] = []
  const result = await collectGarbage(world, { onProgress: (event) => { events.push(event) } })
  assert.deepEqual(events, [
    { phase: 'mark', blockCount: 1500, removedCount: 0, removedByteLength: 0 },
    { phase: 'sweep', blockCount: 1024, removedCount: 0, removedByteLength: 0 },
    { phase: 'sweep', blockCount: 1502, removedCount: 1, removedByteLength: 7 }
  ])
  assert.deepEqual(result, { keptCount: 1501, removedCount: 1, removedByteLength: 7 })
})

test('each DAG node below pins is read once and for all, however many pins share it; raw blocks never', async () => {
  const stored = new MemoryBlockstore()
  const { store, counts } = countingBlockstore(stored)
  await using world = await openWorld(store)
  const leaves = await Promise.all(['a', 'b', 'c'].map(leafOf))
  const shared = await nodeOf(leaves)
  const own = await Promise.all(['d', 'e', 'f'].map(leafOf))
  const roots = await Promise.all(own.map(async (leaf) => await nodeOf([shared, leaf])))
  await stored.putMany([...leaves, ...own, shared, ...roots])
  for (const { cid } of roots) await world.pins.add({ cid, kind: 'recursive' })
  for (const _ of [1, 2]) {
    await collectGarbage(world)
    assert.equal(counts.get, 4)
    assert.equal(counts.has, 0)
  }
})

test('an aborted collection rejects with the reason and may be followed by another', async () => {
  await using world = await openWorld()
  const leaf = await leafOf('below')
  const root = await nodeOf([leaf])
  await world.blocks.putMany([leaf, root, await leafOf('garbage')])
  await world.pins.add({ cid: root.cid, kind: 'recursive' })
  const reason = new Error('changed my mind')
  await assert.rejects(collectGarbage(world, { signal: AbortSignal.abort(reason) }), (err) => err === reason)
  for (const phase of ['mark', 'sweep']) {
    const controller = new AbortController()
    const onProgress = (event: CollectProgress): void => { if (event.phase === phase && event.removedCount === 0) controller.abort(reason) }
    const collecting = collectGarbage(world, { signal: controller.signal, onProgress })
    if (phase === 'mark') await assert.rejects(collecting, (err) => err === reason)
    else await collecting.catch((err: unknown) => { assert.equal(err, reason) })
  }
  assert.deepEqual(await heldIn(world.blocks), keysOf([leaf, root]))
})

test('only one collection runs at a time', async () => {
  await using world = await openWorld()
  const first = collectGarbage(world)
  await assert.rejects(collectGarbage(world, { dryRun: true }), (err) => isErrorCode(err, 'UNAVAILABLE'))
  await first
  await collectGarbage(world)
})

/** Runs `meanwhile` when a collection has read the pins and before it removes anything. */
async function collectWhile (world: World, meanwhile: () => Promise<void>): Promise<void> {
  let done = false
  const list = world.blocks.list.bind(world.blocks)
  const blocks = Object.assign(rotting(world.blocks, (await leafOf('none')).cid), {
    list: async function * (options?: { signal?: AbortSignal | undefined }): AsyncGenerator<CID> {
      if (!done) {
        done = true
        await meanwhile()
      }
      yield * list(options)
    }
  })
  await collectGarbage({ ...world, blocks })
  assert.ok(done)
}

test('blocks put and pinned while a collection runs stay, also when their lease was let go', async () => {
  await using world = await openWorld()
  const leaf = await leafOf('new')
  const root = await nodeOf([leaf])
  await collectWhile(world, async () => {
    using lease = world.leases.open('add')
    await leasedWriter(world.blocks, lease).putMany([leaf, root])
    await world.pins.add({ cid: root.cid, kind: 'recursive' })
  })
  assert.deepEqual(await heldIn(world.blocks), keysOf([leaf, root]))
  assert.equal((await collectGarbage(world)).removedCount, 0)
})

test('unpinned blocks that are pinned while a collection runs stay', async () => {
  await using world = await openWorld()
  const leaf = await leafOf('old')
  const root = await nodeOf([leaf])
  await world.blocks.putMany([leaf, root])
  await collectWhile(world, async () => { await pinDag(world, { cid: root.cid, kind: 'recursive' }) })
  assert.deepEqual(await heldIn(world.blocks), keysOf([leaf, root]))
})

test('what a lease kept, but no pin, goes with the next collection', async () => {
  await using world = await openWorld()
  const leaf = await leafOf('given up')
  await collectWhile(world, async () => {
    using lease = world.leases.open('add that fails')
    await leasedWriter(world.blocks, lease).put(leaf)
  })
  assert.deepEqual(await heldIn(world.blocks), keysOf([leaf]))
  await collectGarbage(world)
  assert.deepEqual(await heldIn(world.blocks), new Set())
})

test('a pin that comes while a block is being removed finds out that it is gone', async () => {
  await using world = await openWorld()
  const leaf = await leafOf('on its way out')
  await world.blocks.put(leaf)
  const asked = Promise.withResolvers<void>()
  const gate = Promise.withResolvers<void>()
  // An engine that takes its time between asking and removing, as unlinking a file does.
  const slow: Blockstore = Object.assign(rotting(world.blocks, (await leafOf('none')).cid), {
    delete: async (cid: CID, options: Parameters<Blockstore['delete']>[1]) => {
      if (options?.when?.() === false) return false
      asked.resolve()
      await gate.promise
      return await world.blocks.delete(cid)
    }
  })
  const collecting = collectGarbage({ ...world, blocks: slow })
  await asked.promise
  const pinning = assert.rejects(pinDag(world, { cid: leaf.cid, kind: 'direct' }), (err) => isErrorCode(err, 'NOT_FOUND'))
  using lease = world.leases.open('reader')
  const looking = leasedReader(world.blocks, lease).has(leaf.cid)
  gate.resolve()
  await Promise.all([collecting, pinning])
  assert.equal(await looking, false)
  assert.equal(world.pins.count, 0)
})

test('each block that is removed is told by its CID', async () => {
  await using world = await openWorld()
  const [kept, gone, other] = await Promise.all(['kept', 'gone', 'other'].map(leafOf))
  assert.ok(kept && gone && other)
  await world.blocks.putMany([kept, gone, other])
  await world.pins.add({ cid: kept.cid, kind: 'direct' })
  for (const dryRun of [true, false]) {
    const told: CID[] = []
    await collectGarbage(world, { dryRun, onRemoved: async (cid) => { told.push(cid) } })
    assert.deepEqual(new Set(told.map(multihashKey)), keysOf([gone, other]))
  }
})
