import { deleteBlocks } from '@holdfast/blockstore'
import { openPackBlockstore, type PackBlockstore } from '@holdfast/blockstore/pack'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench } from '../bench.ts'
import { compare, type Figure, type Row, rowOf, sampleOf, secondsOf } from '../measure.ts'
import { fill, freshPath, inBatches, makeBlocks, OPTIONS, putMany, rateOf, shuffled, SMALL_BATCH, SMALL_BYTES, SMALL_COUNT, TINY_BYTES } from './store-work.ts'

/** Blocks of a store that is small. */
const FEW_BLOCKS = 1000

/** Blocks that are put to see how fast that is: the index is written once on the way. */
const PUT_COUNT = 98_304

/** How long reads are timed, in ms. */
const READING_MS = 3000

/** Nothing is to be given back any more when the packs have not changed for so long, in ms: on a busy machine a step takes seconds. */
const SETTLED_MS = 10_000

/** What a store of many blocks costs to open and to hold, and how fast it is then beside one of few. */
export async function largeStore (bench: Bench): Promise<Row[]> {
  const { blockCount } = bench.options
  const paths = { many: freshPath(bench), few: freshPath(bench) }
  const overhead = await overheadOf(paths.many, blockCount)
  await overheadOf(paths.few, FEW_BLOCKS)
  const note = `${blockCount} blocks of ${TINY_BYTES} bytes, less is better`
  const rows = [
    ...await opening(bench, paths),
    rowOf({ name: 'overhead of a block on the disk', unit: 'B/block', note }, [sampleOf('Holdfast', [{ value: overhead }]), sampleOf('a page of 4 KiB for each', [{ value: SMALL_BYTES - TINY_BYTES }])]),
    ...await growth(bench, paths),
    await rebuilding(paths.many, note)
  ]
  for (const path of Object.values(paths)) await rm(path, { recursive: true, force: true })
  return rows
}

interface Paths {
  readonly many: string
  readonly few: string
}

/** Fills a store, and returns the bytes of packs and index beside those of each block. */
async function overheadOf (path: string, blockCount: number): Promise<number> {
  await using store = await openPackBlockstore(path, OPTIONS)
  await fill(store, blockCount)
  return (store.stats().packBytes + (await stat(join(path, 'blocks.mdb'))).size) / blockCount - TINY_BYTES
}

async function opening ({ options: { rounds, blockCount } }: Bench, { many, few }: Paths): Promise<Row[]> {
  const held: Figure[] = []
  const msToOpen = async (path: string): Promise<number> => {
    const before = heldBytes()
    const begin = performance.now()
    await using store = await openPackBlockstore(path, OPTIONS)
    const ms = performance.now() - begin
    if (path === many) held.push({ value: Math.max(0, heldBytes() - before) / (await store.usage()).blockCount })
    return ms
  }
  const note = `${blockCount} blocks of ${TINY_BYTES} bytes, less is better`
  const opened = await compare('open store', 'ms', [
    { name: 'Holdfast', run: () => msToOpen(many) },
    { name: `with ${FEW_BLOCKS} blocks`, run: () => msToOpen(few) }
  ], rounds, note)
  return [opened, rowOf({ name: 'memory of an open store', unit: 'B/block', note }, [sampleOf('Holdfast', held), sampleOf('a digest of 32 bytes for each', [{ value: 32 }])])]
}

