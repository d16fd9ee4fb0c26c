import { Block, type HoldfastError, isErrorCode, isHoldfastError } from '@holdfast/core'
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Blockstore } from '../blockstore.ts'
import { type FsOperations, nodeFsOperations } from './fs-operations.ts'
import { openFsBlockstoreOn } from './open-fs-blockstore.ts'

const first = await numbered(0)
const second = await numbered(1)
const third = await numbered(2)
const rest = await Promise.all([3, 4, 5].map(numbered))
const blocks = [first, second, third, ...rest]

async function numbered (index: number): Promise<Block> {
  return await Block.of(new Uint8Array(3000).fill(index))
}

/** What a node does with a store, in steps that either happen or fail. */
const STEPS: ReadonlyArray<{ acknowledges?: readonly Block[], removes?: Block, run: (store: Blockstore) => Promise<unknown> }> = [
  { acknowledges: [first], run: (store) => store.put(first) },
  { acknowledges: [second, third], run: (store) => store.putMany([second, third]) },
  { acknowledges: [first], run: (store) => store.put(first) },
  { run: (store) => store.get(first.cid) },
  { run: (store) => store.has(second.cid) },
  { run: (store) => Array.fromAsync(store.list()) },
  { run: (store) => store.usage() },
  { removes: second, run: (store) => store.delete(second.cid) },
  { acknowledges: rest, run: (store) => store.putMany(rest) }
]

for (const errno of ['ENOSPC', 'EIO', 'EMFILE']) {
  test(`whichever system call fails with ${errno}, the error is typed, no acknowledged block is lost and the next call works`, async () => {
    const operationCount = await sweep(errno)
    assert.ok(operationCount > 100, `${operationCount} system calls were failed`)
  })
}

/** Runs the steps again and again; the Nth system call fails in the Nth run. Returns how many there are. */
async function sweep (errno: string): Promise<number> {
  for (let failAt = 1; ; failAt++) {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-faults-'))
    try {
      await mkdir(join(folder, '.temp'))
      await writeFile(join(folder, '.temp', '0d1c2b3a-0000-4000-8000-00000000000f.tmp'), 'left by a crash')
      const faulty = failNth(failAt, errno)
      const acknowledged = await runSteps(folder, faulty)
      assert.equal(faulty.openCount(), 0, `no file is left open (${faulty.failed()})`)
      await checkAfterwards(folder, acknowledged, faulty.failed())
      if (faulty.failed() === undefined) return failAt - 1
    } catch (cause) {
      throw new Error(`System call ${failAt} failed with ${errno}`, { cause })
    } finally {
      await rm(folder, { recursive: true })
    }
  }
}

interface Faulty {
  operations: FsOperations
  /** The name of the call that failed, if its turn came. */
  failed: () => string | undefined
  openCount: () => number
}

/** Returns the blocks that were acknowledged and not deleted. */
async function runSteps (folder: string, { operations, failed }: Faulty): Promise<Set<Block>> {
  const acknowledged = new Set<Block>()
  let fatalCount = 0
  const open = (): Promise<Blockstore> => openFsBlockstoreOn(operations, folder, { onFatal: () => { fatalCount++ } })
  let store: Blockstore
  try {
    store = await open()
  } catch (err) {
    requireTyped(err, failed())
    store = await open()
    fatalCount = 0
  }

  for (const { acknowledges = [], removes, run } of STEPS) {
    if (removes !== undefined) acknowledged.delete(removes) // A delete that fails may have happened.
    try {
      await run(store)
    } catch (err) {
      requireTyped(err, failed())
      if (fatalCount > 0) {
        await requireReadOnly(store, acknowledged)
        break
      }
      await run(store)
    }
    for (const block of acknowledges) acknowledged.add(block)
  }
  assert.ok(fatalCount <= 1, 'onFatal is called once')
  await store[Symbol.asyncDispose]()
  return acknowledged
}

