/**
 * The promise of the cache under any interleaving: a block of a pinned DAG, or one that was put, is never missing, and
 * when all is quiet the cache is within its bound.
 */
import { MemoryBlockstore } from '@holdfast/blockstore'
import { Block, CODECS, isErrorCode, multihashKey } from '@holdfast/core'
import { encode } from '@ipld/dag-cbor'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { collectGarbage } from '../collect.ts'
import { openJournal } from '../journal/journal.ts'
import { LeaseBook, leasedWriter } from '../leases.ts'
import { pinDag } from '../pinning.ts'
import { openPinSet, type PinSet } from '../pin-set.ts'
import type { References } from '../references/references.ts'
import { scratchReferences } from '../references/scratch-references.test.ts'
import { type FetchCache, openFetchCache } from './fetch-cache.ts'

const scratch = await mkdtemp(join(tmpdir(), 'holdfast-interleaving-'))
after(async () => { await rm(scratch, { recursive: true }) })

/** An engine in memory whose calls yield as a disk does, so that others come between; changes of one block take turns. */
class YieldingBlockstore extends MemoryBlockstore {
  readonly #turns = new Map<string, Promise<unknown>>()
  readonly #pauses: Iterator<number>

  constructor (pauses: Iterator<number>) {
    super()
    this.#pauses = pauses
  }

  override async get (...args: Parameters<MemoryBlockstore['get']>): ReturnType<MemoryBlockstore['get']> {
    await this.#pause()
    return await super.get(...args)
  }

  override async has (...args: Parameters<MemoryBlockstore['has']>): Promise<boolean> {
    const has = await super.has(...args)
    await this.#pause()
    return has
  }

  override async putMany (blocks: readonly Block[]): Promise<void> {
    await Promise.all(blocks.map((block) => this.#inTurn(block, async () => {
      await this.#pause()
      await super.putMany([block])
      await this.#pause()
    })))
  }

  override async delete (...[cid, { when } = {}]: Parameters<MemoryBlockstore['delete']>): Promise<boolean> {
    return await this.#inTurn({ cid }, async () => {
      if (when?.() === false) return false
      await this.#pause()
      return await super.delete(cid)
    })
  }

  async #pause (): Promise<void> {
    for (let turns: number = this.#pauses.next().value; turns > 0; turns--) await setImmediate()
  }

  async #inTurn<T> ({ cid }: Pick<Block, 'cid'>, change: () => Promise<T>): Promise<T> {
    const key = multihashKey(cid)
    const turn = (this.#turns.get(key) ?? Promise.resolve()).then(change)
    this.#turns.set(key, turn.catch(() => {}))
    return await turn
  }
}

interface Dag {
  readonly root: Block
  readonly blocks: readonly Block[]
}

/** Six leaves and six DAG nodes over them, on two levels, so that nearly everything is shared. */
async function makeDags (): Promise<Dag[]> {
  const leaves = await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map(async (text): Promise<Dag> => {
    const root = await Block.of(Buffer.alloc(100, text))
    return { root, blocks: [root] }
  }))
  const over = async (children: readonly Dag[]): Promise<Dag> => {
    const root = await Block.of(encode({ children: children.map((child) => child.root.cid), padding: Buffer.alloc(20) }), { codec: CODECS.dagCbor })
    return { root, blocks: [...children.flatMap(({ blocks }) => blocks), root] }
  }
  const inner = await Promise.all([leaves.slice(0, 2), leaves.slice(1, 4), leaves.slice(3, 6)].map(over))
  const outer = await Promise.all([inner.slice(0, 2), inner.slice(1, 3), inner].map(over))
  return [...leaves, ...inner, ...outer]
}

interface World {
  readonly cache: FetchCache
  readonly pins: PinSet
  readonly leases: LeaseBook
  readonly references: References
  /** Blocks that were put and not collected since, though nobody pins them. */
  readonly put: Map<string, Block>
}

