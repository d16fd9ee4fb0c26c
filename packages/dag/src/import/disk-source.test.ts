import { MemoryBlockstore } from '@holdfast/blockstore'
import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rename, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { recipeOf } from '../profile.ts'
import { READ_BYTES } from './disk-file.ts'
import { type DiskSourceOptions, openDiskSource } from './disk-source.ts'
import { MAX_IGNORE_BYTES, parseIgnoreRules } from './ignore-rules.ts'
import { importSources } from './import-tree.ts'
import type { ImportAttributes, ImportSource } from './source.ts'

async function newFolder (context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  context.after(async () => { await rm(folder, { recursive: true, force: true }) })
  return folder
}

async function namesOf (source: ImportSource): Promise<string[]> {
  assert.ok(source.kind === 'directory')
  return (await Array.fromAsync(source.entries())).map(({ kind, name }) => `${kind} ${Buffer.from(name)}`)
}

async function importPath (path: string): Promise<unknown> {
  return await importSources(new MemoryBlockstore(), [await openDiskSource(path)], recipeOf())
}

test('a folder is read in the order of its names, without hidden entries, with symlinks as they are', async (context) => {
  const folder = await newFolder(context)
  await mkdir(join(folder, 'sub'))
  await writeFile(join(folder, 'b'), 'b')
  await writeFile(join(folder, '.hidden'), 'h')
  await symlink('nowhere', join(folder, 'a'))
  assert.deepEqual(await namesOf(await openDiskSource(folder)), ['symlink a', 'file b', 'directory sub'])
  assert.deepEqual(await namesOf(await openDiskSource(folder, { hidden: true })), ['file .hidden', 'symlink a', 'file b', 'directory sub'])
})

test('a hidden file that is named itself is read', async (context) => {
  const path = join(await newFolder(context), '.hidden')
  await writeFile(path, 'h')
  assert.equal((await openDiskSource(path)).kind, 'file')
})

test('a file comes in large pieces and whole', async (context) => {
  const path = join(await newFolder(context), 'file')
  const bytes = Buffer.alloc(READ_BYTES * 2 + 5, 'holdfast')
  await writeFile(path, bytes)
  const source = await openDiskSource(path)
  assert.ok(source.kind === 'file')
  const pieces = await Array.fromAsync(source.open())
  assert.deepEqual(pieces.map(({ byteLength }) => byteLength), [READ_BYTES, READ_BYTES, 5])
  assert.ok(Buffer.concat(pieces).equals(bytes))
})

test('what is not there is NOT_FOUND and named', async (context) => {
  const path = join(await newFolder(context), 'absent')
  await assert.rejects(openDiskSource(path), (err) => isErrorCode(err, 'NOT_FOUND') && err.message.includes(path))
})

test('a socket is INVALID, also inside a folder', async (context) => {
  const folder = await newFolder(context)
  const path = join(folder, 'socket')
  const server = createServer().listen(path)
  context.after(() => { server.close() })
  await new Promise((resolve) => { server.once('listening', resolve) })
  await assert.rejects(openDiskSource(path), (err) => isErrorCode(err, 'INVALID'))
  await assert.rejects(importPath(folder), (err) => isErrorCode(err, 'INVALID') && err.message.includes(path))
})

test('a file that vanishes between listing and reading is NOT_FOUND and named', async (context) => {
  const folder = await newFolder(context)
  await writeFile(join(folder, 'a'), 'a')
  const source = await openDiskSource(folder)
  assert.ok(source.kind === 'directory')
  const [file] = await Array.fromAsync(source.entries())
  await rm(join(folder, 'a'))
  assert.ok(file?.kind === 'file')
  await assert.rejects(Array.fromAsync(file.open()), (err) => isErrorCode(err, 'NOT_FOUND') && err.message.includes(join(folder, 'a')))
})

