import { type Blockstore, MemoryBlockstore } from '@holdfast/blockstore'
import { openFsBlockstore } from '@holdfast/blockstore/fs'
import { Block, CODECS, HoldfastError, isErrorCode, linksOf, multihashKey } from '@holdfast/core'
import { requireBlock } from '@holdfast/dag'
import { seededRandom } from '@holdfast/testkit'
import { encode } from '@ipld/dag-cbor'
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setImmediate, setTimeout } from 'node:timers/promises'
import { collectGarbage } from './collect.ts'
import { openJournal } from './journal/journal.ts'
import { LeaseBook, leasedWriter } from './leases.ts'
import { pinDag } from './pinning.ts'
import { openPinSet, type PinSet } from './pin-set.ts'
import type { References } from './references/references.ts'
import { scratchReferences } from './references/scratch-references.test.ts'

const scratch = await mkdtemp(join(tmpdir(), 'holdfast-stress-'))
after(async () => { await rm(scratch, { recursive: true }) })

type Random = () => number

function pick<T> (items: readonly T[], random: Random): T {
  const item = items[Math.floor(random() * items.length)]
  assert.ok(item !== undefined)
  return item
}

/**
 * An engine in memory that takes its time, as a disk does: between asking whether a block may go and removing it, other
 * blocks and all reads proceed. Changes of one block take turns, as the contract asks.
 */
class SlowBlockstore extends MemoryBlockstore {
  readonly #random: Random
  #turns = new Map<string, Promise<unknown>>()

  constructor (random: Random) {
    super()
    this.#random = random
  }

  override async get (...args: Parameters<Blockstore['get']>): ReturnType<Blockstore['get']> {
    await this.#pause()
    return await super.get(...args)
  }

  override async putMany (blocks: readonly Block[]): Promise<void> {
    for (const block of blocks) {
      await this.#inTurn(multihashKey(block.cid), async () => {
        await this.#pause()
        await super.putMany([block])
      })
    }
  }

  override async delete (...[cid, { when } = {}]: Parameters<Blockstore['delete']>): Promise<boolean> {
    return await this.#inTurn(multihashKey(cid), async () => {
      if (when?.() === false) return false
      await this.#pause()
      return await super.delete(cid)
    })
  }

  async #pause (): Promise<void> {
    for (let turns = Math.floor(this.#random() * 4); turns > 0; turns--) await setImmediate()
  }

  async #inTurn<T> (key: string, change: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(key) ?? Promise.resolve()).then(change)
    this.#turns.set(key, turn.catch(() => {}))
    return await turn
  }
}

/** A DAG that can be added, pinned and unpinned again and again. */
interface Dag {
  readonly root: Block
  /** All its blocks, children before parents. */
  readonly blocks: readonly Block[]
}

/** DAGs of up to three levels over few leaves, so that they share much. */
async function makeDags (count: number, random: Random): Promise<Dag[]> {
  const leaves = await Promise.all(Array.from({ length: 12 }, async (_, index) => await Block.of(Buffer.from(`leaf ${index}`))))
  const known: Dag[] = leaves.map((root) => ({ root, blocks: [root] }))
  for (let made = 0; made < count; made++) {
    const children = Array.from({ length: 1 + Math.floor(random() * 4) }, () => pick(known, random))
    const root = await Block.of(encode({ made, children: children.map((child) => child.root.cid) }), { codec: CODECS.dagCbor })
    const blocks = new Map([...children.flatMap((child) => child.blocks), root].map((block) => [multihashKey(block.cid), block]))
    known.push({ root, blocks: [...blocks.values()] })
  }
  return known
}

/** A store whose puts are noted, as those of a node are. */
function notedStore (blocks: Blockstore, references: References): Blockstore {
  const putMany: Blockstore['putMany'] = async (some, options) => {
    await blocks.putMany(some, options)
    for (const { cid } of some) references.note(cid)
  }
  return {
    get: async (cid, options) => await blocks.get(cid, options),
    has: async (cid, options) => await blocks.has(cid, options),
    put: async (block, options) => { await putMany([block], options) },
    putMany,
    delete: async (cid, options) => await blocks.delete(cid, options),
    list: (options) => blocks.list(options),
    usage: async (options) => await blocks.usage(options),
    [Symbol.asyncDispose]: async () => {}
  }
}

interface World {
  readonly references: References
  readonly blocks: Blockstore
  readonly pins: PinSet
  readonly leases: LeaseBook
  readonly dags: readonly Dag[]
  readonly random: Random
}

/** Stores a DAG under a lease and pins it, as an import does. */
async function add ({ blocks, pins, leases, dags, random }: World): Promise<void> {
  const dag = pick(dags, random)
  using lease = leases.open('add')
  const writer = leasedWriter(blocks, lease)
  for (const block of dag.blocks) await (random() < 0.5 ? writer.put(block) : writer.putMany([block]))
  await pins.add({ cid: dag.root.cid, kind: 'recursive', name: pick(['', 'a'], random) })
}

