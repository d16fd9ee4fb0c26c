import { MemoryBlockstore } from '@holdfast/blockstore'
import { Block, CODECS, encodeDagPb, isErrorCode } from '@holdfast/core'
import { countingBlockstore } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { linkTo, putBytes, putDagCbor, putDagJson, putDirectory, putFileNode, putShard, putUnixFs } from '../test/hand-made.ts'
import { MAX_SYMLINK_TARGET_BYTES, openEntry } from './entry.ts'

const store = new MemoryBlockstore()

test('raw blocks and UnixFS files are files, with the length of their content', async () => {
  const raw = await putBytes(store, Buffer.from('hello'))
  const leaf = await putUnixFs(store, { type: 'file', data: Buffer.from('hello'), byteLength: 5 })
  const rawType = await putUnixFs(store, { type: 'raw', data: Buffer.from('hello') })
  for (const cid of [raw, leaf, rawType]) assert.deepEqual(await openEntry(store, cid), { kind: 'file', cid, byteLength: 5 })
  const { cid } = await putFileNode(store, [{ cid: raw, byteLength: 5 }, { cid: leaf, byteLength: 5 }])
  assert.deepEqual(await openEntry(store, cid), { kind: 'file', cid, byteLength: 10 })
})

test('directories, shards and symlinks show what they are, with mode and time', async () => {
  const attributes = { mode: 0o750, mtime: { seconds: 5n, nanoseconds: 6 } }
  const directory = await putDirectory(store, [], attributes)
  const shard = await putShard(store, [], attributes)
  const symlink = await putUnixFs(store, { type: 'symlink', data: Buffer.from('../ä'), ...attributes })
  assert.deepEqual(await openEntry(store, directory), { kind: 'directory', cid: directory, sharded: false, ...attributes })
  assert.deepEqual(await openEntry(store, shard), { kind: 'directory', cid: shard, sharded: true, ...attributes })
  assert.deepEqual(await openEntry(store, symlink), { kind: 'symlink', cid: symlink, target: '../ä', ...attributes })
})

test('blocks of other codecs tell their codec and length', async () => {
  const cbor = await putDagCbor(store, {})
  const json = await putDagJson(store, {})
  assert.deepEqual(await openEntry(store, cbor), { kind: 'ipld', cid: cbor, codec: CODECS.dagCbor, byteLength: 1 })
  assert.deepEqual(await openEntry(store, json), { kind: 'ipld', cid: json, codec: CODECS.dagJson, byteLength: 2 })
  for (const codec of [CODECS.cbor, CODECS.json]) assert.equal((await openEntry(store, await putBytes(store, Buffer.from('{}'), codec))).kind, 'ipld')
  for (const codec of [CODECS.libp2pKey, 0x99]) assert.equal((await openEntry(store, await putBytes(store, Buffer.from('{}'), codec))).kind, 'opaque')
})

test('dag-pb without UnixFS is opaque', async () => {
  const target = await putBytes(store, Buffer.from('x'))
  for (const data of [undefined, new Uint8Array(), Buffer.from('not UnixFS'), Uint8Array.of(8, 3)]) {
    const cid = await putBytes(store, encodeDagPb({ links: [linkTo(target, 'x')], data }), CODECS.dagPb)
    assert.equal((await openEntry(store, cid)).kind, 'opaque')
  }
})

test('reads one block', async () => {
  const { cid } = await putFileNode(store, [{ cid: await putBytes(store, Buffer.from('a')), byteLength: 1 }])
  const { store: counting, counts } = countingBlockstore(store)
  await openEntry(counting, cid)
  assert.equal(counts.get, 1)
})

test('an absent block is not found, by name', async () => {
  const { cid } = await Block.of(Buffer.from('never stored'))
  await assert.rejects(openEntry(store, cid), (err) => isErrorCode(err, 'NOT_FOUND') && err.details['reason'] === 'no-block' && err.details['cid'] === cid.toString())
})

test('bytes that are not dag-pb are refused by name', async () => {
  const cid = await putBytes(store, Buffer.from('not dag-pb'), CODECS.dagPb)
  await assert.rejects(openEntry(store, cid), (err) => isErrorCode(err, 'INVALID') && err.message.includes(cid.toString()))
})

test('a symlink with a target that no file system takes is refused', async () => {
  const endless = await putUnixFs(store, { type: 'symlink', data: Buffer.alloc(MAX_SYMLINK_TARGET_BYTES + 1, 'a') })
  const latin1 = await putUnixFs(store, { type: 'symlink', data: Buffer.from('ä', 'latin1') })
  await assert.rejects(openEntry(store, endless), (err) => isErrorCode(err, 'LIMIT'))
  await assert.rejects(openEntry(store, latin1), (err) => isErrorCode(err, 'INVALID'))
})

test('a file whose lengths do not add up, or add up to no safe integer, is corrupt at its root', async () => {
  const cid = await putBytes(store, Buffer.from('abc'))
  const most = Number.MAX_SAFE_INTEGER
  const files = [
    await putUnixFs(store, { type: 'file', byteLength: 4, blockByteLengths: [3] }, [linkTo(cid)]),
    await putUnixFs(store, { type: 'file', byteLength: 3 }, [linkTo(cid)]),
    await putUnixFs(store, { type: 'file', blockByteLengths: [most, most] }, [linkTo(cid), linkTo(cid)])
  ]
  for (const file of files) await assert.rejects(openEntry(store, file), (err) => isErrorCode(err, 'CORRUPT') && err.message.includes(file.toString()))
})

test('a HAMT that cannot be read is refused at its root', async () => {
  await assert.rejects(openEntry(store, await putShard(store, [], { fanout: 2 ** 40 })), (err) => isErrorCode(err, 'INVALID'))
  await assert.rejects(openEntry(store, await putShard(store, [], { hashType: 0x23 })), (err) => isErrorCode(err, 'UNSUPPORTED'))
})

test('an aborted signal is seen', async () => {
  const reason = new Error('changed my mind')
  await assert.rejects(openEntry(store, await putBytes(store, Buffer.from('a')), { signal: AbortSignal.abort(reason) }), (err) => err === reason)
})
