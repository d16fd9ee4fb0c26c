import { MemoryBlockstore } from '@holdfast/blockstore'
import { type ErrorCode, isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { linkTo, putBytes, putUnixFs } from '../../test/hand-made.ts'
import { openJail } from '../../test/jail.ts'
import { readTree } from '../read-tree.ts'
import type { TreeEntry } from '../tree-entry.ts'
import { ENTRY_BYTES } from './tree-writer.ts'
import { writeTree, type WriteTreeOptions } from './write-tree.ts'

const scratch = await mkdtemp(join(tmpdir(), 'write-tree-'))
after(async () => await rm(scratch, { recursive: true, force: true }))

/** Enough for every tree here, so that no test depends on the free space of the disk. */
const MAX_BYTES = 1_000_000

test('files, directories and symlinks come out as they went in', async () => {
  const { target } = await openJail(scratch)
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
  const { target } = await openJail(scratch)
  await write(target, [file('', 'alone')])
  assert.equal(await readFile(target, 'utf8'), 'alone')
})

test('setuid, setgid and sticky bits are left out', async () => {
  const { target } = await openJail(scratch)
  await write(target, [directory('', { mode: 0o7755 }), file('a', 'x', { mode: 0o6755 })])
  assert.equal((await lstat(target)).mode & 0o7777, 0o755)
  assert.equal((await lstat(join(target, 'a'))).mode & 0o7777, 0o755)
})

test('times that no clock shows are left out', async () => {
  const { target } = await openJail(scratch)
  const before = Date.now()
  await write(target, [file('', 'x', { mtime: { seconds: 2n ** 62n, nanoseconds: 0 } })])
  assert.ok((await lstat(target)).mtimeMs >= before - 1000)
})

test('a file through a symlink of the same tree is refused', async () => {
  for (const allowOutsideSymlinks of [false, true]) {
    const { folder, target, snapshot } = await openJail(scratch)
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
  const { folder, target, snapshot } = await openJail(scratch)
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
    const { target: out } = await openJail(scratch)
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
      const { folder, target } = await openJail(scratch)
      await refused(write(target, [directory(''), first, second]), 'INVALID')
      assert.deepEqual(await readdir(folder), [])
    }
  }
})

test('names that differ in case or Unicode form are kept apart, or refused where the file system cannot', async () => {
  for (const [one, other] of [['Readme', 'README'], ['\u00e9', 'e\u0301'], ['ß', 'SS']] as const) {
    const { target } = await openJail(scratch)
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
    const { folder, target } = await openJail(scratch)
    await refused(write(target, [directory(''), { ...file('a', 'five5'), byteLength: declared }], { maxBytes: Number.MAX_SAFE_INTEGER }), 'CORRUPT')
    assert.deepEqual(await readdir(folder), [])
  }
})

test('a declared length that is no number of bytes is refused', async () => {
  for (const byteLength of [-1, Number.NaN, 0.5, Number.POSITIVE_INFINITY]) {
    const { target } = await openJail(scratch)
    await refused(write(target, [{ ...file('', ''), byteLength }]), 'INVALID')
  }
})

test('a bomb of bytes ends at the quota and leaves nothing', async () => {
  const { folder, target } = await openJail(scratch)
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
  const { target } = await openJail(scratch)
  const progress: number[] = []
  await refused(write(target, [file('', 'x'.repeat(1001))], { maxBytes: 1000, onProgress: ({ byteLength }) => progress.push(byteLength) }), 'LIMIT')
  assert.deepEqual(progress, [])
  await write(target, [file('', 'x'.repeat(1000))], { maxBytes: 1000 })
})

test('a tree of empty entries without end is stopped too', async () => {
  const { target } = await openJail(scratch)
  let count = 0
  async function * bomb (): AsyncIterable<TreeEntry> {
    yield directory('')
    for (;;) yield directory(`${count++}`)
  }
  await refused(writeTree(bomb(), target, { maxBytes: 100 * ENTRY_BYTES }), 'LIMIT')
  assert.equal(count, 100)
})

test('a DAG that describes millions of terabytes is stopped before it fills the disk', async () => {
  const { folder, target } = await openJail(scratch)
  const store = new MemoryBlockstore()
  let cid = await putUnixFs(store, { type: 'directory' }, [linkTo(await putBytes(store, Buffer.alloc(1000)), 'f')])
  for (let level = 0; level < 60; level++) cid = await putUnixFs(store, { type: 'directory' }, [linkTo(cid, 'a'), linkTo(cid, 'b')])
  await refused(writeTree(readTree(store, cid), target, { maxBytes: 100_000 }), 'LIMIT')
  assert.deepEqual(await readdir(folder), [])
})

test('while it runs only a folder named .partial is there, and after an abort nothing', async () => {
  const { folder, target } = await openJail(scratch)
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
  const { folder, target } = await openJail(scratch)
  const reason = new Error('connection lost')
  async function * entries (): AsyncIterable<TreeEntry> {
    yield directory('')
    throw reason
  }
  await assert.rejects(writeTree(entries(), target, { maxBytes: MAX_BYTES }), (err) => err === reason)
  assert.deepEqual(await readdir(folder), [])
})

test('what is there stays unless overwriting is allowed, and then only what the tree has is replaced', async () => {
  const { target } = await openJail(scratch)
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
  const { folder } = await openJail(scratch)
  const target = join(folder, 'absent', 'out')
  await assert.rejects(write(target, [file('', 'x')]), (err) => isErrorCode(err, 'INVALID') && err.message.includes('absent'))
})

test('entries without a root, below a file or of nothing at all are refused', async () => {
  for (const entries of [[], [file('a', 'x')], [file('', 'x'), file('a', 'x')], [directory(''), file('a', 'x'), file('a/b', 'x')], [directory(''), file('a/b/c', 'x')]]) {
    const { folder, target } = await openJail(scratch)
    await refused(write(target, entries), 'INVALID')
    assert.deepEqual(await readdir(folder), [])
  }
})

test('the default quota is taken from the free space', async () => {
  const { target } = await openJail(scratch)
  await refused(writeTree(fromArray([{ ...file('', ''), byteLength: Number.MAX_SAFE_INTEGER }]), target), 'LIMIT')
})

async function takesForOne (one: string, other: string): Promise<boolean> {
  const folder = await mkdtemp(join(scratch, 'probe-'))
  await writeFile(join(folder, one), '')
  return await lstat(join(folder, other)).then(() => true, () => false)
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
