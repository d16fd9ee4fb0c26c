import { MemoryBlockstore } from '@holdfast/blockstore'
import { Block, CODECS, isErrorCode } from '@holdfast/core'
import { countingBlockstore } from '@holdfast/testkit'
import { encode } from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { open, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { tmpdir } from 'node:os'
import { mkdtempSync, rmSync } from 'node:fs'
import { after, test } from 'node:test'
import { collectGarbage } from '../collect.ts'
import { openJournal } from '../journal/journal.ts'
import { LeaseBook } from '../leases.ts'
import { pinDag } from '../pinning.ts'
import { openPinSet, type PinSet } from '../pin-set.ts'
import { type IndirectPin, indirectPin, indirectPins } from './indirect.ts'
import { type Keeping, keepersOf } from './keepers.ts'
import { DagSizes } from './pin-size.ts'
import { openReferences, type References } from './references.ts'
import { scratchPath } from './scratch-references.test.ts'

const scratch = mkdtempSync(join(tmpdir(), 'holdfast-references-'))
after(() => { rmSync(scratch, { recursive: true }) })

interface World extends AsyncDisposable {
  readonly blocks: MemoryBlockstore
  readonly counts: { readonly get: number }
  readonly pins: PinSet
  readonly leases: LeaseBook
  readonly references: References
}

let count = 0

async function openWorld ({ path = scratchPath(), journal: folder = join(scratch, String(count++)), stored = new MemoryBlockstore() } = {}): Promise<World> {
  const open = new AsyncDisposableStack()
  const pins = open.use(await openPinSet(open.use(await openJournal(folder))))
  const leases = new LeaseBook()
  const { store, counts } = countingBlockstore(stored)
  const references = open.use(await openReferences({ blocks: store, pins, leases }, { path }))
  return { blocks: stored, counts, pins, leases, references, [Symbol.asyncDispose]: async () => { await open.disposeAsync() } }
}

async function leafOf ({ blocks }: Pick<World, 'blocks'>, text: string): Promise<CID> {
  const block = await Block.of(Buffer.from(text))
  await blocks.put(block)
  return block.cid
}

async function nodeOf ({ blocks }: Pick<World, 'blocks'>, children: readonly CID[], padding = ''): Promise<CID> {
  const block = await Block.of(encode({ children, padding }), { codec: CODECS.dagCbor })
  await blocks.put(block)
  return block.cid
}

function texts (cids: Iterable<CID>): string[] {
  return Array.from(cids, String)
}

async function found (indirect: AsyncIterable<IndirectPin>): Promise<Map<string, string>> {
  return new Map((await Array.fromAsync(indirect)).map(({ cid, root }) => [cid.toString(), root.toString()]))
}

async function keeping (world: World, cid: CID): Promise<Keeping[]> {
  return await Array.fromAsync(keepersOf(world, cid))
}

test('blocks below recursive pins are listed once, with a root above; roots and direct pins are not', async () => {
  await using world = await openWorld()
  const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((text) => leafOf(world, text)))
  assert.ok(a && b && c)
  const inner = await nodeOf(world, [a, b])
  const root = await nodeOf(world, [inner, a])
  const second = await nodeOf(world, [root, c])
  for (const cid of [root, second]) await pinDag(world, { cid, kind: 'recursive' })
  await pinDag(world, { cid: b, kind: 'direct' })
  assert.deepEqual(await found(indirectPins(world)), new Map([[inner, root], [a, root], [c, second]].map(([cid, root]) => [String(cid), String(root)])))
  assert.equal((await indirectPin(world, c))?.root.toString(), second.toString())
  for (const cid of [root, b, await leafOf(world, 'other')]) assert.equal(await indirectPin(world, cid), undefined)
})

test('a block that is linked as raw and as a DAG node is listed once, and as CIDs of version 0 where they were', async () => {
  await using world = await openWorld()
  const empty = await Block.of(new Uint8Array(), { codec: CODECS.dagPb })
  await world.blocks.put(empty)
  const node = empty.cid.toV0()
  const root = await nodeOf(world, [node, CID.createV1(CODECS.raw, node.multihash)])
  const other = await nodeOf(world, [node])
  await pinDag(world, { cid: other, kind: 'recursive' })
  assert.deepEqual([...(await found(indirectPins(world))).keys()], [node.toString()])
  await pinDag(world, { cid: root, kind: 'recursive' })
  assert.equal((await found(indirectPins(world))).size, 1)
})

