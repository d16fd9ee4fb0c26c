import { MemoryBlockstore } from '@holdfast/blockstore'
import { type ErrorCode, isErrorCode, isHoldfastError } from '@holdfast/core'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { linkTo, putBytes, putUnixFs } from '../../test/hand-made.ts'
import { readTree } from '../read-tree.ts'
import type { TreeEntry } from '../tree-entry.ts'
import { ENTRY_BYTES } from './tree-writer.ts'
import { writeTree, type WriteTreeOptions } from './write-tree.ts'

const scratch = await mkdtemp(join(tmpdir(), 'write-tree-'))
after(async () => await rm(scratch, { recursive: true, force: true }))

/** Enough for every tree here, so that no test depends on the free space of the disk. */
const MAX_BYTES = 1_000_000

/** Trees per property; each is written twice. */
const HOSTILE_TREES = 400

test('files, directories and symlinks come out as they went in', async () => {
  const { target } = await jail()
  const mtime = { seconds: 1_000_000_000n, nanoseconds: 250_000_000 }
  const result = await write(target, [
    directory('', { mode: 0o750, mtime }), file('a', 'first', { mode: 0o640, mtime }), directory('d', { mode: 0o500 }),
    file('d/empty', ''), symlinkTo('d/link', '../a', { mtime }), directory('d/e'), file('d/e/b', 'second')
  ])
  assert.deepEqual(result, { fileCount: 3, byteLength: 11, keptByteLength: 0 })
  assert.equal(await readFile(join(target, 'a'), 'utf8'), 'first')
  assert.equal(await readFile(join(target, 'd/link'), 'utf8'), 'first')
  assert.equal(await readFile(join(target, 'd/e/b'), 'utf8'), 'second')
  for (const [path, mode] of [['', 0o750], ['a', 0o640], ['d', 0o500]] as const) assert.equal((await lstat(join(target, path))).mode & 0o7777, mode, path)
  for (const path of ['', 'a', 'd/link']) assert.equal((await lstat(join(target, path))).mtimeMs, 1_000_000_000_250, path)
  await chmod(join(target, 'd'), 0o700) // Or whoever is not root could not clean up.
})

test('a lone file is written at the target itself', async () => {
  const { target } = await jail()
  await write(target, [file('', 'alone')])
  assert.equal(await readFile(target, 'utf8'), 'alone')
})

test('setuid, setgid and sticky bits are left out', async () => {
  const { target } = await jail()
  await write(target, [directory('', { mode: 0o7755 }), file('a', 'x', { mode: 0o6755 })])
  assert.equal((await lstat(target)).mode & 0o7777, 0o755)
  assert.equal((await lstat(join(target, 'a'))).mode & 0o7777, 0o755)
})

test('times that no clock shows are left out', async () => {
  const { target } = await jail()
  const before = Date.now()
  await write(target, [file('', 'x', { mtime: { seconds: 2n ** 62n, nanoseconds: 0 } })])
  assert.ok((await lstat(target)).mtimeMs >= before - 1000)
})

test('hostile entries change nothing outside of the target', async () => {
  await fc.assert(fc.asyncProperty(fc.array(hostileEntry, { maxLength: 12 }), fc.array(hostileEntry, { maxLength: 12 }), fc.boolean(), async (first, second, allowOutsideSymlinks) => {
    const { folder, target, snapshot } = await jail()
    const before = await snapshot()
    for (const entries of [first, second]) {
      await survive(write(target, [directory(''), ...entries], { overwrite: true, allowOutsideSymlinks }))
      assert.deepEqual(await snapshot(), before)
      assert.deepEqual((await readdir(folder)).filter((name) => name !== 'out'), [])
    }
    await rm(join(folder, '..'), { recursive: true })
  }), { numRuns: HOSTILE_TREES })
})

test('hostile DAGs change nothing outside of the target', async () => {
  await fc.assert(fc.asyncProperty(hostileDirectory, async (tree) => {
    const { folder, target, snapshot } = await jail()
    const store = new MemoryBlockstore()
    const root = await putHostile(store, tree)
    const before = await snapshot()
    await survive(writeTree(readTree(store, root), target, { maxBytes: MAX_BYTES, allowOutsideSymlinks: true }))
    assert.deepEqual(await snapshot(), before)
    await rm(join(folder, '..'), { recursive: true })
  }), { numRuns: HOSTILE_TREES })
})

test('a file through a symlink of the same tree is refused', async () => {
  for (const allowOutsideSymlinks of [false, true]) {
    const { folder, target, snapshot } = await jail()
    const before = await snapshot()
    const link = symlinkTo('link', allowOutsideSymlinks ? '../../outside' : '.')
    for (const entries of [[directory(''), link, file('link/new', 'x')], [directory(''), link, directory('link'), file('link/new', 'x')]]) {
      await refused(write(target, entries, { allowOutsideSymlinks }), 'INVALID')
      assert.deepEqual(await readdir(folder), [])
    }
    assert.deepEqual(await snapshot(), before)
  }
})

