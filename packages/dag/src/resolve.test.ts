import { MemoryBlockstore } from '@holdfast/blockstore'
import { CODECS, encodeDagPb, isErrorCode, isHoldfastError } from '@holdfast/core'
import { countingBlockstore } from '@holdfast/testkit'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { linkTo, putBytes, putDagCbor, putDagJson, putDirectory, putShard, putUnixFs } from '../test/hand-made.ts'
import { findEntry } from './directory.ts'
import { openEntry } from './entry.ts'
import { hamtHashOf } from './hamt-shard.ts'
import { type FileSource, importBytes, importSources, recipeOf } from './index.ts'
import { MAX_PATH_SEGMENTS, type Resolution, resolvePath } from './resolve.ts'

const store = new MemoryBlockstore()
const file = await putBytes(store, Buffer.from('file'))

test('no segments lead to the root, without reading anything', async () => {
  const { store: counting, counts } = countingBlockstore(new MemoryBlockstore())
  assert.deepEqual(await resolvePath(counting, file, []), { root: file, cid: file, cids: [file], blocks: [], remainder: [] })
  assert.equal(counts.get, 0)
})

test('directories are followed by name, and the blocks on the way are listed without the last', async () => {
  const inner = await putDirectory(store, [['ä b', file]])
  const root = await putDirectory(store, [['x', file], ['inner', inner]])
  assertResolution(await resolvePath(store, root, ['inner', 'ä b']), [root, inner, file], [root, inner])
})

test('shards between a sharded directory and its entry are blocks on the way, but no segments', async () => {
  const recipe = { ...recipeOf(), hamtThresholdBytes: 0 }
  const files = Array.from({ length: 1000 }, (_, index): FileSource => ({ kind: 'file', name: Buffer.from(`f${index}`), open: () => once(Buffer.from(`${index}`)) }))
  const [root] = await importSources(store, [{ kind: 'directory', name: Buffer.from('d'), entries: async function * () { yield * files } }], recipe)
  assert.ok(root !== undefined)
  const { entry, path } = await findEntry(store, root.cid, 'f500')
  assert.ok(entry !== undefined && path.length > 1)
  assertResolution(await resolvePath(store, root.cid, ['f500']), [root.cid, entry.cid], path.map(({ cid }) => cid))
})

for (const [codec, put] of Object.entries({ 'dag-cbor': putDagCbor, 'dag-json': putDagJson })) {
  test(`maps, lists and links of ${codec} are followed`, async () => {
    const directory = await putDirectory(store, [['file', file]])
    const leaf = await put(store, { name: 'leaf' })
    const root = await put(store, { a: { list: [1, leaf, directory] }, '': leaf })
    assertResolution(await resolvePath(store, root, ['a', 'list', '1']), [root, leaf], [root])
    assertResolution(await resolvePath(store, root, ['a', 'list', '2', 'file']), [root, directory, file], [root, directory])
    assertResolution(await resolvePath(store, root, ['']), [root, leaf], [root])
  })

  test(`a path that ends inside of a ${codec} block leaves a remainder`, async () => {
    const leaf = await put(store, { deep: { nothing: null, list: ['x'] } })
    const root = await put(store, { leaf })
    for (const inside of [['deep'], ['deep', 'nothing'], ['deep', 'list', '0']]) {
      assertResolution(await resolvePath(store, root, ['leaf', ...inside]), [root, leaf], [root], inside)
    }
  })

  test(`what a ${codec} block does not hold is no link`, async () => {
    const root = await put(store, { list: ['a', file], text: 'text', nothing: null, bytes: Uint8Array.of(1) })
    const paths = [['missing'], ['list', '2'], ['list', '-1'], ['list', '01'], ['list', '1e0'], ['list', 'length'], ['list', '0', '0'], ['text', 'length'], ['nothing', 'x'], ['bytes', '0'], ['__proto__'], ['constructor'], ['list', '1', 'x']]
    for (const path of paths) {
      await assert.rejects(resolvePath(store, root, path), (err) => isErrorCode(err, 'NOT_FOUND') && err.details['reason'] === 'no-link', path.join('/'))
    }
  })
}