function requireTyped (err: unknown, failed: string | undefined): asserts err is HoldfastError {
  assert.ok(isHoldfastError(err), `${String(err)} of ${failed} is typed`)
  assert.ok(err.cause instanceof Error && 'code' in err.cause)
  const isFull = err.cause.code === 'ENOSPC'
  if (failed?.startsWith('sync') !== true) assert.equal(err.code, isFull ? 'LIMIT' : 'UNAVAILABLE')
  if (err.code === 'LIMIT') assert.match(err.message, /disk is full/)
}

/** After a failed sync: no write, whatever it is, and every read. */
async function requireReadOnly (store: Blockstore, acknowledged: ReadonlySet<Block>): Promise<void> {
  const isReadOnly = (err: unknown): boolean => isErrorCode(err, 'UNAVAILABLE') && err.message.includes('read-only')
  await assert.rejects(store.put(first), isReadOnly)
  await assert.rejects(store.putMany(blocks), isReadOnly)
  await assert.rejects(store.delete(third.cid), isReadOnly)
  for (const { cid, bytes } of acknowledged) assert.deepEqual((await store.get(cid))?.bytes, bytes)
}

async function checkAfterwards (folder: string, acknowledged: ReadonlySet<Block>, failed: string | undefined): Promise<void> {
  const fault = `after ${failed} failed`
  await using store = await openFsBlockstoreOn(nodeFsOperations, folder)
  for (const { cid, bytes } of acknowledged) assert.deepEqual((await store.get(cid))?.bytes, bytes, `acknowledged ${fault}`)
  for await (const cid of store.list()) await store.get(cid) // Rejects when torn.
  assert.deepEqual(await readdir(join(folder, '.temp')), [], `temporary files ${fault}`)
  await store.putMany(blocks)
  assert.deepEqual(await store.usage(), { blockCount: blocks.length, byteLength: 3000 * blocks.length })
}

/** The real system calls, but the Nth fails; a failing write has written half, a failing close has closed. */
function failNth (failAt: number, errno: string): Faulty {
  let count = 0
  let openCount = 0
  let failed: string | undefined
  const fault = (name: string): Error | undefined => {
    if (++count !== failAt) return undefined
    failed = name
    return Object.assign(new Error(`${errno}: injected, ${name}`), { code: errno, syscall: name })
  }
  const faulty = <Args extends unknown[], T> (name: string, call: (...args: Args) => Promise<T>) => async (...args: Args): Promise<T> => {
    const err = fault(name)
    if (err !== undefined) throw err
    return await call(...args)
  }
  const real = nodeFsOperations
  const operations: FsOperations = {
    open: faulty('open', async (path, flags) => {
      const fd = await real.open(path, flags)
      openCount++
      return fd
    }),
    async close (fd) {
      const err = fault('close')
      await real.close(fd)
      openCount--
      if (err !== undefined) throw err
    },
    async write (fd, bytes, position) {
      const err = fault('write')
      if (err === undefined) return await real.write(fd, bytes, position)
      await real.write(fd, bytes.subarray(0, bytes.byteLength / 2), position)
      throw err
    },
    read: faulty('read', real.read),
    sync: faulty('sync', real.sync),
    syncFolder: faulty('syncFolder', real.syncFolder),
    byteLength: faulty('byteLength', real.byteLength),
    byteLengthAt: faulty('byteLengthAt', real.byteLengthAt),
    rename: faulty('rename', real.rename),
    unlink: faulty('unlink', real.unlink),
    mkdir: faulty('mkdir', real.mkdir),
    async * list (path) {
      const err = fault('list')
      if (err !== undefined) throw err
      yield * real.list(path)
    }
  }
  return { operations, failed: () => failed, openCount: () => openCount }
}

