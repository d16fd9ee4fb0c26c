import { Block, CODECS, isErrorCode } from '@holdfast/core'
import { leasedWriter, pinDag } from '@holdfast/pins'
import { encode } from '@ipld/dag-cbor'
import assert from 'node:assert/strict'
import type { KeptStore } from './kept-store.ts'

/** A DAG and all its blocks, children before parents. */
export interface Dag {
  readonly root: Block
  readonly blocks: readonly Block[]
}

/** Few leaves below many DAG nodes: what one pin lets go of, others need. */
export const DAGS: readonly Dag[] = await makeDags()

async function makeDags (): Promise<Dag[]> {
  const leaves = await Promise.all(Array.from({ length: 8 }, async (_, index) => await Block.of(Buffer.from(`leaf ${index} `.repeat(10 + 15 * (index % 4))))))
  const dags: Dag[] = []
  const over = async (below: ReadonlyArray<Dag | undefined>): Promise<void> => {
    const children = below.filter((dag) => dag !== undefined)
    const root = await Block.of(encode({ children: children.map(({ root }) => root.cid) }), { codec: CODECS.dagCbor })
    dags.push({ root, blocks: [...new Set(children.flatMap(({ blocks }) => blocks)), root] })
  }
  const leaf = (index: number): Dag | undefined => leaves[index] && { root: leaves[index], blocks: [leaves[index]] }
  for (const [a, b] of [[0, 1], [1, 2], [2, 3], [4, 5], [6, 7]] as const) await over([leaf(a), leaf(b)])
  await over([dags[0], dags[1]])
  await over([dags[1], dags[2], leaf(4)])
  await over([dags[5], dags[6]])
  await over([dags[3], leaf(0)])
  return dags
}

/** What was said of each DAG; `unsure` while a request is under way. */
export type Ledger = Map<Dag, 'pinned' | 'unpinned' | 'unsure'>

/** What is done with one DAG. Whatever resolves was acknowledged. */
const REQUESTS = {
  /** As an import does: leaves in batches, the root last, then the pin. */
  async add ({ cache, leases, pins }: KeptStore, { root, blocks }: Dag): Promise<'pinned'> {
    using lease = leases.open('add')
    const writer = leasedWriter(cache.blocks, lease)
    await Promise.all([writer.putMany(blocks.slice(0, 2)), writer.putMany(blocks.slice(1, -1))])
    await writer.put(root)
    await pins.add({ cid: root.cid, kind: 'recursive' })
    return 'pinned'
  },

  /** As a peer sends it, block by block, and then it is pinned. */
  async fetch (store: KeptStore, { root, blocks }: Dag): Promise<'pinned' | 'unpinned'> {
    for (const block of blocks) await store.cache.fetchedBlocks.put(block)
    return await REQUESTS.pin(store, { root, blocks })
  },

  /** What a collection took meanwhile cannot be pinned. */
  async pin ({ cache, leases, pins, references }: KeptStore, { root }: Dag): Promise<'pinned' | 'unpinned'> {
    try {
      await pinDag({ blocks: cache.blocks, pins, leases, cache, references }, { cid: root.cid, kind: 'recursive' })
      return 'pinned'
    } catch (err) {
      if (!isErrorCode(err, 'NOT_FOUND')) throw err
      return 'unpinned'
    }
  },

  async unpin ({ pins }: KeptStore, { root }: Dag): Promise<'unpinned'> {
    await pins.remove({ cid: root.cid })
    return 'unpinned'
  },

  /** An import that is given up before it pins. */
  async giveUp ({ cache }: KeptStore, { blocks }: Dag): Promise<'unpinned'> {
    await cache.blocks.putMany(blocks.slice(0, -1))
    return 'unpinned'
  }
}

/** What happens at once in a step; of each DAG at most one thing. */
const STEPS = [
  ['add'], ['add', 'add'], ['unpin'], ['unpin', 'add'], ['fetch'], ['pin'], ['giveUp', 'add'],
  ['collect'], ['collect', 'add'], ['collect', 'unpin', 'pin'], ['collect', 'fetch', 'add'], ['collect', 'compact'],
  ['compact'], ['compact', 'add'], ['flush']
] as const

const STEPS_PER_LIFE = 9

/** Lives a life of the store: steps that the numbers draw, each of which waits for the one before. */
export async function liveWith (store: KeptStore, ledger: Ledger, random: () => number): Promise<void> {
  for (let step = 0; step < STEPS_PER_LIFE; step++) {
    const busy = new Set<Dag>()
    const running = (drawn(random, STEPS) ?? []).map(async (what) => {
      if (what === 'collect') await store.collect()
      else if (what === 'compact') await store.packs.compact()
      else if (what === 'flush') await store.packs.flush()
      else await request(store, ledger, what, drawn(random, suited(ledger, what).filter((dag) => !busy.has(dag))), busy)
    })
    // Nothing is left running when one of them fails.
    for (const result of await Promise.allSettled(running)) if (result.status === 'rejected') throw result.reason
  }
}

function suited (ledger: Ledger, what: keyof typeof REQUESTS): readonly Dag[] {
  return DAGS.filter((dag) => (ledger.get(dag) === 'pinned') === (what === 'unpin'))
}

async function request (store: KeptStore, ledger: Ledger, what: keyof typeof REQUESTS, dag: Dag | undefined, busy: Set<Dag>): Promise<void> {
  if (dag === undefined) return
  busy.add(dag)
  ledger.set(dag, 'unsure')
  ledger.set(dag, await REQUESTS[what](store, dag))
}

function drawn<T> (random: () => number, some: readonly T[]): T | undefined {
  return some[Math.floor(random() * some.length)]
}

/** Asserts what was said of the DAGs, and that all that is pinned is whole. Returns the multihashes of what the pins keep. */
export async function assertKept ({ packs, pins }: Pick<KeptStore, 'packs' | 'pins'>, ledger: Ledger, what: string): Promise<Set<string>> {
  const kept = new Set<string>()
  for (const dag of DAGS) {
    const isPinned = pins.has({ cid: dag.root.cid })
    const said = ledger.get(dag) ?? 'unpinned'
    assert.ok(said === 'unsure' || (said === 'pinned') === isPinned, `${what}: DAG ${DAGS.indexOf(dag)} was ${said}, and is ${isPinned ? '' : 'not '}pinned`)
    for (const { cid, bytes } of isPinned ? dag.blocks : []) {
      const found = await packs.get(cid).catch((err: unknown) => { if (!isErrorCode(err, 'CORRUPT')) throw err })
      assert.deepEqual(found?.bytes, bytes, `${what}: a block of DAG ${DAGS.indexOf(dag)} is lost, ${said}`)
      kept.add(cid.multihash.bytes.join())
    }
  }
  return kept
}
