/**
 * The crash model under all that keeps blocks: puts, pins, deletions, compactions and collections over one modelled disk. The index
 * of the packs may lose its last commits, the index of references is lost unless it was closed in order.
 */
import { CrashDisk, type CrashDiskOptions, seededRandom } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { ModelledIndex } from '../../packages/blockstore/test/modelled-index.ts'
import { assertKept, DAGS, type Ledger, liveWith } from './keeping-script.ts'
import { type Ground, openKeptStore, openPinsAndPacks, removeState } from './kept-store.ts'

const DEFAULT_WORKLOADS = 2

/** Whole workloads, each with all its cuts. */
const WORKLOADS = Number(process.env.KEEPING_WORKLOADS ?? DEFAULT_WORKLOADS)

/** Another seed makes other workloads, and other disks of each cut. */
const SEED = Number(process.env.CRASH_SEED ?? 1)

/** Ways in which a disk may have written, tried for each cut. */
const DISKS_PER_CUT = 4

/** One point in so many is collected, worked with and opened once more; an index of references costs more than all the rest. */
const POINTS_PER_DEEP_CHECK = 5

const TEST_TIMEOUT_MS: number = 300_000 * Math.max(1, WORKLOADS / DEFAULT_WORKLOADS)

/** In memory where there is such a folder: LMDB makes its file a thousand times. */
const SCRATCH = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

interface Crashed extends Ground {
  readonly ledger: Ledger
  /** Whether the index of references was closed in order before the end. */
  readonly isClosed: boolean
}

class Sweep {
  readonly #scratch: string
  readonly #durability: 'disk' | 'os'
  #fileCount = 0
  pointCount = 0

  constructor (scratch: string, durability: 'disk' | 'os') {
    this.#scratch = scratch
    this.#durability = durability
  }

  /** Two lives of a store until the power is cut or something failed. */
  async run (seed: number, options: CrashDiskOptions): Promise<Crashed> {
    const ground: Ground = { disk: new CrashDisk(options), index: new ModelledIndex(), state: this.#newState(), durability: this.#durability }
    const ledger: Ledger = new Map()
    let isClosed = false
    try {
      const random = seededRandom(seed)
      for (let life = 0; life < 2; life++) {
        isClosed = false
        let hasFailed = false
        {
          await using store = await openKeptStore(ground, () => { hasFailed = true })
          await liveWith(store, ledger, random)
        }
        isClosed = !hasFailed && !ground.disk.isCut
      }
    } catch (err) {
      if (!ground.disk.isCut && !ground.disk.hasFailed) throw err
    }
    return { ...ground, ledger, isClosed }
  }

  /** Looks at one way in which the crash may have left the disks. */
  async look (crashed: Crashed, left: Pick<Ground, 'disk' | 'index'>, what: string): Promise<void> {
    if (this.pointCount++ % POINTS_PER_DEEP_CHECK === 0) return await this.#lookDeeply(crashed, left, what)
    await using store = await openPinsAndPacks(left)
    await assertKept(store, crashed.ledger, what)
  }

  /** A collection leaves what is pinned, and nothing else; and what is done after it counts as what was before. */
  async #lookDeeply ({ ledger: said, state: former, isClosed }: Crashed, { disk, index }: Pick<Ground, 'disk' | 'index'>, what: string): Promise<void> {
    const state = this.#newState()
    if (isClosed) for (const suffix of ['', '.seal']) await copyFile(`${former}${suffix}`, `${state}${suffix}`)
    const ledger = new Map(said)
    {
      await using store = await openKeptStore({ disk, index, state })
      await assertKept(store, ledger, what)
      await store.collect()
      const kept = await assertKept(store, ledger, `${what}, collected`)
      // A deletion that a cut took back is not known to an index of references that was closed before it.
      if (isClosed) await store.collect(true)
      const held = new Set((await Array.fromAsync(store.packs.list())).map(({ multihash }) => multihash.bytes.join()))
      assert.deepEqual(held, kept, `${what}: a collection leaves what the pins keep`)
      for (const dag of DAGS) ledger.set(dag, store.pins.has({ cid: dag.root.cid }) ? 'pinned' : 'unpinned')
      await liveWith(store, ledger, seededRandom(this.pointCount))
    }
    await removeState(state)
    await using again = await openPinsAndPacks({ disk: disk.afterKill(), index: new ModelledIndex() })
    await assertKept(again, ledger, `${what}, and again without its indexes`)
  }

  #newState (): string {
    return join(this.#scratch, `${this.#fileCount++}.mdb`)
  }
}