/** What is held for good, heap and beside it. */
function heldBytes (): number {
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

async function rebuilding (path: string, note: string): Promise<Row> {
  const msWith = async (rebuildIndex: boolean): Promise<Figure> => {
    const seconds = await secondsOf(async () => { await using _ = await openPackBlockstore(path, { ...OPTIONS, rebuildIndex }) })
    return { value: 1000 * seconds }
  }
  return rowOf({ name: 'open store, making the index anew', unit: 'ms', note }, [sampleOf('Holdfast', [await msWith(true)]), sampleOf('with its index', [await msWith(false)])])
}

async function growth ({ options: { rounds, blockCount } }: Bench, paths: Paths): Promise<Row[]> {
  const options = { ...OPTIONS, compaction: false }
  await using large = await openPackBlockstore(paths.many, options)
  await using small = await openPackBlockstore(paths.few, options)
  const fresh = await makeBlocks(TINY_BYTES, blockCount, blockCount + PUT_COUNT)
  const putRate = async (store: PackBlockstore): Promise<number> => {
    const seconds = await secondsOf(() => putMany(store, inBatches(fresh, SMALL_BATCH)))
    await deleteBlocks(store, fresh.map(({ cid }) => cid))
    await store.flush()
    return PUT_COUNT / seconds
  }
  const cids = { many: await someCids(blockCount), few: await someCids(FEW_BLOCKS) }
  const get = (store: PackBlockstore) => async (cid: CID): Promise<void> => { assert.ok(await store.get(cid)) }
  const note = `${blockCount} blocks of ${TINY_BYTES} bytes`
  return [
    await compare('put into a large store', 'blocks/s', [{ name: 'Holdfast', run: () => putRate(large) }, { name: `into one of ${FEW_BLOCKS}`, run: () => putRate(small) }], rounds, `${note}, durable, batches of ${SMALL_BATCH}`),
    await compare('get from a large store', 'blocks/s', [{ name: 'Holdfast', run: () => rateOf(cids.many, get(large)) }, { name: `from one of ${FEW_BLOCKS}`, run: () => rateOf(cids.few, get(small)) }], rounds, note)
  ]
}

/** As many from all over a store of `blockCount`, whatever that is, in an order that nothing foresees. */
async function someCids (blockCount: number): Promise<CID[]> {
  const step = Math.max(1, Math.floor(blockCount / SMALL_COUNT))
  const distinct: CID[] = []
  for (let number = 0; number < blockCount && distinct.length < SMALL_COUNT; number += step) {
    for (const { cid } of await makeBlocks(TINY_BYTES, number, number + 1)) distinct.push(cid)
  }
  return shuffled(Array.from({ length: SMALL_COUNT }, (_, index) => distinct[index % distinct.length]).filter((cid) => cid !== undefined))
}

/** What deleting and compacting costs those who read meanwhile, and what room it gives back. */
export async function deleteHalf (bench: Bench): Promise<Row[]> {
  const { blockCount } = bench.options
  const path = freshPath(bench)
  // Packs as small as the store is, in the measure of a million blocks in packs of the usual length.
  await using store = await openPackBlockstore(path, { ...OPTIONS, packBytes: Math.max(2 ** 20, Math.round(blockCount * TINY_BYTES / 8)) })
  await fill(store, blockCount)
  const kept: CID[] = []
  const gone: CID[] = []
  for await (const cid of store.list()) (kept.length > gone.length ? gone : kept).push(cid)
  const read = shuffled(kept).slice(0, SMALL_COUNT)
  const begin = performance.now()
  const idle = await slowReadMs(store, read, () => performance.now() - begin > READING_MS)
  let isDone = false
  const working = (async () => {
    for (const cids of inBatches(gone, SMALL_COUNT)) await deleteBlocks(store, cids)
    await compacted(store)
  })().finally(() => { isDone = true })
  const [busy] = await Promise.all([slowReadMs(store, read, () => isDone), working])
  const { packBytes, liveBytes } = store.stats()
  return [
    rowOf({ name: 'delete half and compact, p99 of reads', unit: 'ms', note: `${blockCount} blocks of ${TINY_BYTES} bytes, less is better` }, [sampleOf('Holdfast', [{ value: busy }]), sampleOf('nothing beside', [{ value: idle }])]),
    rowOf({ name: 'delete half and compact, packs on the disk', unit: 'MiB', note: 'less is better' }, [sampleOf('Holdfast', [{ value: packBytes / 2 ** 20 }]), sampleOf('live bytes', [{ value: liveBytes / 2 ** 20 }])])
  ]
}

/** Resolves when the store, which compacts by itself, has done so. */
async function compacted (store: PackBlockstore): Promise<void> {
  let packBytes = -1
  for (let settledMs = 0; settledMs < SETTLED_MS; settledMs += 1000) {
    await sleep(1000)
    if (store.stats().packBytes !== packBytes) settledMs = 0
    packBytes = store.stats().packBytes
  }
}

/** The longest but one in a hundred of single reads, in ms, until `done`. */
async function slowReadMs (store: PackBlockstore, cids: readonly CID[], isDone: () => boolean): Promise<number> {
  const took: number[] = []
  for (let index = 0; !isDone(); index = (index + 1) % cids.length) {
    const cid = cids[index]
    assert.ok(cid)
    // As requests come: each waits for its turn first.
    const begin = performance.now()
    await new Promise(setImmediate)
    assert.ok(await store.get(cid))
    took.push(performance.now() - begin)
  }
  return took.toSorted((a, b) => a - b)[Math.floor(took.length * 0.99)] ?? NaN
}
