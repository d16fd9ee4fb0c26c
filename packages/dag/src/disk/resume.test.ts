import { type BlockReader, MemoryBlockstore } from '@holdfast/blockstore'
import { HoldfastError, isErrorCode } from '@holdfast/core'
import fc from 'fast-check'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, readlink, rename, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { patternBytes } from '../../test/hand-made.ts'
import { importSources } from '../import/import-tree.ts'
import type { ImportSource } from '../import/source.ts'
import { type RecipeOptions, recipeOf } from '../profile.ts'
import { readTree } from '../read-tree.ts'
import { writeTree, type WriteTreeResult } from './write-tree.ts'

const scratch = await mkdtemp(join(tmpdir(), 'resume-'))
after(async () => await rm(scratch, { recursive: true, force: true }))

const FILES: Readonly<Record<string, number>> = { a: 5000, b: 0, c: 64, d: 130, e: 3000 }
const TOTAL_BYTES = 8194

const RECIPES: Readonly<Record<string, RecipeOptions>> = { 'raw leaves': {}, 'leaves of dag-pb': { rawLeaves: false, cidVersion: 0 } }

for (const [name, recipe] of Object.entries(RECIPES)) {
  test(`wherever a run is interrupted, the next goes on there and ends with the same tree: ${name}`, async () => {
    const { store, root } = await importTree(recipe)
    await fc.assert(fc.asyncProperty(fc.nat(160), fc.nat(160), async (first, second) => {
      const target = join(await mkdtemp(join(scratch, 'run-')), 'out')
      for (const pieceCount of [first, second]) {
        const { reader } = failingAfter(store, pieceCount)
        await write(reader, root, target).catch((err: unknown) => { assert.ok(isErrorCode(err, 'UNAVAILABLE'), String(err)) })
      }
      if (await stat(target).then(() => false, () => true)) await write(store, root, target)
      await requireWhole(target)
    }), { numRuns: 60 })
  })
}

test('what is there is not read again, and is counted', async () => {
  const { store, root } = await importTree({})
  const target = join(await mkdtemp(join(scratch, 'run-')), 'out')
  const { reader, read } = failingAfter(store, 130)
  await assert.rejects(write(reader, root, target))
  const leavesBefore = read.count
  const { reader: whole, read: rest } = failingAfter(store, Infinity)
  const { keptByteLength, byteLength, fileCount } = await write(whole, root, target)
  assert.deepEqual({ byteLength, fileCount }, { byteLength: TOTAL_BYTES, fileCount: 5 })
  assert.ok(keptByteLength >= 5194, `${keptByteLength}`)
  assert.ok(rest.count < leavesBefore, `${rest.count} blocks after ${leavesBefore}`)
  await requireWhole(target)
})

test('what another program or a crash changed in it is found, and written anew from there', async () => {
  const { store, root } = await importTree({})
  for (const damage of [
    async (tree: string) => { await writeFile(join(tree, 'a'), 'X', { flag: 'r+' }) },
    async (tree: string) => { await truncate(join(tree, 'a'), 4999) },
    async (tree: string) => { await truncate(join(tree, 'a'), 9000) },
    async (tree: string) => { await chmod(join(tree, 'c'), 0o000) },
    async (tree: string) => { await writeFile(join(tree, 'sub', 'd'), '') }
  ]) {
    const { target, tree } = await interrupted(store, root)
    await damage(tree)
    await write(store, root, target)
    await requireWhole(target)
  }
})

test('a symlink that was put into it is neither followed nor kept', async () => {
  const { store, root } = await importTree({})
  for (const name of ['a', 'sub', 'e']) {
    const { target, tree, folder } = await interrupted(store, root)
    await mkdir(join(folder, 'outside'))
    await writeFile(join(folder, 'outside', 'secret'), 'secret')
    await rm(join(tree, name), { recursive: true, force: true })
    await symlink(name === 'sub' ? join(folder, 'outside') : join(folder, 'outside', 'secret'), join(tree, name))
    const before = await lstat(join(folder, 'outside'))
    // Behind the first entry that is missing all must be new: such a folder is given up, and the run after begins anew.
    await write(store, root, target).catch(async (err: unknown) => {
      assert.ok(isErrorCode(err, 'INVALID'), String(err))
      await write(store, root, target)
    })
    await requireWhole(target)
    assert.deepEqual(await readdir(join(folder, 'outside')), ['secret'])
    assert.equal(await readFile(join(folder, 'outside', 'secret'), 'utf8'), 'secret')
    assert.equal((await lstat(join(folder, 'outside'))).mtimeMs, before.mtimeMs)
  }
})

test('a folder that others may look into, or of a process that lives, is left alone', async () => {
  const { store, root } = await importTree({})
  const open = await interrupted(store, root)
  await chmod(open.partial, 0o755)
  assert.equal((await write(store, root, open.target).catch(() => undefined))?.keptByteLength ?? 0, 0)

  const living = await interrupted(store, root)
  const theirs = living.partial.replace(`.${process.pid}.`, `.${process.ppid}.`)
  await rename(living.partial, theirs)
  assert.equal((await write(store, root, living.target)).keptByteLength, 0)
  assert.ok((await lstat(theirs)).isDirectory())
})

