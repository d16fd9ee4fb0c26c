/**
 * The promise of references and collection, against a model that knows every DAG: no block of a pinned DAG is ever removed, nor
 * one that a lease protects; all others go in the end; and the index is left with nothing when nothing is pinned. Through crashes,
 * a lost index, walks and collections that break off, and whatever happens at once.
 */
import { type BlockReader, type Blockstore, MemoryBlockstore } from '@holdfast/blockstore'
import { Block, CODECS, HoldfastError, isErrorCode, multihashKey } from '@holdfast/core'
import { encode } from '@ipld/dag-cbor'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { collectGarbage } from '../collect.ts'
import { openJournal } from '../journal/journal.ts'
import { LeaseBook, leasedWriter } from '../leases.ts'
import { pinDag } from '../pinning.ts'
import { openPinSet, type PinSet } from '../pin-set.ts'
import { openReferences, type References } from './references.ts'
import { scratchPath } from './scratch-references.test.ts'

const scratch = await mkdtemp(join(tmpdir(), 'holdfast-interleaving-'))
after(async () => { await rm(scratch, { recursive: true }) })

/** A DAG and all its blocks, children before parents. */
interface Dag {
  readonly root: Block
  readonly blocks: readonly Block[]
}

/** Few leaves below many DAG nodes, some of which are linked as raw bytes and as DAG nodes. */
async function makeDags (): Promise<Dag[]> {
  const dags: Dag[] = await Promise.all(['a', 'b', 'c', 'd', 'e'].map(async (text) => {
    const root = await Block.of(Buffer.from(text))
    return { root, blocks: [root] }
  }))
  const over = async (...at: number[]): Promise<void> => {
    const children = at.map((index) => dags[index]).filter((dag) => dag !== undefined)
    const root = await Block.of(encode({ children: children.map((child) => child.root.cid) }), { codec: CODECS.dagCbor })
    dags.push({ root, blocks: [...children.flatMap(({ blocks }) => blocks), root] })
  }
  await over(0, 1, 1) // 5
  await over(1, 2) // 6
  await over(5, 6) // 7
  await over(3, 5) // 8
  await over(7, 8, 4) // 9
  const [inner] = dags.slice(6, 7)
  assert.ok(inner)
  const raw = inner.root.as(CID.createV1(CODECS.raw, inner.root.cid.multihash))
  dags.push({ root: raw, blocks: [raw] }) // 10: the bytes of 6 alone
  await over(10, 4) // 11
  return dags
}

/** What goes wrong at some call to come. */
interface Fault {
  kind: 'get' | 'delete' | undefined
  inCalls: number
}

/** A store whose calls yield as a disk's do, and fail when they are told to. Changes of a block take turns. */
class FlakyBlockstore extends MemoryBlockstore {
  readonly fault: Fault = { kind: undefined, inCalls: 0 }
  references: Pick<References, 'note'> | undefined
  readonly #turns = new Map<string, Promise<unknown>>()

  override async get (...args: Parameters<BlockReader['get']>): ReturnType<BlockReader['get']> {
    await setImmediate()
    this.#failAt('get')
    return await super.get(...args)
  }

  override async putMany (blocks: readonly Block[]): Promise<void> {
    for (const block of blocks) {
      await this.#inTurn(block.cid, async () => {
        await setImmediate()
        await super.putMany([block])
      })
    }
    for (const { cid } of blocks) this.references?.note(cid)
  }

  override async delete (...[cid, { when } = {}]: Parameters<Blockstore['delete']>): Promise<boolean> {
    return await this.#inTurn(cid, async () => {
      if (when?.() === false) return false
      await setImmediate()
      this.#failAt('delete')
      return await super.delete(cid)
    })
  }

  #failAt (kind: 'get' | 'delete'): void {
    if (this.fault.kind !== kind || --this.fault.inCalls > 0) return
    this.fault.kind = undefined
    throw new HoldfastError('UNAVAILABLE', 'The disk does not answer')
  }

  async #inTurn<T> (cid: CID, change: () => Promise<T>): Promise<T> {
    const key = multihashKey(cid)
    const turn = (this.#turns.get(key) ?? Promise.resolve()).then(change)
    this.#turns.set(key, turn.catch(() => {}))
    return await turn
  }
}

/** One life of a node: what a crash ends. */
interface Life extends AsyncDisposable {
  readonly pins: PinSet
  readonly leases: LeaseBook
  readonly references: References
  readonly path: string
}

async function begin (blocks: FlakyBlockstore, folder: string, path: string): Promise<Life> {
  const open = new AsyncDisposableStack()
  const journal = open.use(await openJournal(folder))
  const pins = open.use(await openPinSet(journal))
  const leases = new LeaseBook()
  const references = open.use(await openReferences({ blocks, pins, leases }, { path }))
  blocks.references = references
  return { pins, leases, references, path, [Symbol.asyncDispose]: async () => { await open.disposeAsync() } }
}

type World = Life & { readonly blocks: FlakyBlockstore }