/** An operation on one of the DAGs; those of a round run at once. */
const OPERATIONS = {
  async fetch ({ cache }: World, { blocks }: Dag) {
    for (const block of blocks) await cache.fetchedBlocks.put(block)
  },
  async fetchAtOnce ({ cache }: World, { blocks }: Dag) {
    await cache.fetchedBlocks.putMany(blocks)
  },
  async read ({ cache }: World, { blocks }: Dag) {
    using reader = cache.protectReader({ get: (cid) => cache.blocks.get(cid), has: (cid) => cache.blocks.has(cid), [Symbol.dispose] () {} })
    for (const { cid } of blocks) await reader.get(cid)
  },
  async add ({ cache, pins, leases }: World, { root, blocks }: Dag) {
    using lease = leases.open('add')
    await leasedWriter(cache.blocks, lease).putMany(blocks)
    await pins.add({ cid: root.cid, kind: 'recursive' })
  },
  async put ({ cache, put }: World, { blocks }: Dag) {
    await cache.blocks.putMany(blocks)
    for (const block of blocks) put.set(multihashKey(block.cid), block)
  },
  async pin (world: World, { root }: Dag) {
    await pinDag({ ...world, blocks: world.cache.blocks }, { cid: root.cid, kind: 'recursive' }).catch(unlessNotFound)
  },
  /** Pins as a node does that fetches what it lacks. */
  async fetchAndPin (world: World, { root, blocks }: Dag) {
    const { cache } = world
    const fetching = {
      get: async (cid: Block['cid']) => {
        const found = await cache.fetchedBlocks.get(cid)
        if (found !== undefined) return found
        const block = blocks.find((block) => block.cid.equals(cid))
        assert.ok(block)
        await cache.fetchedBlocks.put(block)
        return block
      },
      has: (cid: Block['cid']) => cache.blocks.has(cid)
    }
    await pinDag({ ...world, blocks: fetching }, { cid: root.cid, kind: 'recursive' })
  },
  async unpin ({ pins }: World, { root }: Dag) {
    await pins.remove({ cid: root.cid }).catch(unlessNotFound)
  }
} as const

function unlessNotFound (err: unknown): void {
  if (!isErrorCode(err, 'NOT_FOUND')) throw err
}

const operation = fc.tuple(fc.constantFrom(...Object.keys(OPERATIONS) as Array<keyof typeof OPERATIONS>), fc.nat({ max: 11 }))
const rounds = fc.array(fc.record({ operations: fc.array(operation, { minLength: 1, maxLength: 8 }), gc: fc.boolean() }), { minLength: 1, maxLength: 6 })
const pauses = fc.infiniteStream(fc.nat({ max: 3 }))

let count = 0

test('whatever happens at once, no block of a pinned DAG and none that was put is evicted, and the cache keeps its bound', { timeout: 120_000 }, async () => {
  const dags = await makeDags()
  await fc.assert(fc.asyncProperty(rounds, pauses, fc.constantFrom(0, 150, 400), async (rounds, pauses, maxBytes) => {
    const folder = join(scratch, String(count++))
    const leases = new LeaseBook()
    const stored = new YieldingBlockstore(pauses[Symbol.iterator]())
    await using journal = await openJournal(folder)
    await using cache = await openFetchCache({ blocks: stored, leases }, { path: join(folder, 'cache.log'), maxBytes })
    await using pins = await openPinSet(journal)
    await using references = await scratchReferences({ blocks: cache.blocks, pins, leases })
    cache.watch(references)
    const world: World = { cache, pins, leases, references, put: new Map() }

    for (const { operations, gc } of rounds) {
      if (gc) world.put.clear()
      const withGc = gc ? [collectGarbage({ blocks: cache.blocks, references, leases, cache })] : []
      await Promise.all([...withGc, ...operations.map(async ([name, index]) => {
        const dag = dags[index]
        assert.ok(dag)
        await OPERATIONS[name](world, dag)
      })])
      if (gc) world.put.clear()
      await cache.settled()
      for (const pin of pins.list()) {
        for (const block of dags.find(({ root }) => root.cid.equals(pin.cid))?.blocks ?? []) {
          assert.ok(await stored.has(block.cid), `${block.cid} is missing below the pin of ${pin.cid}`)
        }
      }
      for (const block of world.put.values()) assert.ok(await stored.has(block.cid), `${block.cid} was put and is missing`)
      assert.ok(cache.status.byteLength <= maxBytes, `${cache.status.byteLength} bytes are cached of at most ${maxBytes}`)
    }
    assert.deepEqual(leases.list(), [])
  }), { numRuns: 300 })
})
