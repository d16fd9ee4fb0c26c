import type { Blockstore } from '@holdfast/blockstore'
import { openPackBlockstore, type PackBlockstore, type PackBlockstoreOptions } from '@holdfast/blockstore/pack'
import { Block } from '@holdfast/core'
import { FsBlockstore } from 'blockstore-fs'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { createCipheriv, hash } from 'node:crypto'
import { read as readFile } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bench, Measurement } from '../bench.ts'
import { compare, type Figure, type Row, rowOf, sampleOf, secondsOf } from '../measure.ts'

/** What the store of packs costs by itself, beside one file per block and what the disk and the system could do. */
export const BLOCKSTORE_ROWS: readonly Measurement[] = [
  { name: 'put blocks of 4 KiB', run: putSmall },
  { name: 'put blocks of 256 KiB', run: putLarge },
  { name: 'get blocks of 4 KiB', run: getSmall },
  { name: 'get blocks of 256 KiB', run: getLarge },
  { name: 'has block', run: hasBlock },
  { name: 'open store', run: openStore },
  { name: 'growth of the store', run: growth },
  { name: 'delete half and compact', run: deleteHalf }
]

const SMALL_BYTES = 4096
const LARGE_BYTES: number = 256 * 1024

/** Of blocks whose number counts, not their bytes. */
const TINY_BYTES = 200

/** Blocks of a batch: 1 MiB of the small, 8 MiB of the large. */
const SMALL_BATCH = 256
const LARGE_BATCH = 32

/** Blocks of each length that are put and read: 80 and 256 MiB, which stay in the memory of the system. */
const SMALL_COUNT = 20_480
const LARGE_COUNT = 1024

/** Reads that run at once. */
const READERS = 32

/** Blocks of a store that is small. */
const FEW_BLOCKS = 1000

/** How long reads are timed, in ms. */
const READING_MS = 3000

/** The reserve of the disk is not what is measured. */
const OPTIONS: PackBlockstoreOptions = { reserveBytes: 0 }

let count = 0

function freshPath ({ folder }: Bench): string {
  return join(folder, `blockstore-${count++}`)
}

/** Blocks that do not compress, numbered from `from`: the same on each run. */
async function makeBlocks (byteLength: number, from: number, to: number): Promise<Block[]> {
  const blocks: Promise<Block>[] = []
  for (let number = from; number < to; number++) blocks.push(Block.of(bytesOf(byteLength, number)))
  return await Promise.all(blocks)
}

function bytesOf (byteLength: number, number: number): Uint8Array {
  const iv = Buffer.alloc(16)
  iv.writeUInt32LE(number, 8)
  return createCipheriv('chacha20', Buffer.alloc(32), iv).update(Buffer.alloc(byteLength))
}

function inBatches<T> (all: readonly T[], length: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / length) }, (_, index) => all.slice(index * length, (index + 1) * length))
}

/** In an order that no read-ahead foresees, the same on each run. */
function shuffled<T> (all: readonly T[]): T[] {
  return all.map((value, index) => ({ value, at: hash('sha1', String(index)) })).sort((a, b) => a.at < b.at ? -1 : 1).map(({ value }) => value)
}

/** Calls `use` for each, some at once, and returns how many a second. */
async function rateOf<T> (all: readonly T[], use: (one: T) => Promise<unknown>): Promise<number> {
  let next = 0
  const work = async (): Promise<void> => {
    for (let one = all[next++]; one !== undefined; one = all[next++]) await use(one)
  }
  const seconds = await secondsOf(() => Promise.all(Array.from({ length: READERS }, work)))
  return all.length / seconds
}

async function withFolder<T> (bench: Bench, use: (path: string) => Promise<T>): Promise<T> {
  const path = freshPath(bench)
  try {
    return await use(path)
  } finally {
    await rm(path, { recursive: true, force: true })
  }
}

async function openFs (path: string): Promise<FsBlockstore> {
  const store = new FsBlockstore(path)
  await store.open()
  return store
}

async function putMany (store: Blockstore, batches: readonly Block[][]): Promise<void> {
  for (const batch of batches) await store.putMany(batch)
}

/** Writes the same bytes behind each other, with a sync a batch. */
async function append (file: FileHandle, batches: readonly Block[][]): Promise<void> {
  for (const batch of batches) {
    await file.writev(batch.map(({ bytes }) => bytes))
    await file.datasync()
  }
}

async function rawAppend (path: string, batches: readonly Block[][]): Promise<void> {
  const file = await open(path, 'wx')
  try {
    await append(file, batches)
  } finally {
    await file.close()
  }
}

