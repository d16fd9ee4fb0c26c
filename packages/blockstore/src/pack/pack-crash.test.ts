import { readCar } from '@holdfast/car'
import { Block, isErrorCode } from '@holdfast/core'
import { CrashDisk, type CrashDiskOptions, seededRandom } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { ModelledIndex } from '../../test/modelled-index.ts'
import { openPackBlockstoreOn, type PackBlockstoreOptions } from './open-pack-blockstore.ts'
import type { PackBlockstore } from './pack-blockstore.ts'

const PATH = '/store'
const PACKS = `${PATH}/packs`

/** Two or three batches a pack, so that the script crosses from one to the next often. */
const OPTIONS: PackBlockstoreOptions = { packBytes: 6000, reserveBytes: 0, compaction: false }

/** So many make more than 20,000 points: `npm run crash` asks for them. */
const ALL_WORKLOADS = 10

/** Fewer with every `npm test`. */
const DEFAULT_WORKLOADS = 3

/** Whole workloads, each with all its cuts. */
const WORKLOADS = Number(process.env['CRASH_WORKLOADS'] ?? DEFAULT_WORKLOADS)

/** Its workloads found a compaction whose blocks an index made anew had lost. */
const DEFAULT_SEED = 7

/** Another seed makes other workloads, and other disks of each cut. */
const SEED = Number(process.env['CRASH_SEED'] ?? DEFAULT_SEED)

/** Ways in which a disk may have written, tried for each cut. */
const DISKS_PER_CUT = 9

/** One point in so many is not only read, but written to, and opened without its index. */
const POINTS_PER_DEEP_CHECK = 4

/** On a busy machine of two cores; the longest takes half a minute alone. */
const TEST_TIMEOUT_MS: number = 300_000 * Math.max(1, WORKLOADS / ALL_WORKLOADS)

/** What was said of each block. A deletion that was begun may take effect at any time until the next put; one of many that ended stays. */
class Ledger {
  readonly kept: Set<Block>
  readonly gone: Set<Block>
  /** Blocks of which a copy was damaged: it may come back when the block is deleted. And the packs in which that was. */
  readonly rotten: Set<Block>
  readonly rottenPacks: Set<string>

  constructor ({ kept, gone, rotten, rottenPacks }: Partial<Ledger> = {}) {
    this.kept = new Set(kept)
    this.gone = new Set(gone)
    this.rotten = new Set(rotten)
    this.rottenPacks = new Set(rottenPacks)
  }

  async put (store: PackBlockstore, blocks: readonly Block[]): Promise<void> {
    for (const block of blocks) this.gone.delete(block)
    await store.putMany(blocks)
    for (const block of blocks) this.kept.add(block)
  }

  async delete (store: PackBlockstore, blocks: readonly Block[]): Promise<void> {
    for (const block of blocks) this.kept.delete(block)
    await Promise.all(blocks.map(async ({ cid }) => await store.delete(cid)))
  }

  async deleteMany (store: PackBlockstore, blocks: readonly Block[]): Promise<void> {
    for (const block of blocks) this.kept.delete(block)
    await store.deleteMany(blocks.map(({ cid }) => cid))
    for (const block of blocks) if (!this.rotten.has(block)) this.gone.add(block)
  }

  /** The medium changes a byte of the block, wherever it lies, and a reader finds out. */
  async rot (store: PackBlockstore, disk: CrashDisk, block: Block): Promise<void> {
    this.kept.delete(block)
    this.rotten.add(block)
    for (const name of disk.namesIn(PACKS)) {
      const path = `${PACKS}/${name}`
      const section = Buffer.from(disk.contentOf(path) ?? []).indexOf(Buffer.concat([block.cid.bytes, block.bytes]))
      if (section === -1) continue
      const at = section + block.cid.bytes.byteLength
      this.rottenPacks.add(name)
      disk.damage(path, (bytes) => bytes.fill((bytes[at + 3] ?? 0) ^ 1, at + 3, at + 4))
    }
    await store.get(block.cid).catch((err: unknown) => { if (!isErrorCode(err, 'CORRUPT')) throw err })
  }
}

