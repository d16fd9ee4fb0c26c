import { flagVectors, keyStream } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { KuboRPCClient } from 'kubo-rpc-client'
import { newFolder } from './harness.ts'
import { bytesOf, form, HELLO_V0, HELLO_V1, linesOf, openRpc } from './rpc-client.ts'

/** Resident memory that a node may take while half a gigabyte goes through: a leak of pieces takes more. */
const MAX_RSS_BYTES: number = 350 * 1024 * 1024

test('add gives the CIDs that Kubo gives for the same recipe, tells its progress, and pins', async (context) => {
  const { client } = await openRpc(context)
  const told: number[] = []
  const { cid, size, path } = await client.add('hello world', { progress: (byteLength) => { told.push(byteLength) } })
  assert.deepEqual([cid.toString(), size, path], [HELLO_V1, 11, HELLO_V1])
  assert.equal(told.at(-1), 11)
  const cases: ReadonlyArray<readonly [Parameters<KuboRPCClient['add']>[1], string]> = [
    [{ cidVersion: 0 }, HELLO_V0],
    [{ cidVersion: 1, rawLeaves: false }, 'bafybeihykld7uyxzogax6vgyvag42y7464eywpf55gxi5qpoisibh3c5wa'],
    [{ cidVersion: 0, rawLeaves: true }, HELLO_V1]
  ]
  for (const [options, expected] of cases) assert.equal((await client.add('hello world', options)).cid.toString(), expected, JSON.stringify(options))
  const hashed = await client.add('hello world', { hashAlg: 'sha2-512', chunker: 'size-4' })
  assert.equal(hashed.cid.multihash.code, 0x13)
  assert.equal((await bytesOf(client.cat(hashed.cid))).toString(), 'hello world')
  assert.ok((await Array.fromAsync(client.pin.ls())).some((pin) => pin.cid.toString() === HELLO_V1))
})

test('kubo-rpc-client gets the CIDs that Kubo gives for chunkers, layouts, widths and inline blocks', async (context) => {
  const { client } = await openRpc(context)
  const cases: ReadonlyArray<readonly [id: string, options: object]> = [
    ['captured-rabin-262144', { cidVersion: 0, chunker: 'rabin' }],
    ['captured-rabin-avg-2000000', { chunker: 'rabin-100000' }],
    ['captured-buzhash-3000000', { cidVersion: 0, chunker: 'buzhash' }],
    ['captured-trickle-262145', { cidVersion: 0, trickle: true }],
    ['captured-trickle-small-width-2', { trickle: true, chunker: 'size-512', maxFileLinks: 2 }],
    ['captured-inline-16-over', { inline: true, inlineLimit: 16 }],
    ['captured-inline-128-at', { inline: true, inlineLimit: 128 }],
    ['captured-hash-blake3', { profile: 'unixfs-v0-2015', cidVersion: 1, hashAlg: 'blake3' }],
    ['captured-set-mode', { cidVersion: 0, mode: '0644' }],
    ['captured-set-mtime', { cidVersion: 0, mtime: { secs: 1_234_567_890, nsecs: 42 } }]
  ]
  for (const [id, options] of cases) {
    const { input, cid: expected } = flagVectors().find((vector) => vector.id === id) ?? assert.fail(id)
    assert.ok(input.type === 'file' && input.chacha20 !== undefined)
    const content = Buffer.concat(await Array.fromAsync(keyStream(input.chacha20)))
    const { cid } = await client.add(content, options)
    assert.equal(cid.toString(), expected, id)
    assert.ok((await bytesOf(client.cat(cid))).equals(content), id)
  }
  assert.ok((await Array.fromAsync(client.pin.ls())).some(({ cid }) => cid.multihash.code === 0), 'a root that is its own CID is pinned as any other')
})