/** An operation on one of the DAGs; those of a round run at once. */
const OPERATIONS = {
  async add ({ blocks, pins, leases }: World, dag: Dag) {
    using lease = leases.open('add')
    await leasedWriter(blocks, lease).putMany(dag.blocks)
    await pins.add({ cid: dag.root.cid, kind: 'recursive' })
  },
  async pin (world: World, { root }: Dag) {
    await pinDag(world, { cid: root.cid, kind: 'recursive', name: 'pinned' }).catch(unlessExpected)
  },
  async pinDirect (world: World, { root }: Dag) {
    await pinDag(world, { cid: root.cid, kind: 'direct' }).catch(unlessExpected)
  },
  async unpin ({ pins }: World, { root }: Dag) {
    await pins.remove({ cid: root.cid }).catch(unlessExpected)
  },
  async giveUp ({ blocks, leases }: World, dag: Dag) {
    using lease = leases.open('import that fails')
    await leasedWriter(blocks, lease).putMany(dag.blocks.slice(0, -1))
  },
  async put ({ blocks }: World, dag: Dag) {
    await blocks.putMany(dag.blocks)
  },
  async collect (world: World) {
    await collectGarbage(world).catch(unlessExpected)
  },
  async collectAll (world: World) {
    await collectGarbage(world, { full: true }).catch(unlessExpected)
  },
  async dryRun (world: World) {
    await collectGarbage(world, { dryRun: true }).catch(unlessExpected)
  },
  async settle ({ references }: World) {
    await references.settle().catch(unlessExpected)
  },
  async failReading ({ blocks: { fault } }: World) {
    Object.assign(fault, { kind: 'get', inCalls: 2 })
  },
  async failRemoving ({ blocks: { fault } }: World) {
    Object.assign(fault, { kind: 'delete', inCalls: 2 })
  }
}

function unlessExpected (err: unknown): void {
  if (!isErrorCode(err, 'NOT_FOUND') && !isErrorCode(err, 'UNAVAILABLE')) throw err
}

const operation = fc.tuple(fc.constantFrom(...Object.keys(OPERATIONS) as Array<keyof typeof OPERATIONS>), fc.nat(11))
const round = fc.record({ operations: fc.array(operation, { minLength: 1, maxLength: 5 }), end: fc.constantFrom('nothing', 'nothing', 'close', 'crash', 'lose the index') })

/** What the pins keep, known from how the DAGs were made. */
function keptBy (pins: PinSet, dags: readonly Dag[]): Set<string> {
  const kept = new Set<string>()
  for (const { cid, kind } of pins.list()) {
    for (const block of kind === 'direct' ? [{ cid }] : dags.find(({ root }) => root.cid.equals(cid))?.blocks ?? []) kept.add(multihashKey(block.cid))
  }
  return kept
}

async function heldIn (blocks: Blockstore): Promise<Set<string>> {
  return new Set((await Array.fromAsync(blocks.list())).map(multihashKey))
}

let count = 0

/** Ends a life and begins the next, with the index as the end leaves it. */
async function next (life: Life, end: string, blocks: FlakyBlockstore, folder: string): Promise<Life> {
  const path = end === 'close' ? life.path : scratchPath()
  // What is committed is on the disk: a copy is what a crash leaves.
  if (end === 'crash') await copyFile(life.path, path)
  await life[Symbol.asyncDispose]()
  return await begin(blocks, folder, path)
}

test('whatever happens at once, and whatever breaks off, every pin stays whole, the rest goes in the end, and the index follows', { timeout: 300_000 }, async () => {
  const dags = await makeDags()
  await fc.assert(fc.asyncProperty(fc.array(round, { minLength: 2, maxLength: 8 }), async (rounds) => {
    const folder = join(scratch, String(count++))
    const blocks = new FlakyBlockstore()
    let life = await begin(blocks, folder, scratchPath())
    try {
      for (const { operations, end } of rounds) {
        const world = { ...life, blocks }
        await Promise.all(operations.map(async ([name, index]) => {
          const dag = dags[index]
          assert.ok(dag)
          await OPERATIONS[name](world, dag)
        }))
        blocks.fault.kind = undefined
        const held = await heldIn(blocks)
        for (const key of keptBy(life.pins, dags)) assert.ok(held.has(key), 'a block below a pin is missing')
        assert.deepEqual(life.leases.list(), [])
        if (end !== 'nothing') life = await next(life, end, blocks, folder)
      }
      await collectGarbage({ ...life, blocks })
      assert.deepEqual(await heldIn(blocks), keptBy(life.pins, dags))
      for (const { cid } of dags.flatMap(({ blocks }) => blocks)) assert.equal(life.references.isKept(cid), keptBy(life.pins, dags).has(multihashKey(cid)))

      const pins = [...life.pins.list()]
      for (const { cid, kind } of pins) await life.pins.remove({ cid, kind }).catch(unlessExpected)
      await collectGarbage({ ...life, blocks })
      assert.deepEqual(await heldIn(blocks), new Set())
      assert.deepEqual(life.references.store.counts, { edgeCount: 0, nodeCount: 0, holderCount: 0, pinCount: 0, looseCount: 0, garbageCount: 0 })
    } finally {
      await life[Symbol.asyncDispose]()
    }
  }), { numRuns: Number(process.env.HOLDFAST_RUNS ?? 60) })
})
