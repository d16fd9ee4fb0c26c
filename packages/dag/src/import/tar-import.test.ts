import { MemoryBlockstore } from '@holdfast/blockstore'
import { isErrorCode } from '@holdfast/core'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, link, mkdir, mkdtemp, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { recipeOf } from '../profile.ts'
import { openDiskSource } from './disk-source.ts'
import { importSources } from './import-tree.ts'
import { importTar, type TarImportOptions } from './tar-import.ts'

const run = promisify(execFile)

/** Archives are made by GNU tar. */
const withTar = { skip: process.platform !== 'linux' }

for (const format of ['ustar', 'pax', 'gnu']) {
  test(`an archive of tar, ${format}, gives the CID of the tree that it was made of`, withTar, async (context) => {
    const { folder, tree } = await newTree(context, format === 'ustar' ? 90 : 200)
    await run('tar', ['--format', format, '-cf', join(folder, 'tree.tar'), '-C', folder, 'tree'])
    const archive = await readFile(join(folder, 'tree.tar'))
    for (const keep of [{}, { preserveMode: true, preserveMtime: true }]) {
      const recipe = recipeOf({ keepsAttributes: 'preserveMode' in keep })
      const [expected] = await importSources(new MemoryBlockstore(), [await openDiskSource(tree, { ...keep, hidden: true })], recipe)
      for (const pieceBytes of [archive.byteLength, 4096, 777]) {
        const [root] = await importTar(new MemoryBlockstore(), pieces(archive, pieceBytes), recipe, keep)
        assert.equal(root?.cid.toString(), expected?.cid.toString())
        assert.equal(root?.path, 'tree')
      }
    }
  })
}

test('a second name of a file is a second link to it', withTar, async (context) => {
  const { folder, tree } = await newTree(context, 10)
  await link(join(tree, 'file'), join(tree, 'second name'))
  await run('tar', ['-cf', join(folder, 'tree.tar'), '-C', folder, 'tree'])
  const [expected] = await importSources(new MemoryBlockstore(), [await openDiskSource(tree, { hidden: true })], recipeOf())
  const [root] = await importTar(new MemoryBlockstore(), pieces(await readFile(join(folder, 'tree.tar')), 5000), recipeOf())
  assert.equal(root?.cid.toString(), expected?.cid.toString())
})

test('an archive that is cut short anywhere is refused', withTar, async (context) => {
  const { folder } = await newTree(context, 120)
  await run('tar', ['--format', 'pax', '-b', '2', '-cf', join(folder, 'tree.tar'), '-C', folder, 'tree'])
  const archive = await readFile(join(folder, 'tree.tar'))
  // The end mark has two blocks, and the first of them is enough.
  const end = archive.findLastIndex((byte) => byte !== 0)
  await fc.assert(fc.asyncProperty(fc.integer({ min: 0, max: end }), async (byteLength) => {
    await assert.rejects(imported(archive.subarray(0, byteLength)), (err) => isErrorCode(err, 'INVALID') && err.message.includes('cut short'))
  }), { numRuns: 100 })
})

test('damaged archives end in an error with a code, or in a tree', withTar, async (context) => {
  const { folder } = await newTree(context, 120)
  await run('tar', ['--format', 'pax', '-cf', join(folder, 'tree.tar'), '-C', folder, 'tree'])
  const archive = await readFile(join(folder, 'tree.tar'))
  await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.nat(archive.byteLength - 1), fc.nat(255)), { minLength: 1, maxLength: 5 }), async (changes) => {
    const damaged = Buffer.from(archive)
    for (const [at, byte] of changes) damaged[at] = byte
    await imported(damaged).catch((err: unknown) => {
      assert.ok(isErrorCode(err, 'INVALID') || isErrorCode(err, 'LIMIT') || isErrorCode(err, 'UNSUPPORTED'), String(err))
    })
  }), { numRuns: 200 })
})

const HOSTILE: Array<readonly [string, Buffer, string]> = [
  ['a header that claims a gigabyte of names', header({ type: 'L', byteLength: 2 ** 30 }), 'LIMIT'],
  ['a length beyond what numbers hold', header({ lengthField: Buffer.alloc(12, 0xff) }), 'INVALID'],
  ['a device', header({ type: '3' }), 'UNSUPPORTED'],
  ['a hard link to nothing', header({ type: '1', target: 'absent' }), 'INVALID'],
  ['a name that is not UTF-8', header({ name: Buffer.of(0xff, 0xfe) }), 'INVALID'],
  ['a pax record whose length lies', Buffer.concat([header({ type: 'x', byteLength: 11 }), Buffer.alloc(512, '99999 a=bc\n')]), 'INVALID'],
  ['no archive at all', Buffer.alloc(1024, 'text'), 'INVALID']
]

for (const [what, bytes, code] of HOSTILE) {
  test(`refused: ${what}`, async () => {
    await assert.rejects(imported(Buffer.concat([bytes, Buffer.alloc(1024)])), (err) => err instanceof Error && 'code' in err && err.code === code)
  })
}

test('paths that lead out of the archive stay below its root', async () => {
  const archive = Buffer.concat([header({ name: Buffer.from('../../etc/a') }), header({ name: Buffer.from('/b') }), Buffer.alloc(1024)])
  const roots = await imported(archive)
  assert.deepEqual(roots.map(({ path }) => path).toSorted(), ['b', 'etc'])
})

interface HeaderFields {
  readonly name?: Buffer
  readonly type?: string
  readonly byteLength?: number
  readonly lengthField?: Buffer
  readonly target?: string
}

function header ({ name = Buffer.from('name'), type = '0', byteLength = 0, lengthField, target = '' }: HeaderFields): Buffer {
  const block = Buffer.alloc(512)
  block.set(name)
  block.set(lengthField ?? Buffer.from(byteLength.toString(8).padStart(11, '0')), 124)
  block.write(type, 156)
  block.write(target, 157)
  block.write('ustar\x0000', 257)
  block.fill(' ', 148, 156)
  block.write(block.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, '0'), 148)
  return block
}

async function imported (archive: Buffer, options?: TarImportOptions): ReturnType<typeof importTar> {
  return await importTar(new MemoryBlockstore(), pieces(archive, 3000), recipeOf(), options)
}

async function newTree (context: TestContext, nameLength: number): Promise<{ folder: string, tree: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-tar-'))
  context.after(async () => { await rm(folder, { recursive: true, force: true }) })
  const tree = join(folder, 'tree')
  await mkdir(join(tree, 'sub', 'empty'), { recursive: true })
  await writeFile(join(tree, 'file'), 'file')
  await writeFile(join(tree, 'none'), '')
  await writeFile(join(tree, 'sub', 'ü'.repeat(nameLength / 2)), Buffer.alloc(300_000, 'holdfast'))
  await writeFile(join(tree, '512'), Buffer.alloc(512, 1))
  await symlink('../file', join(tree, 'sub', 'link'))
  await chmod(join(tree, 'file'), 0o640)
  for (const path of [join(tree, 'file'), join(tree, 'none'), join(tree, '512'), join(tree, 'sub', 'ü'.repeat(nameLength / 2)), join(tree, 'sub', 'empty'), join(tree, 'sub'), tree]) await utimes(path, 1_700_000_000, 1_700_000_000)
  await run('touch', ['-h', '-d', '@1700000000', join(tree, 'sub', 'link')])
  await utimes(join(tree, 'sub'), 1_700_000_000, 1_700_000_000)
  return { folder, tree }
}

async function * pieces (bytes: Uint8Array, pieceBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += pieceBytes) yield bytes.slice(at, at + pieceBytes)
}
