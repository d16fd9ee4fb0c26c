import { type BlockReader, MemoryBlockstore } from '@holdfast/blockstore'
import { isErrorCode } from '@holdfast/core'
import { countingBlockstore, faultyBlockstore } from '@holdfast/testkit'
import { MemoryBlockstore as OracleBlockstore } from 'blockstore-core/memory'
import { importer } from 'ipfs-unixfs-importer'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { copyOracle, linkTo, patternBytes, putBytes, putDagCbor, putDirectory, putFileNode, putShard, putUnixFs } from '../test/hand-made.ts'
import { readTree } from './read-tree.ts'
import { MAX_PATH_SEGMENTS } from './resolve.ts'
import { MAX_LINKS_WAITING } from './walk.ts'

test('a tree comes parents first, with the content that was imported, basic or sharded', async () => {
  const files = new Map<string, Uint8Array>([['a', patternBytes(0)], ['b/c', patternBytes(10)], ['b/d/e ä', patternBytes(5000)], ['b/d/f', patternBytes(1000)]])
  for (let index = 0; index < 400; index++) files.set(`many/${index}`, Buffer.from(`${index}`))
  for (const shardSplitThresholdBytes of [0, 262_144]) {
    const { store, root } = await importTree(files, { shardSplitThresholdBytes })
    const read = await contents(store, root)
    assert.deepEqual(new Map([...read].filter(([, content]) => content !== undefined)), new Map([...files].map(([path, bytes]) => [path, Buffer.from(bytes)])))
    const paths = [...read.keys()]
    assert.equal(paths[0], '')
    for (const path of paths.slice(1)) assert.ok(paths.indexOf(path.split('/').slice(0, -1).join('/')) < paths.indexOf(path), path)
  }
})

test('a lone file is a tree with the empty path', async () => {
  const store = new MemoryBlockstore()
  const leaf = await putBytes(store, Buffer.from('abc'))
  const { cid } = await putFileNode(store, [{ cid: leaf, byteLength: 3 }, { cid: leaf, byteLength: 3 }])
  assert.deepEqual([...await contents(store, cid)], [['', Buffer.from('abcabc')]])
  assert.deepEqual([...await contents(store, leaf)], [['', Buffer.from('abc')]])
})

test('symlinks, modes and times are carried', async () => {
  const store = new MemoryBlockstore()
  const attributes = { mode: 0o4711, mtime: { seconds: -1n, nanoseconds: 5 } }
  const symlink = await putUnixFs(store, { type: 'symlink', data: Buffer.from('../x'), ...attributes })
  const file = await putUnixFs(store, { type: 'file', data: Buffer.from('a'), byteLength: 1, ...attributes })
  const root = await putDirectory(store, [['link', symlink], ['file', file]], attributes)
  const [directory, first, second] = await Array.fromAsync(readTree(store, root))
  assert.deepEqual(directory, { kind: 'directory', path: [], cid: root, ...attributes })
  assert.deepEqual(first, { kind: 'symlink', path: ['link'], cid: symlink, target: '../x', ...attributes })
  assert.ok(second?.kind === 'file' && second.byteLength === 1)
  assert.deepEqual([second.mode, second.mtime], [attributes.mode, attributes.mtime])
})

test('entries are read ahead, and a small file costs one read', async () => {
  const { store, root } = await importTree(new Map(Array.from({ length: 100 }, (_, index) => [`f${index}`, Buffer.from(`${index}`)])))
  const { store: counting, counts } = countingBlockstore(faultyBlockstore(store, { delayMs: 1 }))
  assert.equal((await contents(counting, root)).size, 101)
  assert.equal(counts.get, 101)
  assert.ok(counts.maxGetsInFlight > 4)
})

test('names that are not UTF-8, or no names at all, are refused', async () => {
  const store = new MemoryBlockstore()
  const file = await putBytes(store, Buffer.from('x'))
  for (const name of [Buffer.from([0xff]), '', '.', '..', 'a/b', '\0', '../x', 'n'.repeat(256)]) {
    const root = await putDirectory(store, [[name, file]])
    await assert.rejects(contents(store, root), (err) => isErrorCode(err, 'INVALID'), JSON.stringify(name))
  }
})

test('an entry that is not of UnixFS is refused by name', async () => {
  const store = new MemoryBlockstore()
  const cbor = await putDagCbor(store, {})
  await assert.rejects(contents(store, await putDirectory(store, [['x', cbor]])), (err) => isErrorCode(err, 'UNSUPPORTED') && err.message.includes(cbor.toString()))
})

test('directories nested deeper than a path ends at the limit', async () => {
  const store = new MemoryBlockstore()
  let cid = await putDirectory(store, [])
  for (let level = 0; level < 5000; level++) cid = await putDirectory(store, [['d', cid]])
  const { store: counting, counts } = countingBlockstore(store)
  await assert.rejects(contents(counting, cid), (err) => isErrorCode(err, 'LIMIT'))
  assert.ok(counts.get <= MAX_PATH_SEGMENTS + 3, `${counts.get} gets`)
})

test('directories full of entries on every level end at the limit of entries that wait', async () => {
  const store = new MemoryBlockstore()
  let cid = await putDirectory(store, [])
  for (let level = 0; level < 8; level++) {
    const below = cid
    cid = await putUnixFs(store, { type: 'directory' }, Array.from({ length: 40_000 }, () => linkTo(below, 'd')))
  }
  await assert.rejects(contents(store, cid), (err) => isErrorCode(err, 'LIMIT') && err.message.includes(`${MAX_LINKS_WAITING}`))
})

test('shards that link to each other without an entry are given up', async () => {
  const store = new MemoryBlockstore()
  let cid = await putShard(store, [])
  for (let level = 0; level < 7; level++) {
    const below = cid
    cid = await putShard(store, Array.from({ length: 256 }, (_, slot) => [slot.toString(16).toUpperCase().padStart(2, '0'), below]))
  }
  await assert.rejects(contents(store, cid), (err) => isErrorCode(err, 'LIMIT'))
})

test('an early end aborts the reads ahead', async () => {
  const { store, root } = await importTree(new Map(Array.from({ length: 50 }, (_, index) => [`f${index}`, Buffer.from(`${index}`)])))
  const signals: AbortSignal[] = []
  const watching: BlockReader = {
    has: async (cid) => await store.has(cid),
    get: async (cid, { signal } = {}) => {
      if (signal !== undefined) signals.push(signal)
      return await store.get(cid)
    }
  }
  for await (const { path } of readTree(watching, root)) if (path.length > 0) break
  assert.ok(signals.length < 20 && signals.every((signal) => signal.aborted))
})

async function importTree (files: ReadonlyMap<string, Uint8Array>, options: Parameters<typeof importer>[2] = {}): Promise<{ store: MemoryBlockstore, root: CID }> {
  const oracle = new OracleBlockstore()
  const imported = await Array.fromAsync(importer([...files].map(([path, content]) => ({ path, content })), oracle, { ...options, chunker: fixedSize({ chunkSize: 512 }), wrapWithDirectory: true }))
  const root = imported.at(-1)
  assert.ok(root !== undefined)
  return { store: await copyOracle(oracle), root: root.cid }
}

/** Content of files, and `undefined` for all else, by path. */
async function contents (blocks: BlockReader, cid: CID): Promise<Map<string, Buffer | undefined>> {
  const byPath = new Map<string, Buffer | undefined>()
  for await (const entry of readTree(blocks, cid)) {
    byPath.set(entry.path.join('/'), entry.kind === 'file' ? Buffer.concat(await Array.fromAsync(entry.content)) : undefined)
  }
  return byPath
}
