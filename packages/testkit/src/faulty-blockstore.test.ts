import { Block, HoldfastError, isErrorCode } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { countingBlockstore } from './counting-blockstore.ts'
import { faultyBlockstore } from './faulty-blockstore.ts'

/** The slice of a store that the wrappers touch, with a private field as real engines have. */
class Shelf {
  readonly #blocks = new Map<string, Block>()

  async get (cid: CID, _options?: { signal?: AbortSignal }): Promise<Block | undefined> {
    return this.#blocks.get(cid.toString())
  }

  async has (cid: CID): Promise<boolean> {
    return this.#blocks.has(cid.toString())
  }

  async put (block: Block): Promise<void> {
    this.#blocks.set(block.cid.toString(), block)
  }

  async putMany (blocks: readonly Block[]): Promise<void> {
    for (const block of blocks) await this.put(block)
  }

  get count (): number {
    return this.#blocks.size
  }
}

const blocks = await Promise.all([1, 2, 3, 4].map((byte) => Block.of(Uint8Array.of(byte))))
const [first, second] = blocks
assert.ok(first !== undefined && second !== undefined)

test('the put that was named fails, and the ones around it are stored', async () => {
  const shelf = new Shelf()
  const store = faultyBlockstore(shelf, { failPutAt: 2 })
  await store.put(first)
  await assert.rejects(store.put(second), (err) => isErrorCode(err, 'UNAVAILABLE'))
  assert.equal(shelf.count, 1)
  await store.put(second)
  assert.equal(store.count, 2, 'members that are not methods pass through')
})

test('a putMany fails at its block and stores those before it', async () => {
  const shelf = new Shelf()
  const error = new HoldfastError('LIMIT', 'disk is full')
  const store = faultyBlockstore(shelf, { failPutAt: 3, error })
  await assert.rejects(store.putMany(blocks), (err) => err === error)
  assert.equal(shelf.count, 2)
  await store.putMany(blocks)
  assert.equal(shelf.count, 4)
})

test('the get that was named fails once', async () => {
  const store = faultyBlockstore(new Shelf(), { failGetAt: 1 })
  await assert.rejects(store.get(first.cid), (err) => isErrorCode(err, 'UNAVAILABLE'))
  assert.equal(await store.get(first.cid), undefined)
})

test('a delayed call ends with the reason of the caller that gave up', async () => {
  const store = faultyBlockstore(new Shelf(), { delayMs: 60_000 })
  const reason = new Error('changed my mind')
  const controller = new AbortController()
  const getting = store.get(first.cid, { signal: controller.signal })
  controller.abort(reason)
  await assert.rejects(getting, (err) => err === reason)
})

test('calls are counted, with the most gets that ran at once', async () => {
  const { store, counts } = countingBlockstore(faultyBlockstore(new Shelf(), { delayMs: 1 }))
  await store.put(first)
  await store.putMany(blocks)
  await Promise.all(blocks.map(({ cid }) => store.get(cid)))
  await store.has(first.cid)
  assert.deepEqual(counts, { get: 4, has: 1, put: 5, putMany: 1, delete: 0, getsInFlight: 0, maxGetsInFlight: 4 })
})