async function putSmall (bench: Bench): Promise<Row[]> {
  const batches = inBatches(await makeBlocks(SMALL_BYTES, 0, SMALL_COUNT), SMALL_BATCH)
  const rate = async (put: (path: string) => Promise<number>): Promise<number> => SMALL_COUNT / await withFolder(bench, put)
  return [await compare('put blocks of 4 KiB', 'blocks/s', [
    { name: 'Holdfast', run: () => rate((path) => secondsToPut(path, batches)) },
    {
      name: 'blockstore-fs putMany, no fsync',
      rounds: 3,
      run: () => rate(async (path) => {
        const store = await openFs(path)
        return await secondsOf(async () => { for (const batch of batches) for await (const _ of store.putMany(batch.map(({ cid, bytes }) => ({ cid, bytes: onePart(bytes) })))); })
      })
    },
    { name: 'append with the same fsyncs', run: () => rate((path) => secondsOf(() => rawAppend(path, batches))) }
  ], bench.options.rounds, `durable, batches of ${SMALL_BATCH}`)]
}

/** As blockstore-fs takes bytes. */
function * onePart (bytes: Uint8Array): Generator<Uint8Array> {
  yield bytes
}

async function secondsToPut (path: string, batches: readonly Block[][]): Promise<number> {
  await using store = await openPackBlockstore(path, OPTIONS)
  return await secondsOf(() => putMany(store, batches))
}

async function putLarge (bench: Bench): Promise<Row[]> {
  const blocks = await makeBlocks(LARGE_BYTES, 0, LARGE_COUNT)
  const batches = inBatches(blocks, LARGE_BATCH)
  const rate = async (put: (path: string) => Promise<number>): Promise<number> => LARGE_COUNT * LARGE_BYTES / 2 ** 20 / await withFolder(bench, put)
  return [await compare('put blocks of 256 KiB', 'MiB/s', [
    { name: 'Holdfast', run: () => rate((path) => secondsToPut(path, batches)) },
    { name: 'append with the same fsyncs', run: () => rate((path) => secondsOf(() => rawAppend(path, batches))) },
    {
      name: 'blockstore-fs put, no fsync',
      run: () => rate(async (path) => {
        const store = await openFs(path)
        return await secondsOf(async () => { for (const { cid, bytes } of blocks) await store.put(cid, bytes) })
      })
    }
  ], bench.options.rounds, `durable, batches of ${LARGE_BATCH}`)]
}

/** The same blocks in both stores, and open. */
async function filled (bench: Bench, blocks: readonly Block[]): Promise<{ path: string, packs: PackBlockstore, files: FsBlockstore } & AsyncDisposable> {
  const path = freshPath(bench)
  const packs = await openPackBlockstore(join(path, 'packs'), OPTIONS)
  const files = await openFs(join(path, 'files'))
  await putMany(packs, inBatches(blocks, SMALL_BATCH))
  for (const { cid, bytes } of blocks) await files.put(cid, bytes)
  await packs.flush()
  return {
    path,
    packs,
    files,
    async [Symbol.asyncDispose] () {
      await packs[Symbol.asyncDispose]()
      await rm(path, { recursive: true, force: true })
    }
  }
}

async function getFromFs (files: FsBlockstore, cid: CID): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of files.get(cid)) parts.push(part)
  const [only] = parts
  return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts)
}

/** One read of the system each, at the places where as many blocks would lie. */
function barePread (file: FileHandle, byteLength: number): (index: number) => Promise<void> {
  return (index) => new Promise((resolve, reject) => {
    readFile(file.fd, Buffer.allocUnsafeSlow(byteLength), 0, byteLength, index * byteLength, (err) => { if (err === null) resolve(); else reject(err) })
  })
}

async function getSmall (bench: Bench): Promise<Row[]> {
  const blocks = await makeBlocks(SMALL_BYTES, 0, SMALL_COUNT)
  const cids = shuffled(blocks.map(({ cid }) => cid))
  await using stores = await filled(bench, blocks)
  await using file = await open(join(stores.path, 'packs', 'packs', '00000001.car'))
  return [await compare('get blocks of 4 KiB', 'blocks/s', [
    { name: 'Holdfast', run: () => rateOf(cids, async (cid) => { assert.ok(await stores.packs.get(cid)) }) },
    { name: 'blockstore-fs, not verified', rounds: 3, run: () => rateOf(cids, (cid) => getFromFs(stores.files, cid)) },
    { name: 'bare pread', run: () => rateOf(shuffled(cids.map((_, index) => index)), barePread(file, SMALL_BYTES)) }
  ], bench.options.rounds, `verified, warm, ${READERS} at once`)]
}