test('more blocks than a page holds are all listed', async () => {
  await using world = await openWorld()
  const leaves = await Promise.all(Array.from({ length: 2500 }, async (_, index) => await leafOf(world, `leaf ${index}`)))
  const root = await nodeOf(world, leaves)
  await pinDag(world, { cid: root, kind: 'recursive' })
  assert.deepEqual(new Set((await found(indirectPins(world))).keys()), new Set(texts(leaves)))
})

test('a block that more DAG nodes link to than a page holds is listed once, and those behind it too', async () => {
  await using world = await openWorld()
  const leaves = await Promise.all(Array.from({ length: 8 }, (_, index) => leafOf(world, `linked from everywhere ${index}`)))
  const nodes = await Promise.all(Array.from({ length: 1500 }, (_, index) => nodeOf(world, leaves, String(index))))
  await pinDag(world, { cid: await nodeOf(world, nodes), kind: 'recursive' })
  const listed = await Array.fromAsync(indirectPins(world))
  assert.deepEqual(texts(listed.map(({ cid }) => cid)).sort(), texts([...leaves, ...nodes]).sort())
})

test('listing ends with the reason of who gave up, and names a pin whose DAG cannot be walked', async () => {
  await using world = await openWorld()
  const inner = await nodeOf(world, [])
  const root = await nodeOf(world, [inner])
  await world.blocks.delete(inner)
  const reason = new Error('changed my mind')
  await assert.rejects(Array.fromAsync(indirectPins(world, { signal: AbortSignal.abort(reason) })), (err) => err === reason)
  const pin = await world.pins.add({ cid: root, kind: 'recursive' })
  await assert.rejects(Array.fromAsync(indirectPins(world)), (err) => isErrorCode(err, 'NOT_FOUND') && err.details['pin'] === pin.id)
  await world.pins.remove({ cid: root })
  assert.deepEqual(await found(indirectPins(world)), new Map(), 'nobody is asked to fix a pin that is gone')
})

test('every pin that keeps a block is told with a shortest path, and whatever codec links to it', async () => {
  await using world = await openWorld()
  const leaf = await leafOf(world, 'leaf')
  const inner = await nodeOf(world, [leaf])
  const far = await nodeOf(world, [inner])
  const near = await nodeOf(world, [inner, leaf])
  for (const cid of [far, near]) await pinDag(world, { cid, kind: 'recursive' })
  await pinDag(world, { cid: leaf, kind: 'direct', name: 'itself' })
  assert.deepEqual((await keeping(world, leaf)).map(({ pin, path }) => [pin.name, texts(path)]), [
    ['itself', texts([leaf])],
    [undefined, texts([near, leaf])],
    [undefined, texts([far, inner, leaf])]
  ])
  assert.deepEqual(texts((await keeping(world, CID.createV1(CODECS.dagCbor, leaf.multihash))).map(({ pin }) => pin.cid)), texts([leaf, near, far]))
  assert.deepEqual(await keeping(world, await leafOf(world, 'other')), [])
})

