import { readCar } from '@holdfast/car'
import { Block, multihashKey } from '@holdfast/core'
import { CrashDisk } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryIndex } from './memory-index.ts'
import { openPackBlockstoreOn, type PackBlockstoreOptions } from './open-pack-blockstore.ts'
import type { PackBlockstore } from './pack-blockstore.ts'
import type { IndexBatch, IndexOpener, PackIndex } from './pack-index.ts'

const PATH = '/store'
const PACKS = `${PATH}/packs`

/** Two or three batches a pack, so that the script crosses from one to the next often. */
const OPTIONS: PackBlockstoreOptions = { packBytes: 6000, reserveBytes: 0, compaction: false }

/** Ways in which a disk may have written, tried for each cut. */
const SEEDS_PER_CUT = 3

/** An index as LMDB is: commits are whole or absent, the entries of one may be there without its end, all of it may be lost. */
class ModelledIndex implements IndexOpener {
  /** What a crash may leave, from nothing to the latest. */
  readonly history: MemoryIndex[] = [new MemoryIndex()]

  async open (): Promise<PackIndex> {
    const live = this.#latest.clone()
    const commit = live.commit.bind(live)
    live.commit = async (batch: IndexBatch, storeId: Uint8Array) => {
      const changes = [...batch.changes]
      const half = live.clone()
      await half.commit({ changes: changes.slice(0, changes.length / 2), packs: [], removedPacks: [] }, storeId)
      half.markUnfinished()
      this.history.push(half)
      await Promise.resolve()
      await commit({ ...batch, changes }, storeId)
      this.history.push(live.clone())
    }
    const forget = live.forget.bind(live)
    live.forget = async (numbers) => {
      await forget(numbers)
      this.history.push(live.clone())
    }
    return live
  }

  async remove (): Promise<void> {
    this.history.push(new MemoryIndex())
  }

  /** The index after a crash that took the last `lost` commits. */
  after (lost: number): ModelledIndex {
    const index = new ModelledIndex()
    index.history.push(this.history.at(-1 - lost) ?? new MemoryIndex())
    return index
  }

  get #latest (): MemoryIndex {
    return this.history.at(-1) ?? new MemoryIndex()
  }
}

/** What was said of each block. A deletion that was begun may take effect at any time until the next put. */
class Ledger {
  readonly kept = new Set<string>()
  readonly blocks = new Map<string, Block>()

  async put (store: PackBlockstore, blocks: readonly Block[]): Promise<void> {
    await store.putMany(blocks)
    for (const block of blocks) {
      this.kept.add(multihashKey(block.cid))
      this.blocks.set(multihashKey(block.cid), block)
    }
  }

  async delete (store: PackBlockstore, block: Block): Promise<void> {
    this.kept.delete(multihashKey(block.cid))
    await store.delete(block.cid)
  }
}

async function blockOf (index: number, byteLength: number): Promise<Block> {
  const bytes = new Uint8Array(byteLength)
  new DataView(bytes.buffer).setUint32(0, index)
  return await Block.of(bytes.map((byte, at) => at < 4 ? byte : (index * 31 + at) % 251))
}

const BLOCKS = await Promise.all(Array.from({ length: 40 }, (_, index) => blockOf(index, [4, 300, 700, 1200][index % 4] ?? 4)))

function some (from: number, to: number): Block[] {
  return BLOCKS.slice(from, to)
}

/** Puts, deletions, index commits, compactions, a new run of the program: what a store goes through. */
async function script (disk: CrashDisk, index: ModelledIndex, ledger: Ledger): Promise<void> {
  const first = await openPackBlockstoreOn({ operations: disk, opener: index }, PATH, OPTIONS)
  try {
    await ledger.put(first, some(0, 4))
    await Promise.all([ledger.put(first, some(4, 8)), ledger.put(first, some(6, 12))])
    await first.flush()
    for (const block of some(1, 4)) await ledger.delete(first, block)
    await ledger.put(first, some(12, 20))
    for (const block of some(4, 10)) await ledger.delete(first, block)
    await ledger.put(first, some(2, 3))
    await first.compact()
    await ledger.put(first, some(20, 24))
  } finally {
    await first[Symbol.asyncDispose]()
  }
  await using second = await openPackBlockstoreOn({ operations: disk, opener: index }, PATH, OPTIONS)
  await ledger.put(second, some(22, 30))
  await Promise.all([...some(12, 18).map(async (block) => { await ledger.delete(second, block) }), ledger.put(second, some(30, 36))])
  await second.flush()
  await ledger.delete(second, BLOCKS[30] ?? await blockOf(0, 4))
  await Promise.all([second.compact(), ledger.put(second, some(36, 40))])
}

