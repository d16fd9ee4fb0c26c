import { Block, isErrorCode, isHoldfastError } from '@holdfast/core'
import { CrashDisk, type DiskFault } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryIndex } from './memory-index.ts'
import { openPackBlockstoreOn, type PackBlockstoreOptions } from './open-pack-blockstore.ts'
import type { PackBlockstore } from './pack-blockstore.ts'
import type { IndexOpener } from './pack-index.ts'

const PATH = '/store'

/** An index that survives closing. */
function keptIndex (): IndexOpener {
  let index = new MemoryIndex()
  return {
    open: async () => index,
    remove: async () => { index = new MemoryIndex() }
  }
}

async function openOn (disk: CrashDisk, opener: IndexOpener, options: PackBlockstoreOptions = {}): Promise<PackBlockstore> {
  return await openPackBlockstoreOn({ operations: disk, opener }, PATH, { packBytes: 5000, reserveBytes: 0, compaction: false, ...options })
}

const BLOCKS = await Promise.all(Array.from({ length: 12 }, async (_, index) => await Block.of(new Uint8Array(900 + index).fill(index))))

interface Run {
  readonly stored: Set<Block>
  readonly failures: unknown[]
  readonly fatal: unknown[]
}

/** Puts all blocks, one after another, and deletes and compacts some; goes on after failures as a daemon does. */
async function useStore (disk: CrashDisk, opener: IndexOpener, fatal: unknown[] = []): Promise<Run> {
  const stored = new Set<Block>()
  const failures: unknown[] = []
  const attempt = async (step: () => Promise<void>): Promise<void> => {
    await step().catch((err: unknown) => { failures.push(err) })
  }
  await attempt(async () => {
    await using store = await openOn(disk, opener, { onFatal: (err) => { fatal.push(err) } })
    for (const block of BLOCKS) {
      await attempt(async () => {
        await store.put(block)
        stored.add(block)
      })
      // Whatever happens to writes, what is stored is read.
      for (const block of stored) assert.ok((await store.get(block.cid)) !== undefined)
    }
    for (const block of BLOCKS.slice(0, 4)) {
      await attempt(async () => {
        stored.delete(block)
        await store.delete(block.cid)
      })
    }
    await attempt(async () => { await store.compact() })
    for (const block of stored) assert.ok((await store.get(block.cid)) !== undefined)
  })
  return { stored, failures, fatal }
}

/** Runs `useStore` with one fault at each operation in turn, until one comes after the last. */
async function sweep (fault: Omit<DiskFault, 'at'>, check: (run: Run, disk: CrashDisk, opener: IndexOpener, at: number) => Promise<void>): Promise<number> {
  for (let at = 1; ; at++) {
    const disk = new CrashDisk({ fault: { ...fault, at } })
    const opener = keptIndex()
    const run = await useStore(disk, opener)
    if (!disk.hasFailed) return at
    await check(run, disk, opener, at)
  }
}

async function assertKept (disk: CrashDisk, opener: IndexOpener, stored: ReadonlySet<Block>, what: string): Promise<void> {
  await using store = await openOn(disk, opener)
  for (const block of stored) assert.ok((await store.get(block.cid)) !== undefined, what)
  for (const block of BLOCKS) await store.put(block)
  assert.deepEqual((await store.usage()).blockCount, BLOCKS.length, what)
}

test('a full disk refuses what is written, and nothing more', { timeout: 120_000 }, async () => {
  const count = await sweep({ code: 'ENOSPC' }, async ({ stored, failures, fatal }, disk, opener, at) => {
    assert.deepEqual(fatal, [], `operation ${at}`)
    for (const err of failures) assert.ok(isErrorCode(err, 'LIMIT'), `operation ${at}: ${String(err)}`)
    await assertKept(disk.afterKill(), opener, stored, `operation ${at}`)
  })
  assert.ok(count > 60, `${count} operations`)
})

test('a disk that stays full is written to again once there is space, without opening the store anew', async () => {
  for (let at = 25; at < 90; at++) {
    const disk = new CrashDisk({ fault: { at, code: 'ENOSPC', lasting: true } })
    await using store = await openOn(disk, keptIndex())
    const outcomes = await Promise.allSettled(BLOCKS.map(async (block, index) => {
      for (let turn = 0; turn < index * 20; turn++) await Promise.resolve()
      await store.put(block)
    }))
    for (const outcome of outcomes) assert.ok(outcome.status === 'fulfilled' || isErrorCode(outcome.reason, 'LIMIT'))
    disk.mend()
    await store.putMany(BLOCKS)
    for (const block of BLOCKS) assert.ok(await store.has(block.cid))
    await store.flush()
  }
})

test('too many open files are an error of the call that needed one', { timeout: 120_000 }, async () => {
  await sweep({ code: 'EMFILE' }, async ({ stored, failures, fatal }, disk, opener, at) => {
    assert.deepEqual(fatal, [], `operation ${at}`)
    for (const err of failures) assert.ok(isErrorCode(err, 'UNAVAILABLE'), `operation ${at}: ${String(err)}`)
    await assertKept(disk.afterKill(), opener, stored, `operation ${at}`)
  })
})

test('short writes are gone on with', { timeout: 120_000 }, async () => {
  await sweep({ code: 'short' }, async ({ stored, failures }, disk, opener, at) => {
    assert.deepEqual(failures, [])
    assert.equal(stored.size, BLOCKS.length - 4)
    await assertKept(disk.afterKill(), opener, stored, `operation ${at}`)
  })
})

test('after a failed write or sync the store only reads, says so once, and asks for no sync any more', { timeout: 120_000 }, async () => {
  let fatalCount = 0
  await sweep({ code: 'EIO' }, async ({ stored, failures, fatal }, disk, opener, at) => {
    assert.ok(fatal.length <= 1)
    for (const err of failures) assert.ok(isHoldfastError(err), `operation ${at}: ${String(err)}`)
    if (fatal.length === 1) {
      fatalCount++
      assert.equal(disk.syncsAfterFault, 0, `operation ${at}`)
      for (const err of failures) assert.equal(err, fatal[0], `operation ${at}`)
    }
    await assertKept(disk.afterKill(), opener, stored, `operation ${at}`)
  })
  assert.ok(fatalCount > 30, `${fatalCount} fatal failures`)
})

test('no file stays open behind a store that is closed, whatever failed', { timeout: 120_000 }, async () => {
  for (const code of ['ENOSPC', 'EIO', 'EMFILE']) {
    await sweep({ code }, async (_, disk, _opener, at) => { assert.equal(disk.openCount, 0, `${code} at operation ${at}`) })
  }
})