/** Half of the crashes take nothing of the index, the others its last commits, up to all of it. */
function lossOf (random: () => number, { history }: ModelledIndex): number {
  return random() < 0.5 ? 0 : Math.floor(random() * (history.length + 1))
}

const KINDS = ['cut', 'kill', 'failure', 'unsynced'] as const

type Kind = typeof KINDS[number]

const SWEEPS: Readonly<Record<Kind, (sweep: Sweep, seed: number, operationCount: number) => Promise<void>>> = {
  async cut (sweep, seed, operationCount) {
    for (let cutAt = 1; cutAt <= operationCount; cutAt++) {
      const crashed = await sweep.run(seed, { cutAt })
      const random = seededRandom(seed + cutAt * 7919)
      for (let left = 0; left < DISKS_PER_CUT; left++) {
        const lost = lossOf(random, crashed.index)
        await sweep.look(crashed, { disk: crashed.disk.afterCut(random), index: crashed.index.after(lost) }, `seed ${seed}, cut ${cutAt}, disk ${left}, ${lost} commits lost`)
      }
      await removeState(crashed.state)
    }
  },

  async kill (sweep, seed, operationCount) {
    for (let cutAt = 1 + seed % 5; cutAt <= operationCount; cutAt += 5) {
      const crashed = await sweep.run(seed, { cutAt })
      await sweep.look(crashed, { disk: crashed.disk.afterKill(), index: crashed.index.after(cutAt % 3) }, `seed ${seed}, killed at ${cutAt}`)
      await removeState(crashed.state)
    }
  },

  async failure (sweep, seed, operationCount) {
    const codes = ['ENOSPC', 'EIO', 'EMFILE', 'short']
    for (let at = 1 + seed % 3; at <= operationCount; at += 3) {
      const code = codes[(at + seed) % codes.length] ?? 'EIO'
      const crashed = await sweep.run(seed, { fault: { at, code } })
      const random = seededRandom(seed + at * 1_299_709)
      await sweep.look(crashed, { disk: crashed.disk.afterCut(random), index: crashed.index.after(lossOf(random, crashed.index)) }, `seed ${seed}, ${code} at ${at}`)
      await removeState(crashed.state)
    }
  },

  /** Packs that leave out their syncs must be found out, or the simulation proves nothing. */
  async unsynced (sweep, seed, operationCount) {
    await assert.rejects(SWEEPS.cut(sweep, seed, operationCount), { name: 'AssertionError', message: /is lost/ })
  }
}

async function sweepAll (kind: Kind): Promise<number> {
  const scratch = await mkdtemp(join(SCRATCH, 'holdfast-keeping-'))
  try {
    const sweep = new Sweep(scratch, kind === 'unsynced' ? 'os' : 'disk')
    for (let number = 0; number < WORKLOADS; number++) {
      const seed = SEED * 1000 + number
      const { disk: { operationCount } } = await sweep.run(seed, {})
      assert.ok(operationCount > 100, `${operationCount} operations`)
      await SWEEPS[kind](sweep, seed, operationCount)
    }
    return sweep.pointCount
  } finally {
    await rm(scratch, { recursive: true })
  }
}

/** In a thread of its own: the hooks of the test runner on each promise would double the time. */
async function sweptInThread (kind: Kind): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const thread = new Worker(new URL(import.meta.url), { workerData: kind })
  thread.once('error', reject).once('message', resolve).once('exit', () => { reject(new Error('The thread ended early')) })
  return await promise
}

if (isMainThread) {
  const tests: Readonly<Record<Kind, string>> = {
    cut: 'whenever the power is cut, what was pinned is whole, and a collection takes nothing of it',
    kill: 'whenever the process is killed, what was pinned is whole, and a collection takes nothing of it',
    failure: 'whichever operation fails, what was pinned is whole after a power cut, and a collection takes nothing of it',
    unsynced: 'the simulated power cut notices packs that are not synced'
  }
  for (const kind of KINDS) {
    test(tests[kind], { timeout: TEST_TIMEOUT_MS }, async (t) => {
      const pointCount = await sweptInThread(kind)
      t.diagnostic(`${pointCount} points of ${WORKLOADS} workloads, CRASH_SEED=${SEED}`)
      assert.ok(pointCount > 20 * WORKLOADS, `${pointCount} points`)
    })
  }
} else {
  const kind = KINDS.find((kind) => kind === workerData)
  assert.ok(kind !== undefined)
  parentPort?.postMessage(await sweepAll(kind), [])
}
