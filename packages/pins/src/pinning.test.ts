import { MemoryBlockstore } from '@holdfast/blockstore'
import { Block, CODECS, isErrorCode } from '@holdfast/core'
import { encode } from '@ipld/dag-cbor'
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openJournal } from './journal/journal.ts'
import { LeaseBook } from './leases.ts'
import { pinDag, type PinProgress } from './pinning.ts'
import { openPinSet, type PinSet } from './pin-set.ts'

const scratch = await mkdtemp(join(tmpdir(), 'holdfast-pinning-'))
const journals = new AsyncDisposableStack()
after(async () => {
  await journals.disposeAsync()
  await rm(scratch, { recursive: true })
})

let folderCount = 0
async function newDeps (): Promise<{ blocks: MemoryBlockstore, pins: PinSet, leases: LeaseBook }> {
  const journal = journals.use(await openJournal(join(scratch, String(folderCount++))))
  return { blocks: new MemoryBlockstore(), pins: await openPinSet(journal), leases: new LeaseBook() }
}

async function leafOf (text: string): Promise<Block> {
  return await Block.of(Buffer.from(text))
}

async function nodeOf (children: readonly Block[]): Promise<Block> {
  return await Block.of(encode({ children: children.map(({ cid }) => cid) }), { codec: CODECS.dagCbor })
}

/** root -> inner -> a, b; root -> a */
const [a, b] = [await leafOf('aa'), await leafOf('bbb')]
const inner = await nodeOf([a, b])
const root = await nodeOf([inner, a])
const all = [a, b, inner, root]

test('a whole DAG is pinned, each block counted once', async () => {
  const deps = await newDeps()
  await deps.blocks.putMany(all)
  const events: PinProgress[] = []
  const pin = await pinDag(deps, { cid: root.cid, kind: 'recursive', name: 'n' }, { onProgress: (event) => { events.push(event) } })
  assert.deepEqual([...deps.pins.list()], [pin])
  assert.equal(pin.name, 'n')
  assert.deepEqual(events.map(({ blockCount }) => blockCount), [1, 2, 3, 4])
  assert.equal(events.at(-1)?.byteLength, all.reduce((sum, { bytes }) => sum + bytes.byteLength, 0))
})

test('a direct pin needs its block only', async () => {
  const deps = await newDeps()
  await deps.blocks.put(root)
  await pinDag(deps, { cid: root.cid, kind: 'direct' })
  assert.equal(deps.pins.count, 1)
})

test('a raw block is pinned as the one block that it is, and is named when it is absent', async () => {
  const deps = await newDeps()
  const events: PinProgress[] = []
  await assert.rejects(pinDag(deps, { cid: a.cid, kind: 'recursive' }), (err) => isErrorCode(err, 'NOT_FOUND') && err.details['cid'] === a.cid.toString())
  assert.equal(deps.pins.count, 0)
  await deps.blocks.put(a)
  await pinDag(deps, { cid: a.cid, kind: 'recursive' }, { onProgress: (event) => { events.push(event) } })
  assert.deepEqual(events, [{ blockCount: 1, byteLength: a.bytes.byteLength }])
  assert.equal(deps.pins.count, 1)
})

for (const missing of all) {
  test(`a DAG without its block ${all.indexOf(missing)} is not pinned, and the block is named`, async () => {
    const deps = await newDeps()
    await deps.blocks.putMany(all.filter((block) => block !== missing))
    await assert.rejects(pinDag(deps, { cid: root.cid, kind: 'recursive' }), (err) => isErrorCode(err, 'NOT_FOUND') && err.details['cid'] === missing.cid.toString())
    assert.equal(deps.pins.count, 0)
    assert.deepEqual(deps.leases.list(), [])
  })
}

test('a damaged block keeps a DAG from being pinned', async () => {
  const deps = await newDeps()
  await deps.blocks.putMany(all)
  const get = deps.blocks.get.bind(deps.blocks)
  const blocks = { get: async (cid: Parameters<typeof get>[0]) => cid.equals(b.cid) ? await Block.verify(cid, Uint8Array.of(0)) : await get(cid), has: deps.blocks.has.bind(deps.blocks) }
  await assert.rejects(pinDag({ ...deps, blocks }, { cid: root.cid, kind: 'recursive' }), (err) => isErrorCode(err, 'CORRUPT'))
  assert.equal(deps.pins.count, 0)
})

test('a name that is too long is refused before anything is read', async () => {
  const deps = await newDeps()
  await assert.rejects(pinDag(deps, { cid: root.cid, kind: 'recursive', name: 'x'.repeat(256) }), (err) => isErrorCode(err, 'INVALID'))
})

test('all that was read is protected until the pin is durable, and then left to the pin', async () => {
  const deps = await newDeps()
  await deps.blocks.putMany(all)
  const { pins, leases } = deps
  const protectedAtAdd: boolean[] = []
  const watching: PinSet = {
    add: async (request) => {
      const pin = await pins.add(request)
      protectedAtAdd.push(...all.map(({ cid }) => leases.isProtected(cid)))
      return pin
    },
    remove: async (match) => await pins.remove(match),
    list: (filter) => pins.list(filter),
    isPinned: (cid) => pins.isPinned(cid),
    has: (match) => pins.has(match),
    watch: (listener) => pins.watch(listener),
    count: 0,
    [Symbol.asyncDispose]: async () => {}
  }
  await pinDag({ ...deps, pins: watching }, { cid: root.cid, kind: 'recursive' })
  assert.deepEqual(protectedAtAdd, [true, true, true, true])
  assert.ok(!leases.isProtected(root.cid))
})

test('a pin that is given up rejects with the reason and is not made', async () => {
  const deps = await newDeps()
  await deps.blocks.putMany(all)
  const reason = new Error('changed my mind')
  const controller = new AbortController()
  const pinning = pinDag(deps, { cid: root.cid, kind: 'recursive' }, { signal: controller.signal, onProgress: () => { controller.abort(reason) } })
  await assert.rejects(pinning, (err) => err === reason)
  await assert.rejects(pinDag(deps, { cid: root.cid, kind: 'direct' }, { signal: controller.signal }), (err) => err === reason)
  assert.equal(deps.pins.count, 0)
  assert.deepEqual(deps.leases.list(), [])
})

test('a chain of 5,000 DAG nodes is pinned: depth costs no stack', async () => {
  const deps = await newDeps()
  let top = await leafOf('bottom')
  for (let depth = 0; depth < 5000; depth++) {
    await deps.blocks.put(top)
    top = await nodeOf([top])
  }
  await deps.blocks.put(top)
  let blockCount = 0
  await pinDag(deps, { cid: top.cid, kind: 'recursive' }, { onProgress: (event) => { blockCount = event.blockCount } })
  assert.equal(blockCount, 5001)
})