test('reads and writes that the system cuts short are carried on', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-short-'))
  const operations: FsOperations = {
    ...nodeFsOperations,
    read: (fd, into, position) => nodeFsOperations.read(fd, into.subarray(0, 700), position),
    write: (fd, bytes, position) => nodeFsOperations.write(fd, bytes.subarray(0, 700), position)
  }
  await using store = await openFsBlockstoreOn(operations, folder)
  await store.putMany(blocks)
  for (const { cid, bytes } of blocks) assert.deepEqual((await store.get(cid))?.bytes, bytes)
  await rm(folder, { recursive: true })
})

test('a thousand puts and gets at once hold a bounded number of files open', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-bounded-'))
  let maxOpenCount = 0
  let openCount = 0
  const operations: FsOperations = {
    ...nodeFsOperations,
    async open (path, flags) {
      maxOpenCount = Math.max(maxOpenCount, ++openCount)
      return await nodeFsOperations.open(path, flags).catch((err: unknown) => { openCount--; throw err })
    },
    async close (fd) {
      openCount--
      await nodeFsOperations.close(fd)
    }
  }
  const many = await Promise.all(Array.from({ length: 1000 }, (_, index) => Block.of(Uint8Array.of(index, index >> 8))))
  await using store = await openFsBlockstoreOn(operations, folder)
  await Promise.all(many.map(async (block) => {
    await store.put(block)
    await store.get(block.cid)
  }))
  assert.equal(openCount, 0)
  assert.ok(maxOpenCount <= 16 + 32, `${maxOpenCount} files were open at once`)
  await rm(folder, { recursive: true })
})

test('a delete waits for the put of its block, also to ask whether it may', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-locks-'))
  const reached = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  let isHeld = false
  const operations: FsOperations = {
    ...nodeFsOperations,
    async rename (from, to) {
      await nodeFsOperations.rename(from, to)
      if (!isHeld) return
      reached.resolve()
      await goOn.promise
    }
  }
  await using store = await openFsBlockstoreOn(operations, folder)
  isHeld = true
  const putting = store.put(first)
  await reached.promise

  let wasAsked = false
  const deleting = store.delete(first.cid, { when: () => { wasAsked = true; return false } })
  await store.has(second.cid) // A turn through the thread pool: time enough to do it wrong.
  assert.equal(wasAsked, false)
  goOn.resolve()
  await putting
  assert.equal(await deleting, false)
  assert.equal(wasAsked, true)
  await rm(folder, { recursive: true })
})

test('a sync that fails stops every write that is on its way, and is told once', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-fatal-'))
  const renamed = Promise.withResolvers<void>()
  const failed = Promise.withResolvers<void>()
  let mode: 'working' | 'held' | 'broken' = 'working'
  const operations: FsOperations = {
    ...nodeFsOperations,
    async sync (fd) {
      if (mode !== 'broken') return await nodeFsOperations.sync(fd)
      failed.resolve()
      throw Object.assign(new Error('EIO'), { code: 'EIO', syscall: 'fsync' })
    },
    async syncFolder (fd) {
      if (mode === 'held') {
        renamed.resolve()
        await failed.promise
      }
      await nodeFsOperations.syncFolder(fd)
    }
  }
  const fatal: HoldfastError[] = []
  await using store = await openFsBlockstoreOn(operations, folder, { onFatal: (err) => { fatal.push(err) } })
  mode = 'held'
  const onItsWay = store.put(first) // Its own syncs succeed, the last of them after that of another put has failed.
  await renamed.promise
  mode = 'broken'
  const outcomes = await Promise.allSettled([onItsWay, store.put(second), store.putMany(rest)])
  for (const [index, outcome] of outcomes.entries()) {
    assert.ok(outcome.status === 'rejected' && isErrorCode(outcome.reason, 'UNAVAILABLE') && outcome.reason.message.includes('read-only'), `write ${index}`)
  }
  assert.equal(fatal.length, 1)
  assert.deepEqual((await store.get(first.cid))?.bytes, first.bytes, 'reads go on')
  await rm(folder, { recursive: true })
})
