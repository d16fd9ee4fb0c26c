import { MemoryBlockstore } from '@holdfast/blockstore'
import type { Block } from '@holdfast/core'
import assert from 'node:assert/strict'
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { recipeOf } from '../profile.ts'
import { BATCH_BYTES, BATCHES_IN_FLIGHT } from './block-sink.ts'
import { openDiskSource } from './disk-source.ts'
import { discardingWriter, type ImportedEntry, importSources } from './import-tree.ts'
import type { ImportSource } from './source.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB
const reason = new Error('changed my mind')
const isReason = (err: unknown): boolean => err === reason

test('of a file of 64 GiB little more is read after the abort, and no root is built', async (context) => {
  const path = join(await newFolder(context), 'large')
  await using file = await open(path, 'w')
  await file.truncate(64 * GIB)
  const controller = new AbortController()
  const entries: ImportedEntry[] = []
  let abortedAt = 0
  let read = 0
  const importing = importSources(discardingWriter, [await openDiskSource(path)], recipeOf(), {
    signal: controller.signal,
    onEntry: async (entry) => { entries.push(entry) },
    onProgress: ({ byteLength }) => {
      read = byteLength
      if (abortedAt > 0 || byteLength < 32 * MIB) return
      abortedAt = byteLength
      controller.abort(reason)
    }
  })
  await assert.rejects(importing, isReason)
  assert.ok(read - abortedAt <= 2 * MIB, `${(read - abortedAt) / MIB} MiB were read after the abort`)
  assert.deepEqual(entries, [])
})

test('of 1,500 files only those are finished after the abort that were under way, and no directory is built', async (context) => {
  const folder = await newFolder(context)
  for (let index = 0; index < 1500; index++) await writeFile(join(folder, String(index)), `file ${index}`)
  const controller = new AbortController()
  const entries: ImportedEntry[] = []
  let abortedAt = 0
  const importing = importSources(new MemoryBlockstore(), [await openDiskSource(folder)], recipeOf(), {
    signal: controller.signal,
    onEntry: async (entry) => {
      entries.push(entry)
      if (entries.length !== 700) return
      abortedAt = entries.length
      controller.abort(reason)
    }
  })
  await assert.rejects(importing, isReason)
  assert.ok(entries.length - abortedAt <= 256, `${entries.length - abortedAt} files were finished after the abort`)
  assert.ok(entries.every(({ kind }) => kind === 'file'))
})

test('the abort is seen while a long directory is listed', async (context) => {
  const folder = await newFolder(context)
  for (let index = 0; index < 5000; index++) await writeFile(join(folder, String(index)), '')
  const controller = new AbortController()
  const source = await openDiskSource(folder)
  assert.ok(source.kind === 'directory')
  const entries = source.entries(controller.signal)[Symbol.asyncIterator]()
  await entries.next()
  controller.abort(reason)
  await assert.rejects(async () => await entries.next(), isReason)
})

test('the shards of a directory are not built on after the abort', async () => {
  const controller = new AbortController()
  let isFinished = false
  let addedAfter = 0
  const writer = {
    async put () {},
    async putMany (blocks: readonly Block[]) { if (controller.signal.aborted) addedAfter += blocks.length }
  }
  const entries: ImportedEntry[] = []
  const importing = importSources(writer, [directoryOf(10_000)], recipeOf(), {
    signal: controller.signal,
    onEntry: async (entry) => {
      entries.push(entry)
      // Shards come next: they are built in many turns of the event loop.
      if (entries.length === 10_000) setImmediate(() => { setImmediate(() => { controller.abort(reason) }) })
    }
  }).finally(() => { isFinished = true })
  await assert.rejects(importing, isReason)
  assert.ok(isFinished)
  assert.equal(addedAfter, 0)
  assert.equal(entries.length, 10_000, 'the directory is no entry')
})

test('an abort does not wait for a store that is slow', async () => {
  const controller = new AbortController()
  let waiting = 0
  const writer = {
    async put () {},
    async putMany (_: readonly Block[], options?: { signal?: AbortSignal | undefined }) {
      waiting++
      if (waiting === BATCHES_IN_FLIGHT) setImmediate(() => { controller.abort(reason) })
      await new Promise((_resolve, reject) => { options?.signal?.addEventListener('abort', () => { reject(reason) }) })
    }
  }
  async function * endless (): AsyncGenerator<Uint8Array> {
    for (let index = 0; ; index++) yield Buffer.alloc(MIB, String(index))
  }
  await assert.rejects(importSources(writer, [{ kind: 'file', name: Buffer.from('a'), open: endless }], recipeOf(), { signal: controller.signal }), isReason)
  assert.equal(waiting, BATCHES_IN_FLIGHT, `${BATCH_BYTES * BATCHES_IN_FLIGHT} bytes were on their way`)
})

function directoryOf (count: number): ImportSource {
  return {
    kind: 'directory',
    name: Buffer.from('root'),
    async * entries () {
      for (let index = 0; index < count; index++) yield { kind: 'symlink', name: Buffer.from(`link-${index}`), target: Buffer.from('somewhere') }
    }
  }
}

async function newFolder (context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-abort-'))
  context.after(async () => { await rm(folder, { recursive: true, force: true }) })
  return folder
}
