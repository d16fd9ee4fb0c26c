import { deleteBlocks } from '@holdfast/blockstore'
import { openPackBlockstore, type PackBlockstore } from '@holdfast/blockstore/pack'
import { Block, CODECS, encodeDagPb } from '@holdfast/core'
import { walkDag } from '@holdfast/dag'
import { collectGarbage, indirectPins, LeaseBook, leasedWriter, openJournal, openPinSet, openReferences, type PinSet, type References } from '@holdfast/pins'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bench, Measurement } from '../bench.ts'
import { compare, type Row, secondsOf } from '../measure.ts'
import { freshPath, inBatches, OPTIONS } from './store-work.ts'

/** What references and collection cost on a store of packs, durable. */
export const COLLECT_ROWS: readonly Measurement[] = [
  { name: 'collect, and list indirect pins', run: collectAndList },
  { name: 'add while collecting', run: addWhileCollecting }
]

/** Links of a DAG node: Kubo's width for files. */
const LINKS_PER_NODE = 174

/** Bytes of a leaf: small, so that the index counts. */
const LEAF_BYTES = 200

/** Leaves that are put together: a few MiB with the DAG nodes above. */
const LEAVES_PER_PUT: number = 64 * LINKS_PER_NODE

/** What is collected of a repository of any length, as Kubo was asked to. */
const COLLECTED_COUNT = 100_000

/** Deletions that are asked for together where nothing is known of references. */
const DELETIONS_TOGETHER = 8192

interface Repository extends AsyncDisposable {
  readonly blocks: PackBlockstore
  readonly pins: PinSet
  readonly leases: LeaseBook
  readonly references: References
}

async function openRepository (bench: Bench): Promise<Repository> {
  await using opening = new AsyncDisposableStack()
  const path = freshPath(bench)
  opening.defer(async () => { await rm(path, { recursive: true, force: true }) })
  const blocks = opening.use(await openPackBlockstore(path, OPTIONS))
  const pins = opening.use(await openPinSet(opening.use(await openJournal(join(path, 'journal')))))
  const leases = new LeaseBook()
  const references = opening.use(await openReferences({ blocks, pins, leases }, { path: join(path, 'state.mdb') }))
  const open = opening.move()
  return { blocks, pins, leases, references, [Symbol.asyncDispose]: async () => { await open.disposeAsync() } }
}

/** Adds and pins a DAG of so many leaves, in as many levels as it takes. */
async function addDag ({ blocks, pins, leases, references }: Repository, leafCount: number, seed: string): Promise<CID> {
  using lease = leases.open('add')
  const writer = leasedWriter(blocks, lease)
  const put = async (some: Promise<Block>[]): Promise<CID[]> => {
    const added = await Promise.all(some)
    await writer.putMany(added)
    // As a node's store does it.
    for (const { cid } of added) references.note(cid)
    return added.map(({ cid }) => cid)
  }
  let level: CID[] = []
  for (let at = 0; at < leafCount; at += LEAVES_PER_PUT) {
    level.push(...await put(Array.from({ length: Math.min(LEAVES_PER_PUT, leafCount - at) }, (_, index) => Block.of(Buffer.alloc(LEAF_BYTES, `${seed} ${at + index} `)))))
  }
  while (level.length > 1) {
    level = await put(inBatches(level, LINKS_PER_NODE).map((cids) => Block.of(encodeDagPb({ data: undefined, links: cids.map((cid) => ({ cid, name: new Uint8Array(), tsize: LEAF_BYTES })) }), { codec: CODECS.dagPb })))
  }
  const [root] = level
  assert.ok(root)
  await pins.add({ cid: root, kind: 'recursive' })
  return root
}

async function walkAll ({ blocks, pins }: Repository): Promise<number> {
  let blockCount = 0
  for (const { cid } of pins.list()) for await (const _ of walkDag(blocks, [cid])) blockCount++
  return blockCount
}