test('names of dag-pb links without UnixFS are followed', async () => {
  const root = await putBytes(store, encodeDagPb({ links: [linkTo(file, 'name')], data: undefined }), CODECS.dagPb)
  assert.equal((await resolvePath(store, root, ['name'])).cid.toString(), file.toString())
})

test('a missing name says which, and where', async () => {
  const inner = await putDirectory(store, [['there', file]])
  const root = await putDirectory(store, [['inner', inner]])
  await assert.rejects(resolvePath(store, root, ['inner', 'not there', 'x']), (err) => {
    assert.ok(isHoldfastError(err))
    assert.deepEqual([err.code, err.details], ['NOT_FOUND', { reason: 'no-link', name: 'not there', at: inner.toString() }])
    return true
  })
})

test('files and symlinks have no names below them', async () => {
  const { cid: big } = await importBytes(store, once(Buffer.alloc(3000)), { ...recipeOf(), chunking: { kind: 'size', chunkBytes: 1000 } })
  for (const cid of [file, big, await putUnixFs(store, { type: 'symlink', data: Buffer.from('x') })]) {
    await assert.rejects(resolvePath(store, cid, ['x']), (err) => isErrorCode(err, 'NOT_FOUND') && err.details['reason'] === 'no-link')
    await assert.rejects(resolvePath(store, cid, ['']), (err) => isErrorCode(err, 'NOT_FOUND'), 'not even the nameless links of a file')
  }
})

test('a block that is absent on the way is told from a name that is', async () => {
  const inner = await putDirectory(store, [['gone', file]], { mode: 0o711 })
  const root = await putDirectory(store, [['inner', inner]])
  await store.delete(inner)
  assert.equal((await resolvePath(store, root, ['inner'])).cid.toString(), inner.toString(), 'the terminus is not read')
  await assert.rejects(resolvePath(store, root, ['inner', 'gone']), (err) => isErrorCode(err, 'NOT_FOUND') && err.details['reason'] === 'no-block' && err.details['cid'] === inner.toString())
})

test('below a codec that is not traversed a path is unsupported', async () => {
  for (const codec of [0x99, CODECS.cbor, CODECS.json, CODECS.libp2pKey]) {
    const cid = await putBytes(store, Buffer.from('{}'), codec)
    await assert.rejects(resolvePath(store, cid, ['a']), (err) => isErrorCode(err, 'UNSUPPORTED'))
  }
})

test('a path of 128 segments is followed, a longer one is not', async () => {
  let cid: CID = file
  for (let level = 0; level <= MAX_PATH_SEGMENTS; level++) cid = await putDirectory(store, [['d', cid]])
  const segments = Array.from({ length: MAX_PATH_SEGMENTS }, () => 'd')
  assert.equal((await resolvePath(store, cid, segments)).cids.length, MAX_PATH_SEGMENTS + 1)
  await assert.rejects(resolvePath(store, cid, [...segments, 'd']), (err) => isErrorCode(err, 'LIMIT'))
})