test('the size of a pin is split into what others keep too and what is its own', async () => {
  await using world = await openWorld()
  const [shared, own, twice] = await Promise.all(['shared', 'own', 'linked twice'].map((text) => leafOf(world, text)))
  assert.ok(shared && own && twice)
  const inner = await nodeOf(world, [twice, shared])
  const root = await nodeOf(world, [inner, twice, own])
  const other = await nodeOf(world, [shared])
  for (const cid of [root, other]) await pinDag(world, { cid, kind: 'recursive' })
  const lengthOf = async (...cids: CID[]): Promise<{ blockCount: number, byteLength: number }> => ({ blockCount: cids.length, byteLength: (await Promise.all(cids.map(async (cid) => await world.blocks.byteLengthOf(cid) ?? 0))).reduce((sum, length) => sum + length, 0) })
  const sizes = new DagSizes(world)
  const size = await sizes.of(root)
  assert.deepEqual(size, { total: await lengthOf(root, inner, twice, own, shared), own: await lengthOf(root, inner, twice, own), shared: await lengthOf(shared) })
  assert.equal(await sizes.of(root), size, 'remembered while no pin changes')
  assert.deepEqual((await sizes.of(inner)).own, await lengthOf(inner), 'the leaf that its root links too would stay')
  await world.pins.remove({ cid: other })
  assert.deepEqual((await sizes.of(root)).own, (await sizes.of(root)).total)
  await assert.rejects(sizes.of(other), (err) => isErrorCode(err, 'NOT_FOUND'))
})

test('a pin over subtrees that are kept reads its own blocks alone, and they stay until its own edges are there', async () => {
  await using world = await openWorld()
  const leaves = await Promise.all(Array.from({ length: 20 }, async (_, index) => await leafOf(world, `leaf ${index}`)))
  const subtree = await nodeOf(world, leaves)
  const old = await nodeOf(world, [subtree], 'old')
  await pinDag(world, { cid: old, kind: 'recursive' })
  await world.references.settle()
  const added = await leafOf(world, 'added')
  const root = await nodeOf(world, [subtree, added], 'new')
  const { store, counts } = countingBlockstore(world.blocks)
  // Between the walk and the pin, the old one goes and a collection runs.
  const pins: PinSet = Object.assign(Object.create(world.pins), {
    list: world.pins.list.bind(world.pins),
    add: async (request: Parameters<PinSet['add']>[0]) => {
      await world.pins.remove({ cid: old })
      assert.equal((await collectGarbage({ ...world, blocks: world.blocks })).removedCount, 1)
      return await world.pins.add(request)
    }
  })
  await pinDag({ ...world, blocks: store, pins }, { cid: root, kind: 'recursive' })
  assert.equal(counts.get, 2)
  assert.equal((await collectGarbage(world)).removedCount, 0)
  for (const cid of [...leaves, subtree, added, root]) assert.ok(await world.blocks.has(cid))
  await world.pins.remove({ cid: root })
  assert.equal((await collectGarbage(world)).removedCount, 23)
})

test('pinned once more, a DAG is read as a whole: something of it may be lost', async () => {
  await using world = await openWorld()
  const leaf = await leafOf(world, 'lost')
  const root = await nodeOf(world, [leaf])
  await pinDag(world, { cid: root, kind: 'recursive' })
  await world.references.settle()
  await world.blocks.delete(leaf)
  await assert.rejects(pinDag(world, { cid: root, kind: 'recursive', name: 'again' }), (err) => isErrorCode(err, 'NOT_FOUND'))
})

test('after an orderly end nothing is walked or listed again, and what was noted before is collected', async () => {
  const path = scratchPath()
  const journal = join(scratch, String(count++))
  const stored = new MemoryBlockstore()
  let garbage: CID | undefined
  {
    await using world = await openWorld({ path, journal, stored })
    const root = await nodeOf(world, [await leafOf(world, 'kept')])
    await pinDag(world, { cid: root, kind: 'recursive' })
    await collectGarbage(world)
    garbage = await leafOf(world, 'garbage')
    world.references.note(garbage)
  }
  await using world = await openWorld({ path, journal, stored })
  assert.ok(world.references.isComplete)
  assert.deepEqual(await collectGarbage(world), { keptCount: 0, removedCount: 1, removedByteLength: 7 })
  assert.equal(world.counts.get, 0)
})

test('without an orderly end every stored block is looked at once', async () => {
  const stored = new MemoryBlockstore()
  await using world = await openWorld({ stored })
  const unknown = await leafOf(world, 'stored before anybody noted it')
  assert.ok(!world.references.isComplete)
  assert.equal((await collectGarbage(world)).removedCount, 1)
  assert.ok(world.references.isComplete)
  await stored.put(await Block.of(Buffer.from('behind its back')))
  assert.deepEqual(await collectGarbage(world), { keptCount: 0, removedCount: 0, removedByteLength: 0 })
  assert.equal((await collectGarbage(world, { full: true })).removedCount, 1)
  assert.ok(!await stored.has(unknown))
})