async function blockOf (index: number, byteLength: number): Promise<Block> {
  const bytes = new Uint8Array(byteLength)
  new DataView(bytes.buffer).setUint32(0, index)
  return await Block.of(bytes.map((byte, at) => at < 4 ? byte : (index * 31 + at) % 251))
}

const BLOCKS = await Promise.all(Array.from({ length: 40 }, (_, index) => blockOf(index, [4, 300, 700, 1200][index % 4] ?? 4)))

/** What a store goes through; more than once where it happens often. */
const STEPS = ['put', 'put', 'put together', 'delete', 'delete many', 'delete and put', 'delete many and put', 'flush', 'compact', 'compact and put', 'compact and delete many', 'rot', 'rot and put'] as const

const STEPS_PER_RUN = 9

interface Workload {
  readonly disk: CrashDisk
  readonly index: ModelledIndex
  readonly ledger: Ledger
}

/** Puts, deletions, damage, index commits, compactions, a new run of the program: drawn by the seed, the same each time. */
async function work ({ disk, index, ledger }: Workload, seed: number): Promise<void> {
  const random = seededRandom(seed)
  for (let run = 0; run < 2; run++) {
    await using store = await openPackBlockstoreOn({ operations: disk, opener: index }, PATH, OPTIONS)
    await ledger.put(store, drawn(random, BLOCKS, 6))
    for (let step = 0; step < STEPS_PER_RUN; step++) await take(STEPS[Math.floor(random() * STEPS.length)] ?? 'put', { disk, ledger, store, random })
  }
}

async function take (step: typeof STEPS[number], { disk, ledger, store, random }: { disk: CrashDisk, ledger: Ledger, store: PackBlockstore, random: () => number }): Promise<void> {
  // Drawn whatever the step is, and disjoint: what is put and deleted at once may be there or not.
  const puts = drawn(random, BLOCKS, 7)
  const deletions = drawn(random, [...ledger.kept].filter((block) => !puts.includes(block)), 5)
  const [victim] = deletions
  if (step === 'put') await ledger.put(store, puts)
  if (step === 'put together') await Promise.all([ledger.put(store, puts), ledger.put(store, puts.slice(2)), ledger.put(store, drawn(random, BLOCKS, 4))])
  if (step === 'delete') await ledger.delete(store, deletions)
  if (step === 'delete many') await ledger.deleteMany(store, deletions)
  if (step === 'delete many and put') await Promise.all([ledger.deleteMany(store, deletions), ledger.put(store, puts)])
  if (step === 'delete and put') await Promise.all([ledger.delete(store, deletions), ledger.put(store, puts)])
  if (step === 'flush') await store.flush()
  if (step === 'compact') await store.compact()
  if (step === 'compact and put') await Promise.all([store.compact(), ledger.put(store, puts)])
  if (step === 'compact and delete many') await Promise.all([store.compact(), ledger.deleteMany(store, deletions)])
  if (step.startsWith('rot') && victim !== undefined) await ledger.rot(store, disk, victim)
  if (step === 'rot and put' && victim !== undefined) await ledger.put(store, [victim])
}

/** Up to `count` of them, and at least one where there is one. */
function drawn (random: () => number, blocks: readonly Block[], count: number): Block[] {
  const some = new Set<Block>()
  for (let left = 1 + Math.floor(random() * count); left > 0; left--) {
    const block = blocks[Math.floor(random() * blocks.length)]
    if (block !== undefined) some.add(block)
  }
  return [...some]
}

interface Check {
  readonly ledger: Ledger
  /** Also writes, and opens without an index. */
  readonly isDeep: boolean
  readonly what: string
}

/** Every acknowledged block is there, no deletion of many came back, nothing that is there is wrong, and each pack without damage is a CAR. */
async function assertSound (disk: CrashDisk, index: ModelledIndex, { ledger, isDeep, what }: Check): Promise<void> {
  const [deleted, ...others] = BLOCKS.slice(0, 6)
  assert.ok(deleted)
  {
    await using store = await openPackBlockstoreOn({ operations: disk, opener: index }, PATH, OPTIONS)
    await assertAnswers(store, ledger, what)
    if (!isDeep) return
    // What is quarantined may be a block that rotted, so its pack stays as it is.
    if (store.stats().quarantinedCount === 0) await assertCars(disk, ledger, what)
    // It goes on working, and a block that came back can be deleted again.
    const fresh = await blockOf(1000, 900)
    await ledger.put(store, [fresh, deleted, ...others])
    assert.deepEqual((await store.get(fresh.cid))?.bytes, fresh.bytes, what)
    assert.equal(await store.delete(deleted.cid), true, what)
    ledger.kept.delete(deleted)
  }
  // An index made anew says the same.
  await using again = await openPackBlockstoreOn({ operations: disk.afterKill(), opener: new ModelledIndex() }, PATH, OPTIONS)
  assert.equal(again.isIndexNew, true)
  assert.equal(await again.has(deleted.cid), false, `${what}: deleted, and there again`)
  await assertAnswers(again, ledger, `${what}, without an index`)
}