test('a symlink already at the target is not followed', async () => {
  const { folder, target, snapshot } = await jail()
  const before = await snapshot()
  await symlink('../outside', target)
  await refused(write(target, [directory(''), file('new', 'x')]), 'INVALID')
  await refused(write(target, [directory(''), file('new', 'x')], { overwrite: true }), 'INVALID')
  await write(target, [file('', 'x')], { overwrite: true })
  assert.equal(await readFile(target, 'utf8'), 'x')
  await rm(target)
  await mkdir(target)
  await symlink('../../outside', join(target, 'd'))
  await refused(write(target, [directory(''), directory('d', { mode: 0o777 }), file('d/new', 'x')], { overwrite: true }), 'INVALID')
  assert.deepEqual(await snapshot(), before)
  assert.deepEqual(await readdir(folder), ['out'])
})

test('symlinks that lead out are refused with the flag that allows them', async () => {
  for (const target of ['/etc/passwd', '../outside', 'd/../../outside']) {
    const { target: out } = await jail()
    const entries = [directory(''), directory('d'), symlinkTo('link', target)]
    await assert.rejects(write(out, entries), (err) => isErrorCode(err, 'INVALID') && err.message.includes('--allow-outside-symlinks'))
    await write(out, entries, { allowOutsideSymlinks: true })
    assert.equal(await readlink(join(out, 'link')), target)
  }
})

test('a path that is written twice is refused, whatever the kinds', async () => {
  const kinds = [file('x', 'first'), directory('x'), symlinkTo('x', 'y')]
  for (const first of kinds) {
    for (const second of kinds) {
      const { folder, target } = await jail()
      await refused(write(target, [directory(''), first, second]), 'INVALID')
      assert.deepEqual(await readdir(folder), [])
    }
  }
})

test('names that differ in case or Unicode form are kept apart, or refused where the file system cannot', async () => {
  for (const [one, other] of [['Readme', 'README'], ['\u00e9', 'e\u0301'], ['ß', 'SS']] as const) {
    const { target } = await jail()
    const writing = write(target, [directory(''), file(one, 'one'), file(other, 'other')])
    if (await takesForOne(one, other)) {
      await refused(writing, 'INVALID')
    } else {
      await writing
      assert.equal(await readFile(join(target, one), 'utf8'), 'one')
      assert.equal(await readFile(join(target, other), 'utf8'), 'other')
    }
  }
})

test('content longer or shorter than declared is corrupt, and nothing of it stays', async () => {
  for (const declared of [0, 4, 6, 2 ** 40]) {
    const { folder, target } = await jail()
    await refused(write(target, [directory(''), { ...file('a', 'five5'), byteLength: declared }], { maxBytes: Number.MAX_SAFE_INTEGER }), 'CORRUPT')
    assert.deepEqual(await readdir(folder), [])
  }
})

test('a declared length that is no number of bytes is refused', async () => {
  for (const byteLength of [-1, Number.NaN, 0.5, Number.POSITIVE_INFINITY]) {
    const { target } = await jail()
    await refused(write(target, [{ ...file('', ''), byteLength }]), 'INVALID')
  }
})

test('a bomb of bytes ends at the quota and leaves nothing', async () => {
  const { folder, target } = await jail()
  let writtenBytes = 0
  async function * bomb (): AsyncIterable<TreeEntry> {
    yield directory('')
    for (let index = 0; ; index++) yield { kind: 'file', path: [`${index}`], byteLength: 1000, content: once(Buffer.alloc(1000)) }
  }
  await refused(writeTree(bomb(), target, { maxBytes: 20_000, onProgress: ({ byteLength }) => { writtenBytes = byteLength } }), 'LIMIT')
  assert.ok(writtenBytes <= 20_000 && writtenBytes > 18_000, `${writtenBytes}`)
  assert.deepEqual(await readdir(folder), [])
})

test('a file of the quota is written, and one byte more is refused before any is', async () => {
  const { target } = await jail()
  const progress: number[] = []
  await refused(write(target, [file('', 'x'.repeat(1001))], { maxBytes: 1000, onProgress: ({ byteLength }) => progress.push(byteLength) }), 'LIMIT')
  assert.deepEqual(progress, [])
  await write(target, [file('', 'x'.repeat(1000))], { maxBytes: 1000 })
})

test('a tree of empty entries without end is stopped too', async () => {
  const { target } = await jail()
  let count = 0
  async function * bomb (): AsyncIterable<TreeEntry> {
    yield directory('')
    for (;;) yield directory(`${count++}`)
  }
  await refused(writeTree(bomb(), target, { maxBytes: 100 * ENTRY_BYTES }), 'LIMIT')
  assert.equal(count, 100)
})