test('the folder of another tree, or another target, is not gone on with', async () => {
  const { store, root } = await importTree({})
  const { target, partial } = await interrupted(store, root)
  assert.equal((await writeTree(readTree(store, root), target, { resumeKey: 'another', maxBytes: 1_000_000 })).keptByteLength, 0)
  assert.equal((await write(store, root, `${target}-2`)).keptByteLength, 0)
  assert.ok((await lstat(partial)).isDirectory())
})

test('a tree that is refused or too long leaves nothing, and without a key nothing is ever kept', async () => {
  const { store, root } = await importTree({})
  const folder = await mkdtemp(join(scratch, 'run-'))
  const target = join(folder, 'out')
  await assert.rejects(writeTree(readTree(store, root), target, { resumeKey: 'k', maxBytes: 6000 }), (err) => isErrorCode(err, 'LIMIT'))
  assert.deepEqual(await readdir(folder), [])
  await assert.rejects(writeTree(readTree(failingAfter(store, 50).reader, root), target, { maxBytes: 1_000_000 }))
  assert.deepEqual(await readdir(folder), [])
})

test('a run beside another of the same process begins anew', async () => {
  const { store, root } = await importTree({})
  const folder = await mkdtemp(join(scratch, 'run-'))
  const results = await Promise.allSettled([write(store, root, join(folder, 'out')), write(store, root, join(folder, 'out'))])
  assert.ok(results.some(({ status }) => status === 'fulfilled'))
  await requireWhole(join(folder, 'out'))
  assert.deepEqual(await readdir(folder), ['out'])
})

async function importTree (recipe: RecipeOptions): Promise<{ store: MemoryBlockstore, root: CID }> {
  const store = new MemoryBlockstore()
  async function * files (names: Iterable<string>): AsyncIterable<ImportSource> {
    for (const name of names) {
      const bytes = contentOf(name)
      yield { kind: 'file', name: Buffer.from(name), open: async function * () { yield bytes } }
    }
  }
  async function * children (): AsyncIterable<ImportSource> {
    yield * files(['a', 'b', 'c'])
    yield { kind: 'symlink', name: Buffer.from('link'), target: Buffer.from('a') }
    yield { kind: 'directory', name: Buffer.from('sub'), entries: () => files(['d', 'e']) }
  }
  const [entry] = await importSources(store, [{ kind: 'directory', name: new Uint8Array(), entries: children }], recipeOf({ chunker: 'size-64', maxFileLinks: 4, ...recipe }))
  assert.ok(entry !== undefined)
  return { store, root: entry.cid }
}

function contentOf (name: string): Uint8Array {
  return patternBytes(FILES[name] ?? 0).map((byte) => byte ^ name.charCodeAt(0))
}

/** A reader that fails like a connection after so many blocks. */
function failingAfter (store: MemoryBlockstore, blockCount: number): { reader: BlockReader, read: { count: number } } {
  const read = { count: 0 }
  const get: BlockReader['get'] = async (cid, options) => {
    if (++read.count > blockCount) throw new HoldfastError('UNAVAILABLE', 'The connection is lost')
    return await store.get(cid, options)
  }
  return { read, reader: { get, has: async (cid) => await store.has(cid) } }
}

async function write (blocks: BlockReader, root: CID, target: string): Promise<WriteTreeResult> {
  return await writeTree(readTree(blocks, root), target, { resumeKey: root.toString(), maxBytes: 1_000_000 })
}

/** What a run leaves that is interrupted in its last file. */
async function interrupted (store: MemoryBlockstore, root: CID): Promise<{ folder: string, target: string, partial: string, tree: string }> {
  const folder = await mkdtemp(join(scratch, 'run-'))
  const target = join(folder, 'out')
  await assert.rejects(write(failingAfter(store, 130).reader, root, target), (err) => isErrorCode(err, 'UNAVAILABLE'))
  const [name = ''] = await readdir(folder)
  assert.match(name, new RegExp(`^out\\.${hash('sha256', root.toString(), 'hex').slice(0, 16)}\\.${process.pid}\\.partial$`))
  const tree = join(folder, name, 'tree')
  assert.ok((await readdir(join(tree, 'sub'))).includes('e'), 'in the last file')
  return { folder, target, partial: join(folder, name), tree }
}

async function requireWhole (target: string): Promise<void> {
  assert.deepEqual((await readdir(target, { recursive: true })).toSorted(), ['a', 'b', 'c', 'link', 'sub', 'sub/d', 'sub/e'])
  for (const [name, path] of [['a', 'a'], ['b', 'b'], ['c', 'c'], ['d', 'sub/d'], ['e', 'sub/e']] as const) {
    assert.ok((await readFile(join(target, path))).equals(contentOf(name)), path)
    assert.ok((await lstat(join(target, path))).isFile())
  }
  assert.equal(await readlink(join(target, 'link')), 'a')
}
