import { type Blockstore, MemoryBlockstore } from '@holdfast/blockstore'
import { Block, CODECS, encodeDagPb } from '@holdfast/core'
import { walkDag } from '@holdfast/dag'
import { collectGarbage, indirectPins, LeaseBook, leasedWriter, openJournal, openPinSet, openReferences, type PinSet, type References } from '@holdfast/pins'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { Bench, Measurement } from '../bench.ts'
import { compare, type Row, secondsOf } from '../measure.ts'

/** What references and collection cost, apart from the store: its blocks are in memory. */
export const COLLECT_ROWS: readonly Measurement[] = [
  { name: 'collect nothing', run: collectNothing },
  { name: 'list indirect pins', run: listIndirect },
  { name: 'collect most', run: collectMost },
  { name: 'add while collecting', run: addWhileCollecting }
]

/** Links of a DAG node: Kubo's width for files. */
const LINKS_PER_NODE = 174

/** Bytes of a leaf: small, so that the index counts. */
const LEAF_BYTES = 200

/** Of 110,000 blocks 100,000 are collected, as Kubo was asked to. */
const COLLECTED_SHARE = 10 / 11

interface Repository extends AsyncDisposable {
  readonly blocks: Blockstore
  readonly pins: PinSet
  readonly leases: LeaseBook
  readonly references: References
}

let count = 0

async function openRepository ({ folder }: Bench): Promise<Repository> {
  const open = new AsyncDisposableStack()
  const path = join(folder, `collect-${count++}`)
  const blocks = new MemoryBlockstore()
  const pins = open.use(await openPinSet(open.use(await openJournal(`${path}.journal`))))
  const leases = new LeaseBook()
  const references = open.use(await openReferences({ blocks, pins, leases }, { path: `${path}.mdb` }))
  return { blocks: noted(blocks, references), pins, leases, references, [Symbol.asyncDispose]: async () => { await open.disposeAsync() } }
}

/** As a node's store does it. */
function noted (blocks: MemoryBlockstore, references: References): Blockstore {
  return Object.assign(blocks, {
    putMany: async (some: readonly Block[]) => {
      await MemoryBlockstore.prototype.putMany.call(blocks, some)
      for (const { cid } of some) references.note(cid)
    }
  })
}

/** Adds and pins a DAG of so many leaves, in as many levels as it takes. */
async function addDag ({ blocks, pins, leases }: Repository, leafCount: number, seed: string): Promise<CID> {
  using lease = leases.open('add')
  const writer = leasedWriter(blocks, lease)
  let level: CID[] = []
  for (let at = 0; at < leafCount; at += LINKS_PER_NODE) {
    const leaves = await Promise.all(Array.from({ length: Math.min(LINKS_PER_NODE, leafCount - at) }, (_, index) => Block.of(Buffer.alloc(LEAF_BYTES, `${seed} ${at + index} `))))
    await writer.putMany(leaves)
    level.push(...leaves.map(({ cid }) => cid))
  }
  while (level.length > 1) {
    const above: CID[] = []
    for (let at = 0; at < level.length; at += LINKS_PER_NODE) {
      const node = await Block.of(encodeDagPb({ data: undefined, links: level.slice(at, at + LINKS_PER_NODE).map((cid) => ({ cid, name: new Uint8Array(), tsize: LEAF_BYTES })) }), { codec: CODECS.dagPb })
      await writer.put(node)
      above.push(node.cid)
    }
    level = above
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

async function collectNothing (bench: Bench): Promise<Row[]> {
  const { blockCount, rounds } = bench.options
  await using repository = await openRepository(bench)
  await addDag(repository, blockCount, 'kept')
  await collectGarbage(repository)
  return [await compare('collect nothing', 'ms', [
    { name: 'Holdfast', run: async () => 1000 * await secondsOf(async () => { assert.equal((await collectGarbage(repository)).removedCount, 0) }) },
    { name: 'walk of every pin', run: async () => 1000 * await secondsOf(() => walkAll(repository)) }
  ], rounds, `${blockCount} blocks, less is better`)]
}

async function listIndirect (bench: Bench): Promise<Row[]> {
  const { blockCount, rounds } = bench.options
  await using repository = await openRepository(bench)
  await addDag(repository, blockCount, 'kept')
  await repository.references.settle()
  const rateOf = async (list: () => Promise<number>): Promise<number> => {
    let answerCount = 0
    const seconds = await secondsOf(async () => { answerCount = await list() })
    assert.ok(answerCount >= blockCount)
    return answerCount / seconds
  }
  return [await compare('list indirect pins', 'answers/s', [
    {
      name: 'Holdfast',
      run: () => rateOf(async () => {
        let answerCount = 0
        for await (const _ of indirectPins(repository)) answerCount++
        return answerCount
      })
    },
    { name: 'walk of every pin', run: () => rateOf(() => walkAll(repository)) }
  ], rounds, `of ${blockCount} blocks, with a root each`)]
}

async function collectMost (bench: Bench): Promise<Row[]> {
  const { blockCount, rounds } = bench.options
  const collectedCount = Math.round(blockCount * COLLECTED_SHARE)
  return [await compare('collect most', 'ms', [
    {
      name: 'Holdfast',
      run: async () => {
        await using repository = await openRepository(bench)
        await addDag(repository, blockCount - collectedCount, 'kept')
        const root = await addDag(repository, collectedCount, 'gone')
        await collectGarbage(repository)
        await repository.pins.remove({ cid: root })
        return 1000 * await secondsOf(async () => { assert.ok((await collectGarbage(repository)).removedCount >= collectedCount) })
      }
    },
    {
      name: 'delete alone',
      run: async () => {
        await using repository = await openRepository(bench)
        await addDag(repository, collectedCount, 'gone')
        const cids = await Array.fromAsync(repository.blocks.list())
        return 1000 * await secondsOf(async () => { for (const cid of cids) await repository.blocks.delete(cid) })
      }
    }
  ], Math.min(rounds, 3), `${collectedCount} of ${blockCount} blocks, less is better`)]
}

/** How long adds are measured, in ms. */
const ADD_MS = 2000

async function addWhileCollecting (bench: Bench): Promise<Row[]> {
  const { blockCount, rounds } = bench.options
  const addFor = async (repository: Repository): Promise<number> => {
    const startedMs = performance.now()
    let byteLength = 0
    for (let round = 0; performance.now() - startedMs < ADD_MS; round++) {
      const blocks = await Promise.all(Array.from({ length: 32 }, (_, index) => Block.of(Buffer.alloc(256 * 1024, `${round} ${index} `))))
      using lease = repository.leases.open('add')
      await leasedWriter(repository.blocks, lease).putMany(blocks)
      byteLength += blocks.length * 256 * 1024
      // What was added is not to fill the memory.
      for (const { cid } of blocks) await repository.blocks.delete(cid)
    }
    return byteLength / 2 ** 20 / ((performance.now() - startedMs) / 1000)
  }
  return [await compare('add while collecting', 'MiB/s', [
    {
      name: 'Holdfast',
      run: async () => {
        await using repository = await openRepository(bench)
        const root = await addDag(repository, blockCount, 'gone')
        await collectGarbage(repository)
        await repository.pins.remove({ cid: root })
        const [rate] = await Promise.all([addFor(repository), collectGarbage(repository)])
        return rate
      }
    },
    {
      name: 'nothing beside',
      run: async () => {
        await using repository = await openRepository(bench)
        return await addFor(repository)
      }
    }
  ], Math.min(rounds, 3), `blocks of 256 KiB, in memory, while ${blockCount} are collected`)]
}