/** Pins what may be there in whole, in part or not at all. */
async function pin (world: World): Promise<void> {
  const { dags, random } = world
  const kind = pick(['recursive', 'recursive', 'direct'] as const, random)
  try {
    await pinDag(world, { cid: pick(dags, random).root.cid, kind, name: 'b' })
  } catch (err) {
    if (!isErrorCode(err, 'NOT_FOUND')) throw err
  }
}

/** Unpins about half of what is pinned, so that blocks come and go all the time. */
async function unpin ({ pins, random }: World): Promise<void> {
  for (const { cid } of [...pins.list()].filter(() => random() < 0.5)) {
    try {
      await pins.remove({ cid })
    } catch (err) {
      if (!isErrorCode(err, 'NOT_FOUND')) throw err // Another unpin was faster.
    }
  }
}

/** Reads a pinned DAG; it must be whole for as long as the pin lasts. */
async function read ({ blocks, pins, dags, random }: World): Promise<void> {
  const all = [...pins.list({ kind: 'recursive' })]
  if (all.length === 0) return
  const pin = pick(all, random)
  const dag = dags.find(({ root }) => root.cid.equals(pin.cid))
  for (const block of dag?.blocks ?? []) {
    const found = await blocks.get(block.cid)
    if (![...pins.list({ cid: pin.cid })].some(({ id }) => id === pin.id)) return
    assert.ok(found !== undefined, `${block.cid} is missing below pin ${pin.id}`)
  }
}

/** Stores blocks that nobody pins: an import that was given up. */
async function giveUp ({ blocks, leases, dags, random }: World): Promise<void> {
  using lease = leases.open('import that fails')
  for (const block of pick(dags, random).blocks) {
    await leasedWriter(blocks, lease).put(block)
    if (random() < 0.3) return
  }
}

/** Adds, pins, unpins, reads and collects at the same time until so many blocks were removed, then looks what is left. */
async function run (blocks: Blockstore, seed: number, enoughRemovedCount: number): Promise<void> {
  const random = seededRandom(seed)
  await using journal = await openJournal(join(scratch, `journal-${seed}`))
  await using pins = await openPinSet(journal, { minDeadRecords: 20 })
  const leases = new LeaseBook()
  await using references = await scratchReferences({ blocks, pins, leases })
  const world: World = { blocks: notedStore(blocks, references), pins, leases, references, dags: await makeDags(20, random), random }

  let working = true
  let removedCount = 0
  const repeat = async (step: (world: World) => Promise<void>): Promise<void> => {
    while (working) {
      await step(world)
      await setTimeout(random() * 5)
    }
  }
  const collect = async (): Promise<void> => {
    try {
      while (removedCount < enoughRemovedCount) {
        removedCount += (await collectGarbage(world)).removedCount
        await setTimeout(1)
      }
    } finally {
      working = false
    }
  }
  await Promise.all([collect(), ...[add, pin, pin, unpin, unpin, read, read, giveUp].map(repeat)])

  for (const { cid, kind } of pins.list()) if (kind === 'recursive') await requireWhole(blocks, cid)
  await collectGarbage(world)
  assert.deepEqual(await heldIn(blocks), reachableIn(world))
  assert.deepEqual(world.leases.list(), [])
}

async function requireWhole (blocks: Blockstore, cid: Block['cid']): Promise<void> {
  for (const child of linksOf(await requireBlock(blocks, cid))) await requireWhole(blocks, child)
}

async function heldIn (blocks: Blockstore): Promise<Set<string>> {
  return new Set((await Array.fromAsync(blocks.list())).map(multihashKey))
}

/** What the pins keep, known from how the DAGs were made. */
function reachableIn ({ pins, dags }: World): Set<string> {
  const reachable = new Set<string>()
  for (const { cid, kind } of pins.list()) {
    const dag = dags.find(({ root }) => root.cid.equals(cid))
    if (dag === undefined) throw new HoldfastError('INVALID', `${cid} was never made`)
    for (const block of kind === 'direct' ? [dag.root] : dag.blocks) reachable.add(multihashKey(block.cid))
  }
  return reachable
}

for (const seed of [1, 2, 3, 4]) {
  test(`adds, pins, unpins, reads and collections at once leave every pin whole and nothing else, in memory (seed ${seed})`, { timeout: 60_000 }, async () => {
    await run(new SlowBlockstore(seededRandom(seed)), seed, 100)
  })
}

for (const seed of [11, 12]) {
  test(`adds, pins, unpins, reads and collections at once leave every pin whole and nothing else, on disk (seed ${seed})`, { timeout: 60_000 }, async () => {
    await using blocks = await openFsBlockstore(join(scratch, `blocks-${seed}`))
    await run(blocks, seed, 60)
  })
}