test('a DAG that describes millions of terabytes is stopped before it fills the disk', async () => {
  const { folder, target } = await jail()
  const store = new MemoryBlockstore()
  let cid = await putUnixFs(store, { type: 'directory' }, [linkTo(await putBytes(store, Buffer.alloc(1000)), 'f')])
  for (let level = 0; level < 60; level++) cid = await putUnixFs(store, { type: 'directory' }, [linkTo(cid, 'a'), linkTo(cid, 'b')])
  await refused(writeTree(readTree(store, cid), target, { maxBytes: 100_000 }), 'LIMIT')
  assert.deepEqual(await readdir(folder), [])
})

test('while it runs only a folder named .partial is there, and after an abort nothing', async () => {
  const { folder, target } = await jail()
  const controller = new AbortController()
  const reason = new Error('changed my mind')
  let during: string[] = []
  async function * entries (): AsyncIterable<TreeEntry> {
    yield directory('')
    yield file('a', 'x')
    during = await readdir(folder)
    controller.abort(reason)
    yield file('b', 'x')
  }
  await assert.rejects(writeTree(entries(), target, { maxBytes: MAX_BYTES, signal: controller.signal }), (err) => err === reason)
  assert.ok(during.length === 1 && during[0]?.endsWith('.partial'), `${during}`)
  assert.deepEqual(await readdir(folder), [])
})

test('a source that fails is passed on as it is', async () => {
  const { folder, target } = await jail()
  const reason = new Error('connection lost')
  async function * entries (): AsyncIterable<TreeEntry> {
    yield directory('')
    throw reason
  }
  await assert.rejects(writeTree(entries(), target, { maxBytes: MAX_BYTES }), (err) => err === reason)
  assert.deepEqual(await readdir(folder), [])
})

test('what is there stays unless overwriting is allowed, and then only what the tree has is replaced', async () => {
  const { target } = await jail()
  await write(target, [directory(''), file('a', 'old'), directory('d'), file('d/mine', 'mine')])
  const again = [directory(''), file('a', 'new'), directory('d'), file('d/yours', 'yours')]
  await assert.rejects(write(target, again), (err) => isErrorCode(err, 'INVALID') && err.message.includes('--overwrite'))
  assert.equal(await readFile(join(target, 'a'), 'utf8'), 'old')
  await write(target, again, { overwrite: true })
  assert.equal(await readFile(join(target, 'a'), 'utf8'), 'new')
  assert.deepEqual(await readdir(join(target, 'd')), ['mine', 'yours'])
  await refused(write(target, [file('', 'x')], { overwrite: true }), 'INVALID')
  await refused(write(target, [directory(''), file('d', 'x')], { overwrite: true }), 'INVALID')
})

test('a target in a folder that does not exist is refused by name', async () => {
  const { folder } = await jail()
  const target = join(folder, 'absent', 'out')
  await assert.rejects(write(target, [file('', 'x')]), (err) => isErrorCode(err, 'INVALID') && err.message.includes('absent'))
})

test('entries without a root, below a file or of nothing at all are refused', async () => {
  for (const entries of [[], [file('a', 'x')], [file('', 'x'), file('a', 'x')], [directory(''), file('a', 'x'), file('a/b', 'x')], [directory(''), file('a/b/c', 'x')]]) {
    const { folder, target } = await jail()
    await refused(write(target, entries), 'INVALID')
    assert.deepEqual(await readdir(folder), [])
  }
})

test('the default quota is taken from the free space', async () => {
  const { target } = await jail()
  await refused(writeTree(fromArray([{ ...file('', ''), byteLength: Number.MAX_SAFE_INTEGER }]), target), 'LIMIT')
})

const HOSTILE_NAMES = ['..', '.', '', '/', 'a/b', '../outside', '/etc', 'nul\0', '\ud800', 'x'.repeat(256), 'CON', 'a', 'A', 'b', '\u00e9', 'e\u0301', '\u202ea', 'secret', 'outside', 'out', 'tree', 'link', '__proto__']
const HOSTILE_TARGETS = ['..', '../..', '../../outside', '../../outside/secret', '/', '/tmp', '.', 'a', 'a/..', 'link', 'link/../..', '', '\0', '../out', 'b/../../../outside', '../tree']

const nameArbitrary = fc.oneof({ weight: 3, arbitrary: fc.constantFrom('a', 'b', 'link') }, { weight: 2, arbitrary: fc.constantFrom(...HOSTILE_NAMES) }, { weight: 1, arbitrary: fc.string({ maxLength: 5 }) })
const pathArbitrary = fc.array(nameArbitrary, { minLength: 1, maxLength: 4 })
const targetArbitrary = fc.oneof(fc.constantFrom(...HOSTILE_TARGETS), fc.string({ maxLength: 5 }))
const modeArbitrary = fc.constantFrom(undefined, 0, 0o777, 0o4777)

