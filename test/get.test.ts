import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmod, lstat, mkdir, readdir, readFile, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { newFolder, startNode, type TestNode } from './harness.ts'

const MIB: number = 1024 * 1024

/** A leaf of the default profile and a half: two blocks. */
const LAST_FILE_BYTES: number = 1.5 * MIB

test('an interrupted get that is run again goes on where it was, and the tree is the same', async (context) => {
  for (const recipe of [[], ['--profile', 'unixfs-v0-2015']]) {
    const { node, tree, folder } = await openTree(context)
    const root = await node.ok(['add', '-rQ', '--no-pin', ...recipe, tree])
    // The last block is missing, as when the one who has it goes away.
    const lastBlock = (await node.ok(['refs', `${root}/z.bin`])).split('\n').at(-1) ?? ''
    assert.equal((await fetch(`${node.ready.rpc}/api/v0/block/rm?arg=${lastBlock}`, { method: 'POST' })).status, 200)

    const target = join(folder, 'out')
    const interrupted = await node.run(['get', root, '-o', target])
    assert.notEqual(interrupted.status, 0)
    const partial = (await readdir(folder)).find((name) => name.endsWith('.partial')) ?? ''
    assert.ok(interrupted.stderr.includes(partial) && interrupted.stderr.includes('run the same command again'), interrupted.stderr)
    assert.ok(!(await readdir(folder)).includes('out'), 'nothing has the name that was asked for')

    await node.ok(['add', '-Q', '--no-pin', ...recipe, join(tree, 'z.bin')])
    const [result] = await node.json<{ fileCount: number, byteLength: number, keptByteLength: number }>(['get', root, '-o', target])
    assert.deepEqual(result && { ...result, keptByteLength: 0, target: '' }, { target: '', fileCount: 32, byteLength: 3 * MIB + 30 + LAST_FILE_BYTES, keptByteLength: 0 })
    assert.ok((result?.keptByteLength ?? 0) >= 3 * MIB + 30 + MIB, `${result?.keptByteLength} bytes were kept`)
    assert.deepEqual((await readdir(folder)).toSorted(), ['out', 'tree'])
    assert.equal(await node.ok(['add', '-rQ', ...recipe, target]), root)
  }
})

test('get writes archives and compressed files as ipfs get does, whole or not at all', async (context) => {
  const { node, tree, folder } = await openTree(context)
  await chmod(join(tree, 'a.bin'), 0o640)
  await utimes(join(tree, 'a.bin'), 1_000_000_000, 1_000_000_000)
  const root = await node.ok(['add', '-rQ', '--preserve-mode', '--preserve-mtime', tree])
  const place = join(folder, 'copy')
  for (const [flags, name] of [[['-a'], 'copy.tar'], [['-a', '-C'], 'copy.tar.gz'], [['--archive', '--compress', '--compression-level', '1', '-f'], 'copy.tar.gz']] as const) {
    await node.ok(['get', root, '-o', place, ...flags])
    const unpacked = await newFolder(context)
    execFileSync('tar', ['-xpf', join(folder, name), '-C', unpacked])
    assert.ok((await readFile(join(unpacked, root, 'a.bin'))).equals(await readFile(join(tree, 'a.bin'))))
    const { mode, mtimeMs } = await lstat(join(unpacked, root, 'a.bin'))
    assert.deepEqual([mode & 0o777, mtimeMs], [0o640, 1_000_000_000_000])
    assert.equal((await readdir(join(unpacked, root, 'many'))).length, 30)
    assert.ok((await lstat(join(unpacked, root, 'link'))).isSymbolicLink())
  }
  await node.ok(['get', `${root}/z.bin`, '-C', '-o', place])
  assert.ok(gunzipSync(await readFile(`${place}.gz`)).equals(await readFile(join(tree, 'z.bin'))))
  assert.deepEqual((await readdir(folder)).toSorted(), ['copy.gz', 'copy.tar', 'copy.tar.gz', 'tree'])

  for (const [flags, status] of [[['-C'], 2], [['-a', '--compression-level', '10'], 2], [['--compression-level', '3'], 2], [['-a', '--max-size', '1000'], 5], [['-a', '-o', place], 2]] as const) {
    const refused = await node.run(['get', root, '-o', join(folder, 'refused'), ...flags])
    assert.equal(refused.status, status, `${flags.join(' ')}: ${refused.stderr}`)
  }
  assert.deepEqual((await readdir(folder)).toSorted(), ['copy.gz', 'copy.tar', 'copy.tar.gz', 'tree'])
})

/** A node, and a tree of 3 MiB, 30 small files, a symlink and a file of two blocks. */
async function openTree (context: TestContext): Promise<{ node: TestNode, tree: string, folder: string }> {
  const node = await startNode(context)
  const folder = await newFolder(context)
  const tree = join(folder, 'tree')
  await mkdir(join(tree, 'many'), { recursive: true })
  await writeFile(join(tree, 'a.bin'), randomBytes(3 * MIB))
  for (let index = 0; index < 30; index++) await writeFile(join(tree, 'many', `${index}`), String(index % 10))
  await symlink('a.bin', join(tree, 'link'))
  await writeFile(join(tree, 'z.bin'), randomBytes(LAST_FILE_BYTES))
  return { node, tree, folder }
}