test('a file that shrinks while it is read is UNAVAILABLE, never a shorter file', async (context) => {
  const path = join(await newFolder(context), 'file')
  await writeFile(path, Buffer.alloc(READ_BYTES * 4, 1))
  const source = await openDiskSource(path)
  assert.ok(source.kind === 'file')
  const pieces = source.open()[Symbol.asyncIterator]()
  await pieces.next()
  await truncate(path, READ_BYTES)
  await assert.rejects(async () => { while ((await pieces.next()).done !== true); }, (err) => isErrorCode(err, 'UNAVAILABLE') && err.message.includes('changed'))
})

test('a file that grows while it is read is refused', async (context) => {
  const path = join(await newFolder(context), 'log')
  await writeFile(path, Buffer.alloc(READ_BYTES + 1, 1))
  const source = await openDiskSource(path)
  assert.ok(source.kind === 'file')
  const pieces = source.open()[Symbol.asyncIterator]()
  await pieces.next()
  await writeFile(path, Buffer.alloc(READ_BYTES * 3, 2), { flag: 'a' })
  await assert.rejects(async () => { while ((await pieces.next()).done !== true); }, (err) => isErrorCode(err, 'UNAVAILABLE') && err instanceof Error && err.message.includes(path))
})

test('a file that was exchanged for a symlink after it was listed is not followed', async (context) => {
  const folder = await newFolder(context)
  await writeFile(join(folder, 'secret'), 'secret')
  await writeFile(join(folder, 'file'), 'file')
  const source = await openDiskSource(join(folder, 'file'))
  await rename(join(folder, 'file'), join(folder, 'old'))
  await symlink(join(folder, 'secret'), join(folder, 'file'))
  assert.ok(source.kind === 'file')
  await assert.rejects(Array.fromAsync(source.open()), (err) => isErrorCode(err, 'UNAVAILABLE'))
})

test('a name that is not UTF-8 is refused by name', { skip: process.platform !== 'linux' && 'only Linux has such names' }, async (context) => {
  const folder = await newFolder(context)
  await writeFile(Buffer.concat([Buffer.from(`${folder}/bad`), Buffer.from([0xff])]), 'x')
  await assert.rejects(importPath(folder), (err) => isErrorCode(err, 'INVALID') && err.message.includes('UTF-8'))
})

test('a file that this user may not read ends the import and is named', async (context) => {
  const folder = await newFolder(context)
  await chmod(folder, 0o755)
  await writeFile(join(folder, 'a'), 'a')
  await writeFile(join(folder, 'unreadable'), 'u', { mode: 0o000 })
  // The superuser may read everything, so a child without its rights has to try.
  const identity = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}
  const script = `
    const { openDiskSource, importSources, discardingWriter, recipeOf } = await import(${JSON.stringify(new URL('../index.ts', import.meta.url).href)})
    try {
      await importSources(discardingWriter, [await openDiskSource(${JSON.stringify(folder)})], recipeOf())
    } catch (err) { console.log(JSON.stringify({ code: err.code, message: err.message })) }`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], identity)
  const { code, message } = JSON.parse(stdout) as { code: string, message: string }
  assert.equal(code, 'UNAVAILABLE')
  assert.ok(message.includes(join(folder, 'unreadable')) && message.includes('permission denied'), message)
})

test('a file that is written over while it is read is UNAVAILABLE, though its length stays', async (context) => {
  const path = join(await newFolder(context), 'file')
  await writeFile(path, Buffer.alloc(READ_BYTES * 3, 1))
  await utimes(path, 1, 1)
  const source = await openDiskSource(path)
  assert.ok(source.kind === 'file')
  const pieces = source.open()[Symbol.asyncIterator]()
  await pieces.next()
  await writeFile(path, Buffer.alloc(READ_BYTES, 2), { flag: 'r+' })
  await assert.rejects(async () => { while ((await pieces.next()).done !== true); }, (err) => isErrorCode(err, 'UNAVAILABLE') && err.message.includes('changed'))
})