async function assertAnswers (store: PackBlockstore, ledger: Ledger, what: string): Promise<void> {
  for (const block of BLOCKS) {
    const number = BLOCKS.indexOf(block)
    const found = await store.get(block.cid).catch((err: unknown) => {
      assert.ok(isErrorCode(err, 'CORRUPT') && ledger.rotten.has(block) && !ledger.kept.has(block), `${what}: block ${number}: ${String(err)}`)
    })
    assert.equal(await store.has(block.cid), found !== undefined, `${what}: block ${number}`)
    if (ledger.gone.has(block)) assert.ok(found === undefined, `${what}: block ${number} is there again`)
    if (ledger.kept.has(block)) assert.ok(found !== undefined, `${what}: block ${number} is lost`)
    if (found !== undefined) assert.ok(Buffer.compare(found.bytes, block.bytes) === 0, `${what}: block ${number}`)
  }
  const usage = { blockCount: 0, byteLength: 0 }
  for await (const cid of store.list()) {
    usage.blockCount++
    usage.byteLength += await store.byteLengthOf(cid) ?? NaN
  }
  assert.deepEqual(await store.usage(), usage, what)
}

async function assertCars (disk: CrashDisk, { rottenPacks }: Ledger, what: string): Promise<void> {
  for (const name of disk.namesIn(PACKS).filter((name) => name.endsWith('.car') && !rottenPacks.has(name))) {
    const bytes = disk.contentOf(`${PACKS}/${name}`) ?? new Uint8Array()
    const { version, blocks } = await readCar((async function * () { yield bytes })())
    assert.equal(version, 1)
    await assert.doesNotReject(Array.fromAsync(blocks), `${what}: ${name} is no CAR`)
  }
}

/** Runs a workload until the power is cut or something failed, and tells what is left and what was promised. */
async function runOn (seed: number, options: CrashDiskOptions): Promise<Workload> {
  const workload = { disk: new CrashDisk(options), index: new ModelledIndex(), ledger: new Ledger() }
  await work(workload, seed).catch((err: unknown) => { if (!workload.disk.isCut && !workload.disk.hasFailed) throw err })
  return workload
}

/** Looks at crash points, and counts them. */
class Points {
  count = 0

  /** The ledger is copied, because there are more points of the same run. */
  async assert (disk: CrashDisk, index: ModelledIndex, { ledger, what }: { ledger: Ledger, what: string }): Promise<void> {
    const isDeep = this.count++ % POINTS_PER_DEEP_CHECK === 0
    await assertSound(disk, index, { ledger: new Ledger(ledger), isDeep, what })
  }
}

/** Half of the crashes take nothing of the index, the others its last commits, up to all of it. */
function lossOf (random: () => number, { history }: ModelledIndex): number {
  return random() < 0.5 ? 0 : Math.floor(random() * (history.length + 1))
}

interface Sweep {
  readonly seed: number
  /** Operations of the workload when nothing happens to it. */
  readonly operationCount: number
  readonly points: Points
}

type Kind = 'cut' | 'second cut' | 'kill' | 'failure'