test('kubo-rpc-client wraps, shards and only hashes as Kubo does', async (context) => {
  const { node, client } = await openRpc(context)
  const wrapped = flagVectors().find(({ id }) => id === 'captured-wrap-unixfs-v1-2025') ?? assert.fail()
  assert.ok(wrapped.input.type === 'file' && wrapped.input.chacha20 !== undefined)
  const content = Buffer.concat(await Array.fromAsync(keyStream(wrapped.input.chacha20)))
  assert.equal((await Array.fromAsync(client.addAll([{ path: 'v', content }], { wrapWithDirectory: true, onlyHash: true }))).at(-1)?.cid.toString(), wrapped.cid)
  assert.deepEqual(await linesOf(node, 'refs/local'), [])
  const files = Array.from({ length: 5 }, (_, index) => ({ path: `v/f${index + 1}`, content: `${index + 1}\n` }))
  const options: object = { maxDirectoryLinks: 4 }
  const hashed = await Array.fromAsync(client.addAll(files, { ...options, onlyHash: true }))
  assert.equal(hashed.at(-1)?.cid.toString(), flagVectors().find(({ id }) => id === 'captured-maxdir4-5')?.cid, 'under only-hash Kubo forgets the width at the top')
  const sharded = await Array.fromAsync(client.addAll(files, options))
  assert.notEqual(sharded.at(-1)?.cid.toString(), hashed.at(-1)?.cid.toString())
  assert.deepEqual((await Array.fromAsync(client.ls(sharded.at(-1)?.cid ?? assert.fail()))).map(({ name }) => name).toSorted(), ['f1', 'f2', 'f3', 'f4', 'f5'])
})

