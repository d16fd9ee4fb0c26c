import { openPackBlockstore } from '@holdfast/blockstore/pack'
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { recipeOf } from '../profile.ts'
import { openDiskSource } from './disk-source.ts'
import { type ImportOptions, importSources } from './import-tree.ts'

const MIB = 1024 * 1024

/** Longer than all that is ever on its way to the store. */
const FILE_BYTES = 64 * MIB

const FILE_COUNT = 700

interface Tree {
  readonly path: string
  readonly byteLength: number
}

test('what is stored already is not written again: not a byte', async (context) => {
  const { store, tree } = await filled(context)
  const first = await importTree(store, tree.path)
  const { packBytes } = store.stats()
  assert.ok(packBytes > tree.byteLength)
  assert.equal(await importTree(store, tree.path), first)
  assert.equal(store.stats().packBytes, packBytes)
})

test('an import that was interrupted is taken up again, and writes what was missing', async (context) => {
  const { store, tree } = await filled(context)
  const controller = new AbortController()
  const reason = new Error('enough')
  const interrupted = importTree(store, tree.path, {
    signal: controller.signal,
    onProgress: ({ byteLength }) => { if (byteLength > tree.byteLength / 2) controller.abort(reason) }
  })
  await assert.rejects(interrupted, (err) => err === reason)
  const before = store.stats()
  assert.ok(before.blockCount > 0, 'something was stored')

  await importTree(store, tree.path)
  const after = store.stats()
  assert.equal(after.deadBytes, before.deadBytes, 'no block lies there twice')

  const { store: fresh } = await opened(context)
  await importTree(fresh, tree.path)
  assert.equal(after.blockCount, fresh.stats().blockCount)
  assert.equal(after.liveBytes, fresh.stats().liveBytes)
})

test('the next import waits for the same blocks of one that runs, and writes none of them twice', async (context) => {
  const { store, tree } = await filled(context)
  const [one, other] = await Promise.all([importTree(store, tree.path), importTree(store, tree.path)])
  assert.equal(one, other)
  const { blockCount, liveBytes, deadBytes } = store.stats()
  const { store: fresh } = await opened(context)
  await importTree(fresh, tree.path)
  assert.deepEqual({ blockCount, liveBytes, deadBytes }, { blockCount: fresh.stats().blockCount, liveBytes: fresh.stats().liveBytes, deadBytes: fresh.stats().deadBytes })
})

async function importTree (store: Awaited<ReturnType<typeof openPackBlockstore>>, path: string, options: ImportOptions = {}): Promise<string> {
  const [root] = await importSources(store, [await openDiskSource(path)], recipeOf(), options)
  return String(root?.cid)
}

async function filled (context: TestContext): Promise<Awaited<ReturnType<typeof opened>> & { tree: Tree }> {
  const path = await newFolder(context)
  await mkdir(join(path, 'many'))
  await writeFile(join(path, 'large'), Buffer.concat(Array.from({ length: FILE_BYTES / MIB }, (_, index) => Buffer.alloc(MIB, `${index} holdfast `))))
  for (let index = 0; index < FILE_COUNT; index++) await writeFile(join(path, 'many', String(index)), `file ${index}`)
  return { ...await opened(context), tree: { path, byteLength: FILE_BYTES } }
}

async function opened (context: TestContext): Promise<{ store: Awaited<ReturnType<typeof openPackBlockstore>> }> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-store-'))
  const store = await openPackBlockstore(folder)
  context.after(async () => {
    await store[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })
  return { store }
}

async function newFolder (context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-again-'))
  context.after(async () => { await rm(folder, { recursive: true, force: true }) })
  return folder
}