const hostileEntry: fc.Arbitrary<TreeEntry> = fc.oneof(
  fc.record({ kind: fc.constant('file' as const), path: pathArbitrary, byteLength: fc.nat(3), content: fc.constantFrom('', 'x', 'xx', 'xxx').map((text) => once(Buffer.from(text))), mode: modeArbitrary }),
  fc.record({ kind: fc.constant('directory' as const), path: pathArbitrary, mode: fc.constantFrom(undefined, 0o700, 0o777) }),
  fc.record({ kind: fc.constant('symlink' as const), path: pathArbitrary, target: targetArbitrary })
)

/** A tree as plain values: a number is a file of that length, text the target of a symlink, a list a directory. */
type Hostile = number | string | Array<[name: string, child: Hostile]>

const { tree: hostileDirectory } = fc.letrec<{ tree: Hostile, child: Hostile }>((tie) => ({
  tree: fc.array(fc.tuple(nameArbitrary, tie('child')), { maxLength: 5 }),
  child: fc.oneof({ maxDepth: 4 }, fc.nat(9), targetArbitrary, tie('tree'))
}))

async function putHostile (store: MemoryBlockstore, tree: Hostile): ReturnType<typeof putBytes> {
  if (typeof tree === 'number') return await putBytes(store, Buffer.alloc(tree, 'x'))
  if (typeof tree === 'string') return await putUnixFs(store, { type: 'symlink', data: Buffer.from(tree) })
  const links = await Promise.all(tree.map(async ([name, child]) => linkTo(await putHostile(store, child), name)))
  return await putUnixFs(store, { type: 'directory' }, links)
}

/** A folder to write into, beside one that must not change. */
async function jail (): Promise<{ folder: string, target: string, snapshot: () => Promise<unknown> }> {
  const parent = await mkdtemp(join(scratch, 'jail-'))
  const folder = join(parent, 'folder')
  const outside = join(parent, 'outside')
  await mkdir(folder)
  await mkdir(outside)
  await writeFile(join(outside, 'secret'), 'secret')
  const snapshot = async (): Promise<unknown> => {
    const seen = [parent, outside, join(outside, 'secret')]
    const stats = await Promise.all(seen.map(async (path) => await lstat(path)))
    return [await readdir(parent), await readdir(outside), await readFile(join(outside, 'secret'), 'utf8'), stats.map(({ mode, mtimeMs, ctimeMs, ino, nlink }) => ({ mode, mtimeMs, ctimeMs, ino, nlink }))]
  }
  return { folder, target: join(folder, 'out'), snapshot }
}

async function takesForOne (one: string, other: string): Promise<boolean> {
  const folder = await mkdtemp(join(scratch, 'probe-'))
  await writeFile(join(folder, one), '')
  return await lstat(join(folder, other)).then(() => true, () => false)
}

/** Both outcomes are fine for a hostile tree, a failure of another kind is not. */
async function survive (writing: Promise<unknown>): Promise<void> {
  try {
    await writing
  } catch (err) {
    if (!isHoldfastError(err) || err.code === 'UNAVAILABLE') throw err
  }
}

async function refused (writing: Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(writing, (err) => isErrorCode(err, code) || assert.fail(`${code} expected, not ${err}`))
}

async function write (target: string, entries: readonly TreeEntry[], options: WriteTreeOptions = {}): ReturnType<typeof writeTree> {
  return await writeTree(fromArray(entries), target, { maxBytes: MAX_BYTES, ...options })
}

async function * fromArray (entries: readonly TreeEntry[]): AsyncIterable<TreeEntry> {
  yield * entries
}

/** Bytes in one piece, for any number of readings. */
function once (bytes: Uint8Array): AsyncIterable<Uint8Array> {
  return { [Symbol.asyncIterator]: async function * () { yield bytes } }
}

function segmentsOf (path: string): string[] {
  return path === '' ? [] : path.split('/')
}

function file (path: string, text: string, attributes: Pick<TreeEntry, 'mode' | 'mtime'> = {}): Extract<TreeEntry, { kind: 'file' }> {
  return { kind: 'file', path: segmentsOf(path), byteLength: Buffer.byteLength(text), content: once(Buffer.from(text)), ...attributes }
}

function directory (path: string, attributes: Pick<TreeEntry, 'mode' | 'mtime'> = {}): TreeEntry {
  return { kind: 'directory', path: segmentsOf(path), ...attributes }
}

function symlinkTo (path: string, target: string, attributes: Pick<TreeEntry, 'mode' | 'mtime'> = {}): TreeEntry {
  return { kind: 'symlink', path: segmentsOf(path), target, ...attributes }
}