test('what add does not have is refused before anything is stored, and says what there is', async (context) => {
  const { node } = await openRpc(context)
  const refusals: ReadonlyArray<readonly [query: string, words: RegExp]> = [
    ['to-files=/x', /Option to-files of add is not supported/],
    ['nocopy=true', /nocopy/],
    ['chunker=rabin-10-20-30', /at least 16 bytes/],
    ['chunker=rabin-20-20-30', /must rise/],
    ['max-hamt-fanout=7', /power of two from 8 to 1024/],
    ['max-directory-links=-1', /from 0 to/],
    ['inline=true&inline-limit=129', /from 0 to 128/],
    ['raw-leaves=true&preserve-mode=true', /raw-leaves can't be used with UnixFS metadata/],
    ['chunker=size-0', /from 1 to/],
    ['chunker=size-9999999', /from 1 to/],
    ['chunker=foo', /Chunker "foo" does not exist; use size-N/],
    ['hash=md5', /md5 is not supported; use one of/],
    ['cid-version=2', /use 0 or 1/],
    ['pin=false&pin-name=a', /pin-name option requires pin/],
    [`pin-name=${'x'.repeat(256)}`, /more than 255 bytes/]
  ]
  for (const [query, words] of refusals) {
    const refused = await fetch(`${node.ready.rpc}/api/v0/add?${query}`, { method: 'POST', body: form('x') })
    assert.ok(refused.status === 400 || refused.status === 500, query)
    const { Message, Type } = await refused.json() as { Message: string, Type: string }
    assert.match(Message, words, query)
    assert.equal(Type, 'error')
  }
  assert.deepEqual(await linesOf(node, 'refs/local'), [])
  await linesOf(node, 'add?pin-name=mine', { body: form('x') })
  assert.match(JSON.stringify(await linesOf(node, 'pin/ls?name=mine')), /"Type":"recursive","Name":"mine"/)
  const several = form('A', 'a')
  several.append('file', new Blob(['B']), 'b')
  assert.deepEqual((await linesOf(node, 'block/put', { body: several }) as Array<{ Size: number }>).map(({ Size }) => Size), [1, 1])
})

test('only-hash stores and pins nothing, pin=false only stores', async (context) => {
  const { node, client } = await openRpc(context)
  assert.equal((await client.add('hello world', { onlyHash: true })).cid.toString(), HELLO_V1)
  assert.deepEqual(await linesOf(node, 'refs/local'), [])
  await client.add('hello world', { pin: false })
  assert.equal((await linesOf(node, 'refs/local')).length, 1)
  assert.deepEqual(await Array.fromAsync(client.pin.ls()), [])
})

test('a tree comes in any order, with and without a directory around it, and has one CID', async (context) => {
  const { node, client } = await openRpc(context)
  const files = [{ path: 'd/a', content: 'A' }, { path: 'b', content: 'B' }, { path: 'd/e/ü +%.txt', content: 'C' }, { path: 'd/empty' }]
  const first = await Array.fromAsync(client.addAll(files, { wrapWithDirectory: true }))
  const last = await Array.fromAsync(client.addAll([...files].reverse(), { wrapWithDirectory: true }))
  assert.deepEqual(first.map(({ path }) => path).toSorted(), ['', 'b', 'd', 'd/a', 'd/e', 'd/e/ü +%.txt', 'd/empty'])
  assert.equal(first.at(-1)?.path, '')
  assert.equal(first.at(-1)?.cid.toString(), last.at(-1)?.cid.toString())
  const roots = await Array.fromAsync(client.addAll(files))
  assert.deepEqual(roots.map(({ path }) => path).toSorted(), ['b', 'd', 'd/a', 'd/e', 'd/e/ü +%.txt', 'd/empty'])

  const folder = await newFolder(context)
  await mkdir(join(folder, 'd/e'), { recursive: true })
  await mkdir(join(folder, 'd/empty'))
  await writeFile(join(folder, 'd/a'), 'A')
  await writeFile(join(folder, 'd/e/ü +%.txt'), 'C')
  assert.equal(await node.ok(['add', '-r', '-Q', join(folder, 'd')]), roots.find(({ path }) => path === 'd')?.cid.toString())
})

test('mode and mtime are kept when add is asked to, and shown by ls and files stat', async (context) => {
  const { node, client } = await openRpc(context)
  const mtime = { secs: 1_700_000_000, nsecs: 5 }
  // Its types know other times than its code.
  const preserve: object = { preserveMode: true, preserveMtime: true }
  const files = [{ path: 'd/f', content: 'x', mode: 0o755, mtime: mtime as never }]
  const entries = await Array.fromAsync(client.addAll(files, preserve))
  const file = entries.find(({ path }) => path === 'd/f')
  assert.ok(file !== undefined)
  assert.equal(file.cid.code, 0x70)
  const stat = await client.files.stat(`/ipfs/${file.cid}`)
  assert.deepEqual([stat.type, stat.size, stat.mode, stat.mtime], ['file', 1, 0o755, mtime])
  for (const query of ['mode=abc', 'mtime=soon', 'mtime-nsecs=1', 'mtime=1&mtime-nsecs=1000000000']) {
    const refused = await fetch(`${node.ready.rpc}/api/v0/add?${query}`, { method: 'POST', body: form('x') })
    assert.deepEqual([refused.status, (await refused.json() as { Code: number }).Code], [400, 1], query)
  }
  const plain = await Array.fromAsync(client.addAll(files))
  assert.equal(plain.find(({ path }) => path === 'd/f')?.cid.code, 0x55)
})

test('an upload of many megabytes arrives as it was sent, and memory stays flat', async (context) => {
  const { node, client } = await openRpc(context)
  const hash = createHash('sha256')
  async function * content (): AsyncIterable<Uint8Array> {
    for (let index = 0; index < 500; index++) {
      const piece = Buffer.alloc(1_000_003, index)
      piece.writeUInt32BE(index)
      hash.update(piece)
      yield piece
    }
  }
  const { cid } = await client.add(content(), { pin: false })
  const afterAddBytes = await node.rss()
  assert.ok(afterAddBytes < MAX_RSS_BYTES, `adding took ${Math.round(afterAddBytes / 1024 / 1024)} MiB`)
  const got = createHash('sha256')
  for await (const piece of client.cat(cid)) got.update(piece)
  assert.equal(got.digest('hex'), hash.digest('hex'))
  const afterCatBytes = await node.rss()
  assert.ok(afterCatBytes < MAX_RSS_BYTES, `reading took ${Math.round(afterCatBytes / 1024 / 1024)} MiB`)
})