/** What may happen to the files of an index between two lives of a node. */
const SPOILED: Record<string, (path: string) => Promise<void>> = {
  'is cut short': async (path) => { await truncate(path, 8192) },
  'is of another kind': async (path) => { await writeFile(path, 'not an index') },
  'has a bit that flipped': async (path) => {
    await using file = await open(path, 'r+')
    const bytes = await file.readFile()
    const at = Math.floor(bytes.byteLength * 0.6)
    await file.write(Buffer.of((bytes[at] ?? 0) ^ 1), 0, 1, at)
  },
  'was not closed in order': async (path) => { await rm(`${path}.seal`) },
  'is gone': async (path) => { await rm(path) }
}

for (const [how, spoil] of Object.entries(SPOILED)) {
  test(`an index that ${how} is built anew: every pin is walked once before anything is removed`, async () => {
    const path = scratchPath()
    const journal = join(scratch, String(count++))
    const stored = new MemoryBlockstore()
    {
      await using world = await openWorld({ path, journal, stored })
      await pinDag(world, { cid: await nodeOf(world, [await leafOf(world, 'kept')]), kind: 'recursive' })
      await collectGarbage(world)
    }
    await spoil(path)
    await using world = await openWorld({ path, journal, stored })
    await leafOf(world, 'garbage')
    assert.deepEqual(await collectGarbage(world), { keptCount: 2, removedCount: 1, removedByteLength: 7 })
    assert.equal(world.counts.get, 1)
  })
}

test('a walk that the end of the node broke off is taken back and begun again', async () => {
  const path = scratchPath()
  const journal = join(scratch, String(count++))
  const stored = new MemoryBlockstore()
  let root: CID | undefined
  {
    await using world = await openWorld({ path, journal, stored })
    const leaves = await Promise.all(Array.from({ length: 1200 }, async (_, index) => await leafOf(world, `leaf ${index}`)))
    root = await nodeOf(world, await Promise.all(['a', 'b', 'c', 'd'].map(async (padding) => await nodeOf(world, leaves, padding))))
    await world.pins.add({ cid: root, kind: 'recursive' })
    const reason = new Error('enough')
    const controller = new AbortController()
    // The third of the four lists of leaves: two make a part that is written.
    const settling = world.references.settle({ signal: controller.signal, onProgress: ({ blockCount }) => { if (blockCount > 3000) controller.abort(reason) } })
    await assert.rejects(settling, (err) => err === reason)
    assert.notEqual(world.references.store.openWalk, undefined)
  }
  await using world = await openWorld({ path, journal, stored })
  assert.equal((await collectGarbage(world, { full: true })).keptCount, 1205)
  assert.equal(world.references.store.openWalk, undefined)
  assert.deepEqual(world.references.store.counts, { edgeCount: 4805, nodeCount: 5, holderCount: 6, pinCount: 1, looseCount: 0, garbageCount: 0 })
})

test('a gc that is given up while a new index learns the pins leaves them to be learnt, and the next removes nothing of theirs', async () => {
  const journal = join(scratch, String(count++))
  const stored = new MemoryBlockstore()
  let child: CID
  {
    await using world = await openWorld({ journal, stored })
    const leaves = await Promise.all(Array.from({ length: 1500 }, (_, index) => leafOf(world, `direct ${index}`)))
    await Promise.all(leaves.map((cid) => world.pins.add({ cid, kind: 'direct' })))
    child = await leafOf(world, 'child')
    await pinDag(world, { cid: await nodeOf(world, [child]), kind: 'recursive' })
  }
  await using world = await openWorld({ journal, stored })
  const givingUp = new AbortController()
  const collecting = collectGarbage(world, { signal: givingUp.signal })
  // Before the pause that comes after the first thousand of them.
  setImmediate(() => { givingUp.abort(new Error('enough')) })
  await assert.rejects(collecting, /enough/)
  await collectGarbage(world)
  assert.ok(await stored.has(child))
})
