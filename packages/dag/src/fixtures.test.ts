/** DAGs that Kubo and boxo made, read by our side. */
import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openFixture } from '../test/fixture-store.ts'
import { findEntry, listDirectory } from './directory.ts'
import { readFile } from './read-file.ts'
import { readTree } from './read-tree.ts'
import { resolvePath } from './resolve.ts'
import { walkDag } from './walk.ts'

test('a HAMT directory of 1,000 files from Kubo is listed whole, and each name is found', async () => {
  const { store, root } = await openFixture('gateway-conformance/trustless_gateway_car/single-layer-hamt-with-multi-block-files.car')
  const entries = await Array.fromAsync(listDirectory(store, root))
  assert.deepEqual(entries.map(({ name }) => name).sort(), Array.from({ length: 1000 }, (_, index) => `${index + 1}.txt`).sort())
  for (const { name, cid } of entries) assert.equal((await findEntry(store, root, name)).entry?.cid.toString(), cid.toString())
})

test('ranges of a file are read though a block between them is missing', async () => {
  const { store, root } = await openFixture('gateway-conformance/trustless_gateway_car/file-3k-and-3-blocks-missing-block.car')
  for (const [offset, byteLength] of [[0, 1000], [997, 4], [2200, 2]] as const) {
    assert.equal(Buffer.concat(await Array.fromAsync(readFile(store, root, { offset, byteLength }))).byteLength, byteLength)
  }
  await assert.rejects(Array.fromAsync(readFile(store, root)), (err) => isErrorCode(err, 'NOT_FOUND'))
})

for (const codec of ['cbor', 'json']) {
  test(`links of dag-${codec} are followed until the last, and values behind it are a remainder`, async () => {
    const { store, root } = await openFixture(`gateway-conformance/path_gateway_dag/dag-${codec}-traversal.car`)
    const { cid, cids, blocks, remainder } = await resolvePath(store, root, ['foo', 'link', 'bar', 'hello'])
    assert.deepEqual(remainder, ['hello'])
    assert.deepEqual(cids.map(String), [...blocks.map((block) => block.cid), cid].map(String))
    assert.equal(cids.length, 3)
    await assert.rejects(resolvePath(store, root, ['foo', 'i-do-not-exist']), (err) => isErrorCode(err, 'NOT_FOUND') && err.details['reason'] === 'no-link')
  })
}

test('mode and time of every entry are read', async () => {
  const { store, root } = await openFixture('boxo/unixfs-dir-with-mode-mtime.car')
  const entries = await Array.fromAsync(readTree(store, root))
  assert.deepEqual(entries.map(({ path, kind, mode, mtime }) => [path.join('/'), kind, mode, Number(mtime?.seconds)]), [
    ['', 'directory', 0o700, 1655158632],
    ['dir1', 'directory', 0o755, 1655158722],
    ['dir2', 'directory', 0o755, 1655158682],
    ['dir2/sub1', 'directory', 0o755, 1655158672],
    ['dir2/sub1/link1', 'symlink', undefined, 1655158652],
    ['dir2/sub1/sub2', 'directory', 0o755, 1655158662],
    ['dir2/sub1/sub2/file3', 'file', 0o644, 1655158642],
    ['dir3', 'directory', 0o755, 1655158702],
    ['dir3/file2', 'file', 0o644, 1655158692],
    ['file1', 'file', 0o644, 1655158712]
  ])
})

test('a tree with a name that leads out of it is not read', async () => {
  const { store, root } = await openFixture('gateway-conformance/path_gateway_tar/outside-root.car')
  await assert.rejects(Array.fromAsync(readTree(store, root)), (err) => isErrorCode(err, 'INVALID') && err.message.includes('../foo'))
})

test('a walk meets every block of a CAR', async () => {
  for (const name of ['boxo/headers-test.car', 'kubo/TestDagStat.car', 'gateway-conformance/trustless_gateway_car/dir-with-dag-cbor-with-links.car']) {
    const { store, root } = await openFixture(name)
    assert.equal((await Array.fromAsync(walkDag(store, [root]))).length, (await store.usage()).blockCount, name)
  }
})