const SWEEPS: Readonly<Record<Kind, (sweep: Sweep) => Promise<void>>> = {
  async cut ({ seed, operationCount, points }) {
    for (let cutAt = 1; cutAt <= operationCount; cutAt++) {
      const { disk, index, ledger } = await runOn(seed, { cutAt })
      const random = seededRandom(seed + cutAt * 7919)
      for (let left = 0; left < DISKS_PER_CUT; left++) {
        const lost = lossOf(random, index)
        await points.assert(disk.afterCut(random), index.after(lost), { ledger, what: `seed ${seed}, cut ${cutAt}, disk ${left}, ${lost} commits lost` })
      }
    }
  },

  async 'second cut' ({ seed, operationCount, points }) {
    for (let cutAt = 1 + seed % 7; cutAt <= operationCount; cutAt += 7) {
      const { disk, index, ledger } = await runOn(seed, { cutAt })
      const random = seededRandom(seed + cutAt * 104_729)
      for (let second = 1 + cutAt % 5; second < 40; second += 5) {
        const left = disk.afterCut(random, { cutAt: second })
        const leftIndex = index.after(lossOf(random, index))
        const opening = openPackBlockstoreOn({ operations: left, opener: leftIndex }, PATH, OPTIONS)
        await opening.then(async (store) => { await store[Symbol.asyncDispose]() }, (err: unknown) => { if (!left.isCut) throw err })
        await points.assert(left.afterCut(random), leftIndex.after(0), { ledger, what: `seed ${seed}, cut ${cutAt}, then ${second}` })
      }
    }
  },

  async kill ({ seed, operationCount, points }) {
    for (let cutAt = 1 + seed % 3; cutAt <= operationCount; cutAt += 3) {
      const { disk, index, ledger } = await runOn(seed, { cutAt })
      await points.assert(disk.afterKill(), index.after(cutAt % 3), { ledger, what: `seed ${seed}, killed at ${cutAt}` })
    }
  },

  async failure ({ seed, operationCount, points }) {
    const codes = ['ENOSPC', 'EIO', 'EMFILE', 'short']
    for (let at = 1; at <= operationCount; at++) {
      const code = codes[(at + seed) % codes.length] ?? 'EIO'
      const { disk, index, ledger } = await runOn(seed, { fault: { at, code } })
      const random = seededRandom(seed + at * 1_299_709)
      await points.assert(disk.afterCut(random), index.after(lossOf(random, index)), { ledger, what: `seed ${seed}, ${code} at ${at}` })
    }
  }
}

async function sweepAll (kind: Kind): Promise<number> {
  const points = new Points()
  for (let number = 0; number < WORKLOADS; number++) {
    const seed = SEED * 1000 + number
    const { disk: { operationCount } } = await runOn(seed, {})
    assert.ok(operationCount > 50, `${operationCount} operations`)
    await SWEEPS[kind]({ seed, operationCount, points })
  }
  return points.count
}

/** In a thread of its own: the hooks of the test runner on each promise would double the time. */
async function sweptInThread (kind: Kind): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const thread = new Worker(new URL(import.meta.url), { workerData: kind })
  thread.once('error', reject).once('message', resolve).once('exit', () => { reject(new Error('The thread ended early')) })
  return await promise
}

if (isMainThread) {
  let pointCount = 0
  const tests: Readonly<Record<Kind, string>> = {
    cut: 'no acknowledged block is lost whenever the power is cut, however the disk wrote, and whatever the index lost',
    'second cut': 'a second cut during the recovery from the first loses nothing either',
    kill: 'a killed process loses nothing that was acknowledged',
    failure: 'nothing is lost when any one operation fails and the power is cut later'
  }
  const sweep = async (kind: Kind): Promise<void> => { pointCount += await sweptInThread(kind) }
  for (const kind of ['cut', 'second cut', 'kill', 'failure'] as const) test(tests[kind], { timeout: TEST_TIMEOUT_MS }, async () => { await sweep(kind) })

  test('the crashes were tried at thousands of points; with all workloads at more than 20,000', (t) => {
    t.diagnostic(`${pointCount} points of ${WORKLOADS} workloads, CRASH_SEED=${SEED}`)
    // Other seeds draw workloads of other lengths.
    if (SEED === DEFAULT_SEED && WORKLOADS >= ALL_WORKLOADS) assert.ok(pointCount >= 20_000, `${pointCount} points`)
    assert.ok(pointCount > 500 * WORKLOADS, `${pointCount} points`)
  })
} else {
  const kind: unknown = workerData
  assert.ok(kind === 'cut' || kind === 'second cut' || kind === 'kill' || kind === 'failure')
  parentPort?.postMessage(await sweepAll(kind), [])
}
