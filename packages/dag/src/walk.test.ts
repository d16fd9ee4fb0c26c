import { type BlockReader, MemoryBlockstore } from '@holdfast/blockstore'
import { Block, CODECS, isErrorCode } from '@holdfast/core'
import { countingBlockstore, faultyBlockstore } from '@holdfast/testkit'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Child, putBytes, putDagCbor, putDagJson, putDirectory, putFileNode, putShard } from '../test/hand-made.ts'
import { DEFAULT_CONCURRENCY } from './read-ahead-stack.ts'
import { DEFAULT_MAX_DEPTH, MAX_LINKS_WAITING, walkDag, type WalkOptions } from './walk.ts'

test('comes in pre-order of the links, each block once, like a recursive walk', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.array(fc.nat(), { maxLength: 5 }), { minLength: 1, maxLength: 40 }), fc.integer({ min: 1, max: 9 }), fc.boolean(), async (shape, concurrency, lags) => {
    const store = new MemoryBlockstore()
    const cids: CID[] = []
    for (const [index, links] of shape.entries()) {
      cids.push(await putDagCbor(store, { index, links: links.flatMap((link) => cids.slice(-6)[link % 6] ?? []) }))
    }
    const root = cids.at(-1)
    assert.ok(root !== undefined)
    const reader = lags ? faultyBlockstore(store, { delayMs: 1 }) : store
    assert.deepEqual(await walked(reader, [root], { concurrency }), await recursivePreOrder(store, root))
  }), { numRuns: 60 })
})

test('enters links of dag-pb, dag-cbor and dag-json, and takes other codecs as leaves', async () => {
  const store = new MemoryBlockstore()
  const raw = await putBytes(store, Buffer.from('raw'))
  const unknown = await putBytes(store, Buffer.from('unknown'), 0x99)
  const json = await putDagJson(store, [unknown])
  const cbor = await putDagCbor(store, { a: json, b: [raw] })
  const root = await putDirectory(store, [['a', cbor]])
  assert.deepEqual(await walked(store, [root]), [root, cbor, json, unknown, raw].map(String))
})

test('two roots that share blocks give them once', async () => {
  const store = new MemoryBlockstore()
  const shared = await putDagCbor(store, 'shared')
  const [one, other] = [await putDagCbor(store, [1, shared]), await putDagCbor(store, [2, shared])]
  assert.deepEqual(await walked(store, [one, other, one]), [one, shared, other].map(String))
})

test('without dedupe repeated links repeat', async () => {
  const store = new MemoryBlockstore()
  const leaf = await putBytes(store, Buffer.from('leaf'))
  const pair = await putDagCbor(store, [leaf, leaf])
  const root = await putDagCbor(store, [pair, pair])
  assert.deepEqual(await walked(store, [root], { dedupe: false }), [root, pair, leaf, leaf, pair, leaf, leaf].map(String))
})

test('bytes linked first as raw and then as dag-cbor are yielded once and still entered', async () => {
  const store = new MemoryBlockstore()
  const leaf = await putBytes(store, Buffer.from('leaf'))
  const node = await putDagCbor(store, [leaf])
  const asRaw = CID.createV1(CODECS.raw, node.multihash)
  const root = await putDagCbor(store, [asRaw, node])
  assert.deepEqual(await walked(store, [root]), [root, asRaw, leaf].map(String))
})

test('what skip names is neither read nor entered', async () => {
  const store = new MemoryBlockstore()
  const hidden = await putBytes(store, Buffer.from('hidden'))
  const skipped = await putDagCbor(store, [hidden])
  const leaf = await putBytes(store, Buffer.from('leaf'))
  const root = await putDagCbor(store, [skipped, leaf])
  await store.delete(skipped)
  assert.deepEqual(await walked(store, [root], { skip: (cid) => cid.equals(skipped) }), [root, leaf].map(String))
})

test('an absent block rejects when its turn comes', async () => {
  const store = new MemoryBlockstore()
  const [one, absent] = [await putBytes(store, Buffer.from('one')), (await Block.of(Buffer.from('absent'))).cid]
  const root = await putDagCbor(store, [one, absent])
  const seen: string[] = []
  await assert.rejects(async () => {
    for await (const { cid } of walkDag(store, [root])) seen.push(cid.toString())
  }, (err) => isErrorCode(err, 'NOT_FOUND') && err.details['reason'] === 'no-block' && err.details['cid'] === absent.toString())
  assert.deepEqual(seen, [root, one].map(String))
})

test('blocks are asked for ahead, up to the concurrency', async () => {
  const { store, root } = await wideDag(100)
  const { store: counting, counts } = countingBlockstore(faultyBlockstore(store, { delayMs: 1 }))
  assert.equal((await walked(counting, [root])).length, 101)
  assert.equal(counts.maxGetsInFlight, DEFAULT_CONCURRENCY)
  assert.equal(counts.get, 101)
})

test('a stalled consumer makes nothing grow', async () => {
  const { store, root } = await wideDag(100)
  const { store: counting, counts } = countingBlockstore(store)
  const blocks = walkDag(counting, [root], { concurrency: 4 })[Symbol.asyncIterator]()
  for (let taken = 0; taken < 10; taken++) await blocks.next()
  await new Promise((resolve) => setTimeout(resolve, 10))
  assert.ok(counts.get <= 10 + 4, `${counts.get} gets for 10 blocks`)
  await blocks.return?.()
})

