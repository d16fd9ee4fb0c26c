/**
 * What an import holds in memory, whatever it reads. The sizes of the promise, which take some minutes, come with `FULL_BOUNDS=1`.
 */
import assert from 'node:assert/strict'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { recipeOf } from '../profile.ts'
import { openDiskSource } from './disk-source.ts'
import { discardingWriter, importSources } from './import-tree.ts'
import type { ImportSource } from './source.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB
const isFull = process.env['FULL_BOUNDS'] === '1'

/** Most that an import adds to the memory of its process: batches, chunks that are read and hashed, and what V8 has not collected. */
const MAX_GROWTH_BYTES = 192 * MIB

/** Most that an entry of a directory takes while that is built, its name of 12 bytes included. */
const MAX_ENTRY_BYTES = 256

/** Returns by how much the memory of this process was at most above what it is now. Where it was higher before, that counts. */
function watchGrowth (): () => number {
  const before = process.memoryUsage.rss()
  return () => process.resourceUsage().maxRSS * 1024 - before
}

for (const profile of ['unixfs-v0-2015', 'unixfs-v1-2025'] as const) {
  test(`a file of ${isFull ? 64 : 1} GiB takes constant memory, with ${profile}`, async (context) => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-bounds-'))
    context.after(async () => { await rm(folder, { recursive: true, force: true }) })
    await using file = await open(join(folder, 'sparse'), 'w')
    await file.truncate((isFull ? 64 : 1) * GIB)
    const growth = watchGrowth()
    const [root] = await importSources(discardingWriter, [await openDiskSource(join(folder, 'sparse'))], recipeOf({ profile }))
    assert.equal(root?.byteLength, (isFull ? 64 : 1) * GIB)
    assert.ok(growth() < MAX_GROWTH_BYTES, `${Math.round(growth() / MIB)} MiB`)
  })
}

const FILE_COUNT = isFull ? 1_000_000 : 10_000

test(`${FILE_COUNT} files in many directories take constant memory`, async () => {
  const growth = watchGrowth()
  const tree = directoryOf(FILE_COUNT / 1000, (folder) => directoryOf(1000, (name) => ({
    kind: 'file',
    name: Buffer.from(name),
    async * open () { yield Buffer.from(`${folder} ${name}`.padEnd(4096)) }
  }), folder))
  const [root] = await importSources(discardingWriter, [tree], recipeOf())
  assert.equal(root?.byteLength, FILE_COUNT * 4096)
  assert.ok(growth() < MAX_GROWTH_BYTES, `${Math.round(growth() / MIB)} MiB`)
})

const ENTRY_COUNT = isFull ? 1_000_000 : 30_000

test(`a directory of ${ENTRY_COUNT} entries takes at most ${MAX_ENTRY_BYTES} bytes for each`, async () => {
  const growth = watchGrowth()
  const tree = directoryOf(ENTRY_COUNT, (name) => ({ kind: 'symlink', name: Buffer.from(name), target: Buffer.from(name) }))
  await importSources(discardingWriter, [tree], recipeOf())
  assert.ok(growth() < MAX_GROWTH_BYTES + ENTRY_COUNT * MAX_ENTRY_BYTES, `${Math.round(growth() / MIB)} MiB`)
})

function directoryOf (count: number, entry: (name: string) => ImportSource, name = 'root'): ImportSource {
  return {
    kind: 'directory',
    name: Buffer.from(name),
    async * entries () {
      for (let index = 0; index < count; index++) yield entry(`entry-${String(index).padStart(6, '0')}`)
    }
  }
}