/** Three rows of one repository: making one of a million blocks takes longer than all that is measured. */
async function collectAndList (bench: Bench): Promise<Row[]> {
  const { blockCount, rounds } = bench.options
  await using repository = await openRepository(bench)
  await addDag(repository, Math.max(blockCount - COLLECTED_COUNT, LINKS_PER_NODE), 'kept')
  await addDag(repository, COLLECTED_COUNT, 'kept too')
  await collectGarbage(repository)
  const walked = { name: 'walk of every pin', rounds: 1 }
  return [
    await compare('collect nothing', 'ms', [
      { name: 'Holdfast', run: async () => 1000 * await secondsOf(async () => { assert.equal((await collectGarbage(repository)).removedCount, 0) }) },
      { ...walked, run: async () => 1000 * await secondsOf(() => walkAll(repository)) }
    ], rounds, `${blockCount} blocks, less is better`),
    await compare('list indirect pins', 'answers/s', [
      { name: 'Holdfast', run: () => answerRate(blockCount, () => indirectCount(repository)) },
      { ...walked, run: () => answerRate(blockCount, () => walkAll(repository)) }
    ], rounds, `of ${blockCount} blocks, with a root each`),
    await compare('collect 100,000', 'ms', [
      { name: 'Holdfast', run: () => msToCollect(repository) },
      { name: 'delete alone', run: () => msToDelete(repository) }
    ], Math.min(rounds, 3), `of ${blockCount} blocks, from the end of the unpinning until all are gone, durable, less is better`)
  ]
}

async function answerRate (leastCount: number, list: () => Promise<number>): Promise<number> {
  let answerCount = 0
  const seconds = await secondsOf(async () => { answerCount = await list() })
  assert.ok(answerCount >= leastCount)
  return answerCount / seconds
}

async function indirectCount (repository: Repository): Promise<number> {
  let answerCount = 0
  for await (const _ of indirectPins(repository)) answerCount++
  return answerCount
}

async function msToCollect (repository: Repository): Promise<number> {
  const root = await addDag(repository, COLLECTED_COUNT, 'gone')
  await collectGarbage(repository)
  await repository.blocks.flush()
  await repository.pins.remove({ cid: root })
  return 1000 * await secondsOf(async () => { assert.ok((await collectGarbage(repository)).removedCount >= COLLECTED_COUNT) })
}

async function msToDelete (repository: Repository): Promise<number> {
  const { blocks, pins } = repository
  const root = await addDag(repository, COLLECTED_COUNT, 'gone')
  const cids: CID[] = []
  for await (const { cid } of walkDag(blocks, [root])) cids.push(cid)
  await blocks.flush()
  await pins.remove({ cid: root })
  const ms = 1000 * await secondsOf(async () => { for (const some of inBatches(cids, DELETIONS_TOGETHER)) await deleteBlocks(blocks, some) })
  await collectGarbage(repository)
  return ms
}

/** Blocks of 256 KiB that are added together. */
const ADDED_TOGETHER = 32

/** How long adds are measured when nothing else goes on, in ms. */
const ADD_MS = 2000

async function addWhileCollecting (bench: Bench): Promise<Row[]> {
  const { blockCount, rounds } = bench.options
  return [await compare('add while collecting', 'MiB/s', [
    {
      name: 'Holdfast',
      run: async () => {
        await using repository = await openRepository(bench)
        const root = await addDag(repository, blockCount, 'gone')
        await collectGarbage(repository)
        await repository.pins.remove({ cid: root })
        let isOver = false
        const collecting = collectGarbage(repository).finally(() => { isOver = true })
        const [rate] = await Promise.all([addRate(repository, () => isOver), collecting])
        return rate
      }
    },
    {
      name: 'nothing beside',
      run: async () => {
        await using repository = await openRepository(bench)
        const begin = performance.now()
        return await addRate(repository, () => performance.now() - begin > ADD_MS)
      }
    }
  ], Math.min(rounds, 3), `blocks of 256 KiB, durable, while ${blockCount} are collected`)]
}

async function addRate ({ blocks, leases, references }: Repository, isOver: () => boolean): Promise<number> {
  const begin = performance.now()
  let addedCount = 0
  while (!isOver()) {
    const added = await Promise.all(Array.from({ length: ADDED_TOGETHER }, (_, index) => Block.of(Buffer.alloc(256 * 1024, `${addedCount + index} `))))
    using lease = leases.open('add')
    await leasedWriter(blocks, lease).putMany(added)
    for (const { cid } of added) references.note(cid)
    addedCount += added.length
  }
  return addedCount / 4 / ((performance.now() - begin) / 1000)
}