test('entries that rules leave out are not read, and rules with a slash hold for paths', async (context) => {
  const folder = await newFolder(context)
  for (const directory of ['a', 'a/node_modules', 'logs', 'a/logs']) await mkdir(join(folder, directory))
  for (const file of ['a/x.tmp', 'a/keep.tmp', 'a/logs/l', 'logs/l', 'a/node_modules/m', 'UPPER.TMP']) await writeFile(join(folder, file), 'x')
  const paths = async (rules: string[]): Promise<string[]> => {
    const seen: string[] = []
    const walk = async (source: ImportSource, path: string): Promise<void> => {
      seen.push(path)
      if (source.kind === 'directory') for await (const child of source.entries()) await walk(child, `${path}/${Buffer.from(child.name)}`)
    }
    await walk(await openDiskSource(folder, { name: '', ignore: parseIgnoreRules(rules) }), '')
    return seen
  }
  assert.deepEqual(await paths(['*.tmp', '!keep.tmp', '/logs', 'node_modules/']), ['', '/UPPER.TMP', '/a', '/a/keep.tmp', '/a/logs', '/a/logs/l'])
  assert.deepEqual(await paths(['# a comment\n\na/*\n!a/logs\n']), ['', '/UPPER.TMP', '/a', '/a/logs', '/a/logs/l', '/logs', '/logs/l'])
})

test('more rules than are taken are a LIMIT', () => {
  assert.throws(() => parseIgnoreRules(['x'.repeat(MAX_IGNORE_BYTES), 'y']), (err) => isErrorCode(err, 'LIMIT'))
})

test('symlinks are followed nowhere, at the path alone or everywhere', async (context) => {
  const folder = await newFolder(context)
  await mkdir(join(folder, 'real'))
  await writeFile(join(folder, 'real', 'file'), 'f')
  await symlink('file', join(folder, 'real', 'link'))
  await symlink('real', join(folder, 'top'))
  assert.equal((await openDiskSource(join(folder, 'top'))).kind, 'symlink')
  const path = await openDiskSource(join(folder, 'top'), { dereference: 'path' })
  assert.equal(Buffer.from(path.name).toString(), 'top')
  assert.deepEqual(await namesOf(path), ['file file', 'symlink link'])
  assert.deepEqual(await namesOf(await openDiskSource(join(folder, 'top'), { dereference: 'all' })), ['file file', 'file link'])
})

test('symlinks that are followed and lead nowhere or in a circle are unreadable entries', async (context) => {
  const folder = await newFolder(context)
  await mkdir(join(folder, 'sub'))
  await symlink('..', join(folder, 'sub', 'up'))
  await symlink('absent', join(folder, 'dead'))
  const told: Array<[string, string]> = []
  await importSources(new MemoryBlockstore(), [await openDiskSource(folder, { dereference: 'all', name: 'top' })], recipeOf(), {
    onUnreadable: async (path, reason) => { told.push([path, isErrorCode(reason, 'INVALID') ? 'INVALID' : isErrorCode(reason, 'NOT_FOUND') ? 'NOT_FOUND' : 'other']) }
  })
  assert.deepEqual(told.toSorted(), [['top/dead', 'NOT_FOUND'], ['top/sub/up', 'INVALID']])
})

test('modes and times are those of the disk, or what is set for all', async (context) => {
  const path = join(await newFolder(context), 'file')
  await writeFile(path, 'x')
  await chmod(path, 0o4640)
  // Half a second before 1970: the seconds count down, the fraction up.
  await utimes(path, new Date(-500), new Date(-500))
  const attributesOf = async (options: DiskSourceOptions): Promise<ImportAttributes | undefined> => {
    const source = await openDiskSource(path, options)
    return source.kind === 'unreadable' ? undefined : source.attributes
  }
  assert.deepEqual(await attributesOf({}), { mode: undefined, mtime: undefined })
  assert.deepEqual(await attributesOf({ preserveMode: true, preserveMtime: true }), { mode: 0o4640, mtime: { seconds: -1n, nanoseconds: 500_000_000 } })
  assert.deepEqual(await attributesOf({ preserveMode: true, attributes: { mode: 0o600, mtime: { seconds: 7n, nanoseconds: 0 } } }), { mode: 0o600, mtime: { seconds: 7n, nanoseconds: 0 } })
})