/** Every acknowledged block is there, nothing that is there is wrong, and each pack is a CAR. */
async function assertSound (disk: CrashDisk, index: ModelledIndex, ledger: Ledger, what: string): Promise<void> {
  {
    await using store = await openPackBlockstoreOn({ operations: disk, opener: index }, PATH, OPTIONS)
    await assertAnswers(store, ledger, what)
    await assertCars(disk, what)
    // It goes on working, and a block that came back can be deleted again.
    const fresh = await blockOf(1000, 900)
    await store.putMany([fresh, ...some(0, 6)])
    assert.deepEqual((await store.get(fresh.cid))?.bytes, fresh.bytes, what)
    assert.equal(await store.delete(BLOCKS[5]?.cid ?? fresh.cid), true, what)
    for (const block of some(0, 5)) ledger.kept.add(multihashKey(block.cid))
    ledger.kept.delete(multihashKey(BLOCKS[5]?.cid ?? fresh.cid))
  }
  // An index made anew says the same.
  await using again = await openPackBlockstoreOn({ operations: disk.afterKill(), opener: new ModelledIndex() }, PATH, OPTIONS)
  assert.equal(again.isIndexNew, true)
  assert.equal(await again.has(BLOCKS[5]?.cid ?? BLOCKS[0]?.cid ?? (await blockOf(0, 4)).cid), false, `${what}: deleted, and there again`)
  await assertAnswers(again, ledger, `${what}, without an index`)
}

async function assertAnswers (store: PackBlockstore, ledger: Ledger, what: string): Promise<void> {
  let blockCount = 0
  let byteLength = 0
  for (const block of BLOCKS) {
    const found = await store.get(block.cid)
    assert.equal(await store.has(block.cid), found !== undefined, what)
    if (ledger.kept.has(multihashKey(block.cid))) assert.ok(found !== undefined, `${what}: block ${BLOCKS.indexOf(block)} is lost`)
    if (found === undefined) continue
    assert.ok(Buffer.compare(found.bytes, block.bytes) === 0, what)
  }
  for await (const cid of store.list()) {
    blockCount++
    byteLength += await store.byteLengthOf(cid) ?? NaN
  }
  assert.deepEqual(await store.usage(), { blockCount, byteLength }, what)
}

async function assertCars (disk: CrashDisk, what: string): Promise<void> {
  for (const name of disk.namesIn(PACKS).filter((name) => name.endsWith('.car'))) {
    const bytes = disk.contentOf(`${PACKS}/${name}`) ?? new Uint8Array()
    const { version, blocks } = await readCar((async function * () { yield bytes })())
    assert.equal(version, 1)
    await assert.doesNotReject(Array.fromAsync(blocks), `${what}: ${name} is no CAR`)
  }
}

/** Mulberry32: a seed gives the same run every time. */
function randomOf (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** Runs the script until the power is cut, and tells what is left and what was promised. */
async function runUntil (cutAt: number): Promise<{ disk: CrashDisk, index: ModelledIndex, ledger: Ledger }> {
  const disk = new CrashDisk({ cutAt })
  const index = new ModelledIndex()
  const ledger = new Ledger()
  await script(disk, index, ledger).catch((err: unknown) => { if (!disk.isCut) throw err })
  return { disk, index, ledger }
}

const operationCount = (await runUntil(Infinity)).disk.operationCount

test('the script compacts packs, and ends with all that it kept', async () => {
  const { disk, index, ledger } = await runUntil(Infinity)
  const names = disk.namesIn(PACKS).filter((name) => name.endsWith('.car'))
  assert.ok(!names.includes('00000001.car') && names.length > 2, names.join())
  assert.ok(operationCount > 150, `${operationCount} operations`)
  await assertSound(disk.afterKill(), index, ledger, 'after the script')
})

test('no acknowledged block is lost whenever the power is cut, however the disk wrote, and whatever the index lost', { timeout: 300_000 }, async () => {
  for (let cutAt = 1; cutAt <= operationCount; cutAt++) {
    const { disk, index, ledger } = await runUntil(cutAt)
    for (let seed = 0; seed < SEEDS_PER_CUT; seed++) {
      const random = randomOf(cutAt * SEEDS_PER_CUT + seed)
      const lost = random() < 0.5 ? 0 : Math.floor(random() * (index.history.length + 1))
      const copy = Object.assign(new Ledger(), { kept: new Set(ledger.kept) })
      await assertSound(disk.afterCut(random), index.after(lost), copy, `cut ${cutAt}, seed ${seed}, ${lost} commits lost`)
    }
  }
})

test('a second cut during the recovery from the first loses nothing either', { timeout: 300_000 }, async () => {
  for (let cutAt = 5; cutAt <= operationCount; cutAt += 7) {
    const { disk, index, ledger } = await runUntil(cutAt)
    const random = randomOf(cutAt)
    for (let second = 1; second < 40; second += 5) {
      const left = disk.afterCut(random, { cutAt: second })
      const leftIndex = index.after(random() < 0.5 ? 0 : index.history.length)
      const opening = openPackBlockstoreOn({ operations: left, opener: leftIndex }, PATH, OPTIONS)
      await opening.then(async (store) => { await store[Symbol.asyncDispose]() }, (err: unknown) => { if (!left.isCut) throw err })
      const copy = Object.assign(new Ledger(), { kept: new Set(ledger.kept) })
      await assertSound(left.afterCut(random), leftIndex.after(0), copy, `cut ${cutAt}, then ${second}`)
    }
  }
})

test('a killed process loses nothing that was acknowledged, with less durability too', { timeout: 300_000 }, async () => {
  for (let cutAt = 3; cutAt <= operationCount; cutAt += 3) {
    const { disk, index, ledger } = await runUntil(cutAt)
    await assertSound(disk.afterKill(), index.after(cutAt % 3), ledger, `killed at ${cutAt}`)
  }
})