test('blocks read ahead at many levels are let go, and the walk is still complete', async () => {
  const store = new MemoryBlockstore()
  let cid = await putDagCbor(store, 'end')
  for (let level = 0; level < 40; level++) {
    const siblings = await Promise.all(Array.from({ length: 5 }, async (_, index) => await putDagCbor(store, { level, index })))
    cid = await putDagCbor(store, [cid, ...siblings])
  }
  const { store: counting, counts } = countingBlockstore(store)
  assert.equal((await walked(counting, [cid], { concurrency: 4 })).length, 241)
  assert.ok(counts.get > 241, 'some were read again')
})

test('an early end aborts what is under way', async () => {
  const { store, root } = await wideDag(20)
  let abortCount = 0
  const slow: BlockReader = {
    has: async (cid) => await store.has(cid),
    get: async (cid, { signal } = {}) => {
      if (cid.equals(root)) return await store.get(cid)
      return await new Promise((_resolve, reject) => signal?.addEventListener('abort', () => {
        abortCount++
        reject(signal.reason)
      }))
    }
  }
  const controller = new AbortController()
  const reason = new Error('changed my mind')
  const walk = walkDag(slow, [root], { concurrency: 3, signal: controller.signal })[Symbol.asyncIterator]()
  await walk.next()
  const next = walk.next()
  setImmediate(() => controller.abort(reason))
  await assert.rejects(next, (err) => err === reason)
  assert.equal(abortCount, 3)
})

test('a chain of 20,000 shards ends at the depth allowed', async () => {
  const store = new MemoryBlockstore()
  let cid = await putShard(store, [])
  for (let level = 0; level < 20_000; level++) cid = await putShard(store, [['00', cid]])
  const { store: counting, counts } = countingBlockstore(store)
  await assert.rejects(walked(counting, [cid]), (err) => isErrorCode(err, 'LIMIT'))
  assert.equal(counts.get, DEFAULT_MAX_DEPTH + 1)
  assert.equal((await walked(store, [cid], { maxDepth: 20_000 })).length, 20_001, 'and takes no stack when more is allowed')
})

test('links repeated on 50 levels are walked once', async () => {
  const store = new MemoryBlockstore()
  let child: Child = { cid: await putBytes(store, Buffer.from('x')), byteLength: 1 }
  for (let level = 0; level < 50; level++) child = await putFileNode(store, [child, child])
  const { store: counting, counts } = countingBlockstore(store)
  assert.equal((await walked(counting, [child.cid])).length, 51)
  assert.ok(counts.get <= 102, `${counts.get} gets`)
})

test('a chain of nodes full of links ends at the limit of links that wait', async () => {
  const store = new MemoryBlockstore()
  let cid = await putBytes(store, Buffer.from('x'))
  for (let level = 0; level < 8; level++) {
    const filler = await Promise.all(Array.from({ length: 40_000 }, async (_, index) => (index % 4000 === 0 ? await putBytes(store, Buffer.from(`${level} ${index}`)) : cid)))
    cid = await putDirectory(store, [['a', cid], ...filler.map((filler): [string, CID] => ['b', filler])])
  }
  await assert.rejects(walked(store, [cid]), (err) => isErrorCode(err, 'LIMIT') && err.message.includes(`${MAX_LINKS_WAITING}`))
})

test('a block that is not of its codec is refused by name', async () => {
  const store = new MemoryBlockstore()
  for (const codec of [CODECS.dagPb, CODECS.dagCbor, CODECS.dagJson]) {
    const cid = await putBytes(store, Buffer.from([0xff, 0xff]), codec)
    await assert.rejects(walked(store, [cid]), (err) => isErrorCode(err, 'INVALID') && err.message.includes(cid.toString()))
  }
})

async function wideDag (leafCount: number): Promise<{ store: MemoryBlockstore, root: CID }> {
  const store = new MemoryBlockstore()
  const leaves = await Promise.all(Array.from({ length: leafCount }, async (_, index) => await putBytes(store, Buffer.from(`leaf ${index}`))))
  return { store, root: await putDagCbor(store, leaves) }
}

async function recursivePreOrder (store: MemoryBlockstore, root: CID, seen: Set<string> = new Set()): Promise<string[]> {
  if (seen.has(root.toString())) return []
  seen.add(root.toString())
  const block = await store.get(root)
  assert.ok(block !== undefined)
  const { links } = await import('@ipld/dag-cbor').then(({ decode }) => decode<{ links: CID[] }>(block.bytes))
  const below: string[] = []
  for (const link of links) below.push(...await recursivePreOrder(store, link, seen))
  return [root.toString(), ...below]
}

async function walked (blocks: BlockReader, roots: readonly CID[], options?: WalkOptions): Promise<string[]> {
  const cids: string[] = []
  for await (const { cid } of walkDag(blocks, roots, options)) cids.push(cid.toString())
  return cids
}

test('a walk that is told of absent blocks goes on beside them, also without its root', async () => {
  const store = new MemoryBlockstore()
  const [here, gone, below] = [await putBytes(store, Buffer.from('here')), await putBytes(store, Buffer.from('gone')), await putBytes(store, Buffer.from('below'))]
  const inner = await putDagCbor(store, [gone, below])
  const root = await putDagCbor(store, [gone, inner, here])
  await store.delete(gone)
  let absent = 0
  const options = { onAbsent: () => { absent++ } }
  assert.deepEqual(await walked(store, [root], options), [root, inner, below, here].map(String))
  assert.equal(absent, 2)
  assert.deepEqual(await walked(store, [gone], options), [])
  const failing = faultyBlockstore(store, { failGetAt: 2 })
  await assert.rejects(walked(failing, [root], options), (err) => !isErrorCode(err, 'NOT_FOUND'))
})
