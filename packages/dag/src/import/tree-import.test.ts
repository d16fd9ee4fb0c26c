import { MemoryBlockstore } from '@holdfast/blockstore'
import { isErrorCode } from '@holdfast/core'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openEntry } from '../entry.ts'
import { recipeOf } from '../profile.ts'
import { discardingWriter, type ImportedEntry, importSources } from './import-tree.ts'
import type { DirectorySource, ImportSource } from './source.ts'
import { openTreeImport } from './tree-import.ts'

async function * once (bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes
}

/** A tree of files by path, as one directory source. */
function sourceOf (files: ReadonlyMap<string, Uint8Array>): DirectorySource {
  const children = new Map<string, Map<string, Uint8Array>>()
  for (const [path, bytes] of files) {
    const [name = '', ...rest] = path.split('/')
    const below = children.get(name) ?? new Map()
    children.set(name, below.set(rest.join('/'), bytes))
  }
  return {
    kind: 'directory',
    name: Buffer.from('top'),
    async * entries (): AsyncIterable<ImportSource> {
      for (const [name, below] of children) {
        const content = below.get('')
        if (content !== undefined) yield { kind: 'file', name: Buffer.from(name), open: () => once(content) }
        else yield { ...sourceOf(below), name: Buffer.from(name) }
      }
    }
  }
}

const segment = fc.constantFrom('a', 'b', 'ü', '__proto__', 'constructor')
const filesArbitrary = fc.uniqueArray(fc.tuple(fc.array(segment, { minLength: 1, maxLength: 4 }), fc.uint8Array({ maxLength: 50 })), { selector: ([path]) => path.join('/'), minLength: 1, maxLength: 12 })
  // No file is a directory too.
  .map((files) => files.filter(([path], index) => !files.some(([other], at) => at !== index && other.join('/').startsWith(`${path.join('/')}/`))))
  .filter((files) => files.length > 0)

test('a tree that comes in any order has the CID that it has on a disk', async () => {
  await fc.assert(fc.asyncProperty(filesArbitrary.chain((files) => fc.tuple(fc.constant(files), fc.shuffledSubarray(files, { minLength: files.length }))), async ([files, shuffled]) => {
    const [expected] = await importSources(discardingWriter, [sourceOf(new Map(files.map(([path, bytes]) => [path.join('/'), bytes])))], recipeOf())
    await using tree = openTreeImport(new MemoryBlockstore(), recipeOf(), { wrap: true })
    for (const [path, bytes] of shuffled) await tree.file(path, once(bytes))
    const [root] = await tree.finish()
    assert.equal(root?.cid.toString(), expected?.cid.toString())
    assert.equal(root?.tsize, expected?.tsize)
  }), { numRuns: 200 })
})

test('without a wrapper every entry of the top level is a root, directories last to be told', async () => {
  const told: ImportedEntry[] = []
  await using tree = openTreeImport(new MemoryBlockstore(), recipeOf(), { onEntry: async (entry) => { told.push(entry) } })
  await tree.file(['d', 'x'], once(Buffer.from('x')))
  await tree.file(['f'], once(Buffer.from('f')))
  tree.directory(['empty'])
  assert.deepEqual((await tree.finish()).map(({ path, kind }) => [path, kind]), [['d', 'directory'], ['f', 'file'], ['empty', 'directory']])
  assert.deepEqual(told.map(({ path }) => path), ['d/x', 'f', 'd', 'empty'])
})

test('mode and mtime lie in the root of the entry, and a small file is no raw block then', async () => {
  const blocks = new MemoryBlockstore()
  const attributes = { mode: 0o755, mtime: { seconds: 1_700_000_000n, nanoseconds: 7 } }
  await using tree = openTreeImport(blocks, recipeOf({ chunker: 'size-4' }), {})
  await tree.file(['small'], once(Buffer.from('abc')), attributes)
  await tree.file(['long'], once(Buffer.from('abcdefghijkl')), attributes)
  tree.directory(['d'], attributes)
  await tree.symlink(['l'], Buffer.from('small'), attributes)
  for (const { cid, path, tsize } of await tree.finish()) {
    const entry = await openEntry(blocks, cid)
    const kept = 'mtime' in entry ? { mode: entry.mode, mtime: entry.mtime } : {}
    // The mode of a symlink means nothing, so Kubo leaves it out.
    assert.deepEqual(kept, path === 'l' ? { ...attributes, mode: undefined } : attributes, `${path} is a ${entry.kind}`)
    assert.ok(tsize > 0)
  }
})