async function getLarge (bench: Bench): Promise<Row[]> {
  const blocks = await makeBlocks(LARGE_BYTES, 0, LARGE_COUNT)
  const cids = shuffled(blocks.map(({ cid }) => cid))
  await using stores = await filled(bench, blocks)
  const rate = async (get: (cid: CID) => Promise<unknown>): Promise<number> => await rateOf(cids, get) * LARGE_BYTES / 2 ** 20
  const verifiedFs = { name: 'blockstore-fs, verified', run: () => rate(async (cid) => await Block.verify(cid, await getFromFs(stores.files, cid))) }
  const verified = await compare('get blocks of 256 KiB', 'MiB/s', [
    { name: 'Holdfast', run: () => rate(async (cid) => { assert.ok(await stores.packs.get(cid)) }) },
    verifiedFs,
    { name: 'SHA-256 alone', run: () => rate(async () => hash('sha256', blocks[0]?.bytes ?? '', 'buffer')) }
  ], bench.options.rounds, `verified, warm, ${READERS} at once`)
  await stores.packs[Symbol.asyncDispose]()
  await using trusting = await openPackBlockstore(join(stores.path, 'packs'), { ...OPTIONS, trustMedium: true })
  const trusted = await compare('get blocks of 256 KiB, medium trusted', 'MiB/s', [
    { name: 'Holdfast', run: () => rate(async (cid) => { assert.ok(await trusting.get(cid)) }) },
    verifiedFs
  ], bench.options.rounds, `warm, ${READERS} at once`)
  return [verified, trusted]
}

async function hasBlock (bench: Bench): Promise<Row[]> {
  const blocks = await makeBlocks(TINY_BYTES, 0, 2 * SMALL_COUNT)
  const [there, absent] = inBatches(blocks, SMALL_COUNT)
  assert.ok(there !== undefined && absent !== undefined)
  await using stores = await filled(bench, there)
  const rowOfHas = async (name: string, asked: readonly Block[], expected: boolean): Promise<Row> => {
    const cids = shuffled(asked.map(({ cid }) => cid))
    return await compare(name, 'answers/s', [
      { name: 'Holdfast', run: () => rateOf(cids, async (cid) => { assert.equal(await stores.packs.has(cid), expected) }) },
      { name: 'blockstore-fs', rounds: 3, run: () => rateOf(cids, async (cid) => { assert.equal(await stores.files.has(cid), expected) }) }
    ], bench.options.rounds, `of ${SMALL_COUNT} blocks`)
  }
  return [await rowOfHas('has block, hit', there, true), await rowOfHas('has block, miss', absent, false)]
}

/** Fills a store with tiny blocks, without holding them all. */
async function fill (store: PackBlockstore, blockCount: number): Promise<void> {
  const step = 4096
  for (let at = 0; at < blockCount; at += step) await store.putMany(await makeBlocks(TINY_BYTES, at, Math.min(at + step, blockCount)))
  await store.flush()
}

