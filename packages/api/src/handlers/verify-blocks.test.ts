import { type Blockstore, MemoryBlockstore } from '@holdfast/blockstore'
import { Block, HoldfastError, isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openApiNode } from '../harness.test.ts'
import { verifyBlocks } from './verify-blocks.ts'

const { signal } = new AbortController()

/** A store in which one block rots, until it is put again; `onRead` is called for each time that this shows. */
async function rotten (onRead: (store: Blockstore, block: Block) => Promise<void> = async () => {}): Promise<{ store: Blockstore, block: Block }> {
  const store = new MemoryBlockstore()
  const block = await Block.of(Buffer.from('rots'))
  await store.putMany([await Block.of(Buffer.from('sound')), block])
  let isRotten = true
  const rotting: Blockstore = {
    get: async (cid, options) => {
      if (!isRotten || !cid.equals(block.cid)) return await store.get(cid, options)
      await onRead(rotting, block)
      throw new HoldfastError('CORRUPT', `Bytes do not match ${cid}`)
    },
    put: async (put) => {
      if (put.cid.equals(block.cid)) isRotten = false
      await store.put(put)
    },
    putMany: async (blocks) => { await store.putMany(blocks) },
    has: async (cid) => await store.has(cid),
    delete: async (cid, options) => await store.delete(cid, options),
    list: (options) => store.list(options),
    usage: async () => await store.usage(),
    [Symbol.asyncDispose]: async () => {}
  }
  return { store: rotting, block }
}

test('what is damaged is told, and nothing else happens, unless asked', async (context) => {
  const { store, block } = await rotten()
  const node = await openApiNode(context, { blocks: store })
  const told = await Array.fromAsync(verifyBlocks(node, { signal }))
  assert.deepEqual(told.map(({ cid, outcome }) => [cid.equals(block.cid), outcome]), [[true, 'found']])
  assert.equal((await store.usage()).blockCount, 2)
})

test('what is damaged is dropped, and what is in use is not', async (context) => {
  const { store, block } = await rotten()
  const node = await openApiNode(context, { blocks: store })
  {
    using lease = node.leases.open('test')
    lease.protect(block.cid)
    const [kept] = await Array.fromAsync(verifyBlocks(node, { signal, repair: 'drop' }))
    assert.deepEqual([kept?.outcome, kept?.why], ['kept', 'it is in use by work that is not finished'])
    assert.equal((await store.usage()).blockCount, 2)
  }
  {
    using _collection = node.leases.beginCollection()
    const [kept] = await Array.fromAsync(verifyBlocks(node, { signal, repair: 'drop' }))
    assert.equal(kept?.outcome, 'kept')
  }
  assert.deepEqual((await Array.fromAsync(verifyBlocks(node, { signal, repair: 'drop' }))).map(({ outcome }) => outcome), ['removed'])
  assert.deepEqual(await Array.fromAsync(verifyBlocks(node, { signal })), [])
})

test('a block that is stored anew before it is dropped stays', async (context) => {
  const { store, block } = await rotten(async (store, block) => { await store.put(block) })
  const node = await openApiNode(context, { blocks: store })
  assert.deepEqual((await Array.fromAsync(verifyBlocks(node, { signal, repair: 'drop' }))).map(({ outcome }) => outcome), ['healed'])
  assert.ok(await store.has(block.cid))
})

test('without peers nothing is healed and nothing removed', async (context) => {
  const { store } = await rotten()
  const node = await openApiNode(context, { blocks: store })
  await assert.rejects(Array.fromAsync(verifyBlocks(node, { signal, repair: 'heal' })), (err) => isErrorCode(err, 'UNAVAILABLE'))
  assert.equal((await store.usage()).blockCount, 2)
})

test('who gives up gets the reason given', async (context) => {
  const { store } = await rotten()
  const node = await openApiNode(context, { blocks: store })
  const reason = new Error('enough')
  await assert.rejects(Array.fromAsync(verifyBlocks(node, { signal: AbortSignal.abort(reason), repair: 'drop' })), (err) => err === reason)
})

test('a block that cannot be read for a while is told, and not dropped', async (context) => {
  const { store, block } = await rotten(async () => { throw new HoldfastError('UNAVAILABLE', 'This process has too many files open') })
  const node = await openApiNode(context, { blocks: store })
  assert.deepEqual((await Array.fromAsync(verifyBlocks(node, { signal, repair: 'drop' }))).map(({ outcome, reason }) => [outcome, reason]), [['kept', 'This process has too many files open']])
  assert.ok(await store.has(block.cid))
})

test('a damaged block that cannot be read any more when it shall go is not dropped', async (context) => {
  let reads = 0
  const { store, block } = await rotten(async () => { if (++reads > 1) throw new HoldfastError('UNAVAILABLE', 'This process has too many files open') })
  const node = await openApiNode(context, { blocks: store })
  assert.deepEqual((await Array.fromAsync(verifyBlocks(node, { signal, repair: 'drop' }))).map(({ outcome }) => outcome), ['kept'])
  assert.ok(await store.has(block.cid))
})

test('a sample reads one block in so many, others each time, and counts all', async (context) => {
  const reads: string[] = []
  const store = new class extends MemoryBlockstore {
    override async get (...args: Parameters<Blockstore['get']>): ReturnType<Blockstore['get']> {
      reads.push(args[0].toString())
      return await super.get(...args)
    }
  }()
  await store.putMany(await Promise.all(Array.from({ length: 20 }, async (_, index) => await Block.of(Buffer.from(`block ${index}`)))))
  const node = await openApiNode(context, { blocks: store })
  const read = new Set<string>()
  let blockCount = 0
  for (let tries = 0; read.size < 20; tries++) {
    assert.ok(tries < 1000, `only ${read.size} of 20 blocks were ever read`)
    for await (const { cid } of verifyBlocks(node, { signal, sample: 5, onProgress: (progress) => { blockCount = progress.blockCount } })) assert.fail(`${cid} is not damaged`)
    assert.equal(reads.length, 4)
    assert.equal(blockCount, 20)
    for (const cid of reads.splice(0)) read.add(cid)
  }
})
