import { Block, isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { Blockstore } from '../blockstore.ts'
import { type FsOperations, nodeFsOperations } from './fs-operations.ts'
import { openFsBlockstoreOn } from './open-fs-blockstore.ts'

const MAX_BYTES = 10_000

async function newFolder (context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-quota-'))
  context.after(async () => { await rm(folder, { recursive: true }) })
  return folder
}

async function open (folder: string, operations: FsOperations = nodeFsOperations): Promise<Blockstore> {
  return await openFsBlockstoreOn(operations, folder, { storageMaxBytes: MAX_BYTES, layout: 'blockstore-fs' })
}

async function blocksOf (count: number, byteLength: number): Promise<Block[]> {
  return await Promise.all(Array.from({ length: count }, async () => await Block.of(randomBytes(byteLength))))
}

function isFull (err: unknown): boolean {
  return isErrorCode(err, 'LIMIT') && err.details['reason'] === 'no-space' && /storageMaxBytes/.test(err.message)
}

test('a write that would pass the limit is refused and leaves nothing behind; what is removed makes room', async (context) => {
  const folder = await newFolder(context)
  await using store = await open(folder)
  const [first, second, third] = await blocksOf(3, 4000)
  assert.ok(first && second && third)
  await store.putMany([first, second])
  await assert.rejects(store.put(third), isFull)
  await assert.rejects(store.putMany(await blocksOf(2, 1500)), isFull)
  assert.deepEqual(await readdir(join(folder, '.temp')), [])
  await store.putMany([first, second])
  assert.equal((await store.usage()).byteLength, 8000)
  assert.equal(await store.delete(first.cid), true)
  assert.equal(await store.delete(first.cid), false)
  await store.put(third)
  await assert.rejects(store.put(first), isFull)
})

test('what was there before counts, also when the first that happens is a removal', async (context) => {
  const folder = await newFolder(context)
  const [first, second, third] = await blocksOf(3, 4000)
  assert.ok(first && second && third)
  {
    await using store = await open(folder)
    await store.putMany([first, second])
  }
  {
    await using store = await open(folder)
    await assert.rejects(store.put(third), isFull)
  }
  await using store = await open(folder)
  await Promise.all([store.delete(first.cid), store.put(third).catch((err: unknown) => { assert.ok(isFull(err)) })])
  await store.put(third)
  await assert.rejects(store.put(first), isFull)
})

test('writes at the same time do not pass the limit together', async (context) => {
  await using store = await open(await newFolder(context))
  const results = await Promise.allSettled((await blocksOf(40, 600)).map(async (block) => { await store.put(block) }))
  assert.equal(results.filter(({ status }) => status === 'fulfilled').length, Math.floor(MAX_BYTES / 600))
  assert.ok((await store.usage()).byteLength <= MAX_BYTES)
})

test('a damaged file counts by what replaces it', async (context) => {
  const folder = await newFolder(context)
  const [block] = await blocksOf(1, 6000)
  assert.ok(block)
  {
    await using store = await open(folder)
    await store.put(block)
  }
  const path = (await readdir(folder, { recursive: true })).find((name) => name.endsWith('.data'))
  await writeFile(join(folder, path ?? ''), 'cut short')
  await using store = await open(folder)
  await store.put(block)
  assert.equal((await store.usage()).byteLength, 6000)
  await assert.rejects(store.putMany(await blocksOf(1, 4001)), isFull)
  await store.putMany(await blocksOf(1, 4000))
})

test('a write that failed takes no room', async (context) => {
  let isBroken = true
  const failing = Object.assign(Object.create(nodeFsOperations) as FsOperations, {
    async write (...args: Parameters<FsOperations['write']>) {
      if (isBroken) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', syscall: 'write' })
      return await nodeFsOperations.write(...args)
    }
  })
  await using store = await open(await newFolder(context), failing)
  for (let count = 0; count < 5; count++) await assert.rejects(store.putMany(await blocksOf(3, 3000)), (err) => isErrorCode(err, 'LIMIT') && /disk is full/.test(err.message))
  isBroken = false
  await store.putMany(await blocksOf(3, 3000))
})