/** Roots of which a limit of the threat model is in the way of the name `d`, and what it ends with. */
const LIMITED: Readonly<Record<string, { readonly code: 'INVALID' | 'LIMIT', readonly root: () => Promise<CID> }>> = {
  'dag-pb with 65,537 links': { code: 'LIMIT', root: async () => await putBytes(store, encodeDagPb({ links: Array.from({ length: 65_537 }, () => linkTo(CID.createV1(CODECS.raw, createDigest(0, new Uint8Array())))), data: undefined }), CODECS.dagPb) },
  'a HAMT with a fanout of 4,096': { code: 'INVALID', root: async () => await putShard(store, [['000', file]], { fanout: 4096 }) },
  'a HAMT with a fanout that is no power of two': { code: 'INVALID', root: async () => await putShard(store, [['00', file]], { fanout: 257 }) },
  'a HAMT that goes deeper than its hash has bits': { code: 'LIMIT', root: async () => await deepShards('d') },
  'dag-cbor nested 5,000 deep': { code: 'LIMIT', root: async () => await putBytes(store, Buffer.concat([Buffer.alloc(5000, 0x81), Buffer.of(0)]), CODECS.dagCbor) },
  'dag-cbor of 300,000 items': { code: 'LIMIT', root: async () => await putBytes(store, Buffer.concat([Buffer.of(0x9a, 0, 4, 0x93, 0xe0), Buffer.alloc(300_000)]), CODECS.dagCbor) },
  'dag-cbor that declares 2^32 items': { code: 'INVALID', root: async () => await putBytes(store, Buffer.of(0x9a, 0xff, 0xff, 0xff, 0xff, 0), CODECS.dagCbor) },
  'dag-json nested 5,000 deep': { code: 'LIMIT', root: async () => await putBytes(store, Buffer.from(`${'['.repeat(5000)}1${']'.repeat(5000)}`), CODECS.dagJson) },
  'an identity CID of 129 bytes': { code: 'INVALID', root: async () => CID.createV1(CODECS.dagCbor, createDigest(0, Buffer.alloc(129))) },
  'a directory that links to an identity CID of 129 bytes': { code: 'INVALID', root: async () => await putDirectory(store, [['d', CID.createV1(CODECS.dagPb, createDigest(0, Buffer.alloc(129)))]]) }
}

for (const [name, { code, root }] of Object.entries(LIMITED)) {
  test(`a path ends at ${name}, soon and with its reason`, async () => {
    const cid = await root()
    const begunMs = performance.now()
    await assert.rejects(resolvePath(store, cid, ['d', 'd']), (err) => isErrorCode(err, code) || assert.fail(`${code} expected, not ${err}`))
    assert.ok(performance.now() - begunMs < 10_000, 'no limit is found by trying')
  })
}

test('a path leads on below sizes that lie, and what it leads to tells that they do', async () => {
  const lying = await putUnixFs(store, { type: 'file', byteLength: 2 ** 50, blockByteLengths: [2 ** 50 - 1] }, [linkTo(file, '', Number.MAX_SAFE_INTEGER)])
  const root = await putUnixFs(store, { type: 'directory', byteLength: 2 ** 52, blockByteLengths: [] }, [linkTo(lying, 'd', Number.MAX_SAFE_INTEGER)])
  const { cid } = await resolvePath(store, root, ['d'])
  assert.ok(cid.equals(lying))
  await assert.rejects(openEntry(store, cid), (err) => isErrorCode(err, 'CORRUPT'))
})

/** A chain of shards in which the slots of a name are links to the next shard, further than its hash goes. */
async function deepShards (name: string): Promise<CID> {
  const hash = await hamtHashOf(Buffer.from(name))
  let cid = file
  for (let level = 40; level >= 0; level--) {
    const slot = level < 8 ? Number((hash >> BigInt(56 - 8 * level)) & 0xffn) : 0
    cid = await putShard(store, [[slot.toString(16).toUpperCase().padStart(2, '0'), cid]])
  }
  return cid
}

test('an abort rejects with the reason given', async () => {
  const reason = new Error('changed my mind')
  const root = await putDirectory(store, [['file', file]])
  await assert.rejects(resolvePath(store, root, ['file'], { signal: AbortSignal.abort(reason) }), (err) => err === reason)
})

/** Checks where a path led: the CIDs by segment, the blocks on the way, the rest. */
function assertResolution (found: Resolution, cids: readonly CID[], blocks: readonly CID[], remainder: readonly string[] = []): void {
  assert.deepEqual(found.cids.map(String), cids.map(String))
  assert.deepEqual(found.blocks.map(({ cid }) => cid.toString()), blocks.map(String))
  assert.deepEqual(found.remainder, remainder)
  assert.equal(found.root.toString(), String(cids[0]))
  assert.equal(found.cid.toString(), String(cids.at(-1)))
}

async function * once (bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes
}