/** What is held for good, heap and beside it. */
function heldBytes (): number {
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

async function openStore (bench: Bench): Promise<Row[]> {
  const { rounds, blockCount } = bench.options
  const paths = { many: freshPath(bench), few: freshPath(bench) }
  const overhead = await sizeOf(paths.many, blockCount)
  await sizeOf(paths.few, FEW_BLOCKS)
  const held: Figure[] = []
  const msToOpen = async (path: string): Promise<number> => {
    const before = heldBytes()
    const begin = performance.now()
    await using store = await openPackBlockstore(path, OPTIONS)
    const ms = performance.now() - begin
    if (path === paths.many) held.push({ value: Math.max(0, heldBytes() - before) / (await store.usage()).blockCount })
    return ms
  }
  const rebuild = async (): Promise<number> => await secondsOf(async () => {
    await using store = await openPackBlockstore(paths.many, { ...OPTIONS, rebuildIndex: true })
    assert.equal((await store.usage()).blockCount, blockCount)
  })
  const opened = await compare('open store', 'ms', [
    { name: 'Holdfast', run: () => msToOpen(paths.many) },
    { name: `with ${FEW_BLOCKS} blocks`, run: () => msToOpen(paths.few) },
    { name: 'making the index anew', rounds: 1, run: async () => 1000 * await rebuild() }
  ], rounds, `${blockCount} blocks of ${TINY_BYTES} bytes, less is better`)
  for (const path of Object.values(paths)) await rm(path, { recursive: true, force: true })
  const note = `${blockCount} blocks of ${TINY_BYTES} bytes, less is better`
  return [
    opened,
    rowOf({ name: 'overhead of a block on the disk', unit: 'B/block', note }, [sampleOf('Holdfast', [{ value: overhead }]), sampleOf('a page of 4 KiB for each', [{ value: SMALL_BYTES - TINY_BYTES }])]),
    rowOf({ name: 'memory of an open store', unit: 'B/block', note }, [sampleOf('Holdfast', held), sampleOf('a digest of 32 bytes for each', [{ value: 32 }])])
  ]
}

/** Fills a store, and returns the bytes of packs and index beside those of each block. */
async function sizeOf (path: string, blockCount: number): Promise<number> {
  await using store = await openPackBlockstore(path, OPTIONS)
  await fill(store, blockCount)
  await using index = await open(join(path, 'blocks.mdb'))
  return (store.stats().packBytes + (await index.stat()).size) / blockCount - TINY_BYTES
}

async function growth (bench: Bench): Promise<Row[]> {
  const { rounds, blockCount } = bench.options
  const batches = inBatches(await makeBlocks(TINY_BYTES, blockCount, blockCount + SMALL_COUNT), SMALL_BATCH)
  const some = async (upTo: number): Promise<CID[]> => (await makeBlocks(TINY_BYTES, 0, Math.min(upTo, SMALL_COUNT))).map(({ cid }) => cid)
  const cids = { many: shuffled(await some(blockCount)), few: Array.from({ length: 20 }, () => some(FEW_BLOCKS)) }
  const fewCids = shuffled((await Promise.all(cids.few)).flat())
  const many = freshPath(bench)
  await sizeOf(many, blockCount)
  const putRate = async (store: PackBlockstore): Promise<number> => {
    const rate = SMALL_COUNT / await secondsOf(() => putMany(store, batches))
    for (const { cid } of batches.flat()) await store.delete(cid)
    return rate
  }
  await using large = await openPackBlockstore(many, { ...OPTIONS, compaction: false })
  const few = freshPath(bench)
  await using small = await openPackBlockstore(few, { ...OPTIONS, compaction: false })
  await fill(small, FEW_BLOCKS)
  const get = (store: PackBlockstore) => async (cid: CID): Promise<void> => { assert.ok(await store.get(cid)) }
  return [
    await compare('put into a large store', 'blocks/s', [{ name: 'Holdfast', run: () => putRate(large) }, { name: `into one of ${FEW_BLOCKS}`, run: () => putRate(small) }], rounds, `${blockCount} blocks of ${TINY_BYTES} bytes`),
    await compare('get from a large store', 'blocks/s', [{ name: 'Holdfast', run: () => rateOf(cids.many, get(large)) }, { name: `from one of ${FEW_BLOCKS}`, run: () => rateOf(fewCids, get(small)) }], rounds, `${blockCount} blocks of ${TINY_BYTES} bytes`)
  ]
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

async function deleteHalf (bench: Bench): Promise<Row[]> {
  const { blockCount } = bench.options
  const path = freshPath(bench)
  // Packs as small as the store is, in the measure of a million blocks in packs of the usual length.
  await using store = await openPackBlockstore(path, { ...OPTIONS, compaction: false, packBytes: Math.max(2 ** 20, Math.round(blockCount * TINY_BYTES / 8)) })
  await fill(store, blockCount)
  const kept: CID[] = []
  const begin = performance.now()
  let index = 0
  for await (const cid of store.list()) if (index++ % 2 === 0) kept.push(cid)
  const keptKeys = new Set(kept.map(String))
  const idle = await slowReadMs(store, kept, () => performance.now() - begin > READING_MS)
  let done = false
  const working = (async () => {
    for await (const cid of store.list()) if (!keptKeys.has(cid.toString())) await store.delete(cid)
    await store.compact()
  })().finally(() => { done = true })
  const [busy] = await Promise.all([slowReadMs(store, kept, () => done), working])
  const { packBytes, liveBytes } = store.stats()
  return [
    rowOf({ name: 'delete half and compact, p99 of reads', unit: 'ms', note: `${blockCount} blocks of ${TINY_BYTES} bytes, less is better` }, [sampleOf('Holdfast', [{ value: busy }]), sampleOf('nothing beside', [{ value: idle }])]),
    rowOf({ name: 'delete half and compact, packs on the disk', unit: 'MiB', note: 'less is better' }, [sampleOf('Holdfast', [{ value: packBytes / 2 ** 20 }]), sampleOf('live bytes', [{ value: liveBytes / 2 ** 20 }])])
  ]
}