test('the attributes of a small file lie in its one block, where UnixFS 1.5 has them', async () => {
  const blocks = new MemoryBlockstore()
  await using tree = openTreeImport(blocks, recipeOf({ profile: 'unixfs-v0-2015' }))
  await tree.file([], once(Buffer.from('hi')), { mode: 0o644, mtime: { seconds: 1n, nanoseconds: 0 } })
  const [root] = await tree.finish()
  const block = root === undefined ? undefined : await blocks.get(root.cid)
  // dag-pb Data of: 08 02 (File), 12 02 6869 (data), 18 02 (filesize), 38 a403 (mode), 42 02 08 01 (mtime)
  assert.equal(Buffer.from(block?.bytes ?? []).toString('hex'), '0a0f080212026869180238a40342020801')
})

test('one name for a file and a directory is INVALID, whichever comes first', async () => {
  for (const paths of [['a', 'a/b'], ['a/b', 'a']]) {
    await using tree = openTreeImport(discardingWriter, recipeOf())
    await tree.file((paths[0] ?? '').split('/'), once(Buffer.from('x')))
    await assert.rejects(tree.file((paths[1] ?? '').split('/'), once(Buffer.from('y'))), (err) => isErrorCode(err, 'INVALID'))
  }
})

test('dots stay inside the tree', async () => {
  await using tree = openTreeImport(discardingWriter, recipeOf(), { wrap: true })
  const told: string[] = []
  await using other = openTreeImport(discardingWriter, recipeOf(), { onEntry: async ({ path }) => { told.push(path) } })
  await other.file(['..', '..', 'etc', '.', 'passwd'], once(Buffer.from('x')))
  await other.finish()
  assert.deepEqual(told, ['etc/passwd', 'etc'])
  await assert.rejects(tree.file(Array.from({ length: 129 }, () => 'd'), once(Buffer.from('x'))), (err) => isErrorCode(err, 'LIMIT'))
})

test('an aborted import rejects with the reason and writes no root', async () => {
  const blocks = new MemoryBlockstore()
  const leaving = new AbortController()
  const reason = new Error('gone')
  await using tree = openTreeImport(blocks, recipeOf(), { signal: leaving.signal })
  async function * content (): AsyncIterable<Uint8Array> {
    yield new Uint8Array(3 << 20)
    leaving.abort(reason)
    yield new Uint8Array(3 << 20)
  }
  await assert.rejects(tree.file(['f'], content()), (err) => err === reason)
})

test('a tree that is too large to hold is LIMIT, however it grows; a directory that is there costs nothing more', async () => {
  const content = Buffer.from('x')
  const grow: Readonly<Record<string, (tree: ReturnType<typeof openTreeImport>, index: number) => Promise<void>>> = {
    files: async (tree, index) => { await tree.file(['d', String(index)], once(content)) },
    directories: async (tree, index) => { tree.directory(['d', String(index)]) },
    links: async (tree, index) => { await tree.symlink([String(index)], content) },
    'long names': async (tree) => { tree.directory(['n'.repeat(200_000)]) }
  }
  for (const [what, add] of Object.entries(grow)) {
    await using tree = openTreeImport(discardingWriter, recipeOf(), { maxTreeBytes: 100_000 })
    await assert.rejects(async () => { for (let index = 0; index < 1000; index++) await add(tree, index) }, (err) => isErrorCode(err, 'LIMIT'), what)
  }
  await using tree = openTreeImport(discardingWriter, recipeOf(), { maxTreeBytes: 100_000 })
  for (let index = 0; index < 10_000; index++) tree.directory(['a', 'b', 'c'])
})
