import { encodeCarHeader, encodeCarSection, readCar } from '@holdfast/car'
import { Block } from '@holdfast/core'
import { flagVectors, keyStream, parsePrometheus } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { create, type KuboRPCClient } from 'kubo-rpc-client'
import { base36 } from 'multiformats/bases/base36'
import { base58btc } from 'multiformats/bases/base58'
import { CID } from 'multiformats/cid'
import * as digest from 'multiformats/hashes/digest'
import { holdfast, newFolder, startNode, type TestNode } from './harness.ts'

/** "hello world" with the recipe of a new node, and with the one that comes with CIDv0. */
const HELLO_V1 = 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'
const HELLO_V0 = 'Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD'

const hasOpenssl = spawnSync('openssl', ['version']).status === 0

/** Resident memory that a node may take while half a gigabyte goes through: a leak of pieces takes more. */
const MAX_RSS_BYTES: number = 350 * 1024 * 1024

/** A peer that is nowhere. */
const NOBODY = '12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d'

/** A CID that no node has. */
const NOWHERE = 'bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy'

async function openRpc (context: TestContext, flags: readonly string[] = [], engine?: 'pack' | 'fs'): Promise<{ node: TestNode, client: KuboRPCClient }> {
  const node = await startNode(context, { flags: [...flags], engine })
  return { node, client: create({ url: node.ready.rpc }) }
}

async function bytesOf (source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(source))
}

/** What an endpoint answers, as its JSON lines. */
async function linesOf (node: TestNode, path: string, init: RequestInit = {}): Promise<unknown[]> {
  const response = await fetch(`${node.ready.rpc}/api/v0/${path}`, { method: 'POST', ...init })
  const text = await response.text()
  assert.equal(response.status, 200, text)
  return text.split('\n').filter((line) => line !== '').map((line): unknown => JSON.parse(line))
}

function form (content: string | Uint8Array<ArrayBuffer>, name: string = 'file'): FormData {
  const data = new FormData()
  data.append('file', new Blob([content]), name)
  return data
}

test('kubo-rpc-client asks who the node is and what it can do', async (context) => {
  const { node, client } = await openRpc(context)
  const id = await client.id()
  assert.equal(id.id.toString(), node.ready.peerId)
  assert.match(id.agentVersion, /^holdfast\//)
  assert.equal((await client.version()).repo, '2')
  assert.equal(await client.repo.version(), '2')
  const commands = await client.commands() as unknown as { Name: string, Subcommands: Array<{ Name: string, Subcommands: Array<{ Name: string }> }> }
  assert.deepEqual(commands.Subcommands.find(({ Name }) => Name === 'pin')?.Subcommands.map(({ Name }) => Name), ['add', 'ls', 'rm', 'update', 'verify'])
  const [key] = await client.key.list()
  assert.deepEqual(key, { name: 'self', id: CID.createV1(0x72, digest.decode(base58btc.baseDecode(node.ready.peerId))).toString(base36) })
  assert.deepEqual(await linesOf(node, 'key/list?ipns-base=b58mh'), [{ Keys: [{ Name: 'self', Id: node.ready.peerId }] }])
  assert.equal((await fetch(`${node.ready.rpc}/api/v0/key/list?ipns-base=base7`, { method: 'POST' })).status, 400)
  assert.deepEqual(await client.config.get('Discovery.MDNS.Enabled'), false)
  assert.equal(await client.config.get('Identity.PeerID'), node.ready.peerId)
  assert.equal(await client.config.get('Addresses.API'), `/ip4/127.0.0.1/tcp/${new URL(node.ready.rpc).port}`)
  assert.equal((await client.config.getAll() as unknown as { Holdfast: { network: string } }).Holdfast.network, 'off')
  await assert.rejects(client.config.get('No.Such'), /failed to get config value/)
  assert.equal(await client.isOnline(), false)
})

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

test('cat gives content, parts of it and that of several paths', async (context) => {
  const { node, client } = await openRpc(context)
  const content = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => (index * 7) % 251))
  const { cid } = await client.add(content)
  assert.equal(Buffer.compare(await bytesOf(client.cat(cid)), content), 0)
  for (const [offset, length] of [[0, 0], [0, 1], [1_048_575, 2], [2_999_999, 10], [5_000_000, 1]] as const) {
    assert.deepEqual(await bytesOf(client.cat(cid, { offset, length })), content.subarray(offset, offset + length), `${offset} ${length}`)
  }
  const [first] = await Array.fromAsync(client.addAll([{ path: 'd/f', content: 'in a directory' }], { wrapWithDirectory: true })).then((entries) => entries.slice(-1))
  assert.equal((await bytesOf(client.cat(`/ipfs/${first?.cid}/d/f`))).toString(), 'in a directory')
  const both = await fetch(`${node.ready.rpc}/api/v0/cat?arg=${HELLO_V1}&arg=${HELLO_V1}&offset=9&length=6`, { method: 'POST' })
  assert.equal(both.status, 500)
  await client.add('hello world')
  assert.equal(await (await fetch(`${node.ready.rpc}/api/v0/cat?arg=${HELLO_V1}&arg=${HELLO_V1}&offset=9&length=6`, { method: 'POST' })).text(), 'ldhell')
  await assert.rejects(bytesOf(client.cat(`${first?.cid}`)), /is a directory/)
})

test('get gives an archive that tar unpacks, also compressed, and a lone file compressed', async (context) => {
  const { client } = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'top/a.txt', content: 'A' }, { path: 'top/in/b.txt', content: 'B' }], { wrapWithDirectory: true }))
  const root = entries.at(-1)?.cid
  const folder = await newFolder(context)
  for (const [name, options, flags] of [['plain.tar', {}, '-xf'], ['packed.tgz', { archive: true, compress: true, compressionLevel: 9 }, '-xzf']] as const) {
    const into = join(folder, name.replace('.', '-'))
    await mkdir(into)
    await writeFile(join(folder, name), await bytesOf(client.get(`/ipfs/${root}/top`, options)))
    execFileSync('tar', [flags, join(folder, name), '-C', into])
    assert.equal(await readFile(join(into, 'top/in/b.txt'), 'utf8'), 'B')
  }
  await writeFile(join(folder, 'a.gz'), await bytesOf(client.get(`/ipfs/${root}/top/a.txt`, { compress: true })))
  assert.equal(execFileSync('gunzip', ['-c', join(folder, 'a.gz')]).toString(), 'A')
})

test('ls lists a directory as Kubo does, whole or as a stream', async (context) => {
  const { node, client } = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'in/b', content: 'BB' }, { path: 'a', content: 'A' }], { wrapWithDirectory: true }))
  const root = String(entries.at(-1)?.cid)
  assert.deepEqual((await Array.fromAsync(client.ls(root))).map(({ name, type, size, path }) => [name, type, size, path]), [['a', 'file', 1, `${root}/a`], ['in', 'dir', 0, `${root}/in`]])
  const [whole] = await linesOf(node, `ls?arg=${root}`) as Array<{ Objects: Array<{ Hash: string, Links: object[] }> }>
  const streamed = await linesOf(node, `ls?arg=${root}&stream=true`) as Array<{ Objects: Array<{ Hash: string, Links: object[] }> }>
  assert.equal(whole?.Objects[0]?.Hash, root)
  assert.deepEqual(streamed.map(({ Objects }) => Objects[0]?.Links[0]), whole?.Objects[0]?.Links)
  assert.deepEqual(Object.keys(whole?.Objects[0]?.Links[0] ?? {}), ['Name', 'Hash', 'Size', 'Type', 'Target'])
  // Without reading what is listed only raw leaves are known for what they are.
  const unread = (await linesOf(node, `ls?arg=${root}&size=false&resolve-type=false`) as Array<{ Objects: Array<{ Links: Array<{ Name: string, Size: number, Type: number }> }> }>)[0]?.Objects[0]?.Links
  assert.deepEqual(unread?.map(({ Name, Size, Type }) => [Name, Size, Type]), [['a', 1, 2], ['in', 0, 0]])
  for (const query of ['size=false', 'resolve-type=false']) assert.deepEqual(await linesOf(node, `ls?arg=${root}&${query}`), [whole], query)
  assert.deepEqual(await linesOf(node, `ls?arg=${root}/a`), [{ Objects: [{ Hash: `${root}/a`, Links: [] }] }])
})

test('pins are added, listed in every form, updated, verified and removed', async (context) => {
  const { node, client } = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'a', content: 'A' }, { path: 'b', content: 'B' }], { wrapWithDirectory: true, pin: false }))
  const root = entries.at(-1)?.cid
  const a = entries.find(({ path }) => path === 'a')?.cid
  assert.ok(root !== undefined && a !== undefined)
  assert.equal((await client.pin.add(root, { name: 'mine' })).toString(), root.toString())
  assert.deepEqual((await Array.fromAsync(client.pin.ls({ names: true }))).map(({ cid, type, name }) => [cid.toString(), type, name]).filter(([, type]) => type !== 'indirect'), [[root.toString(), 'recursive', 'mine']])
  assert.deepEqual((await Array.fromAsync(client.pin.ls({ type: 'indirect' }))).map(({ type }) => type), ['indirect', 'indirect'])
  assert.deepEqual((await Array.fromAsync(client.pin.ls())).length, 3)
  assert.deepEqual((await Array.fromAsync(client.pin.ls({ paths: a }))).map(({ type }) => type), [`indirect through ${root}`])
  assert.deepEqual(await linesOf(node, 'pin/ls?type=recursive&names=true'), [{ Keys: { [root.toString()]: { Type: 'recursive', Name: 'mine' } } }])
  assert.deepEqual(await linesOf(node, 'pin/ls?type=direct'), [{ Keys: {} }])
  await assert.rejects(Array.fromAsync(client.pin.ls({ type: 'sideways' as 'direct' })), /invalid type/)
  await assert.rejects(Array.fromAsync(client.pin.ls({ paths: HELLO_V1 })), /is not pinned/)

  assert.deepEqual(await linesOf(node, 'pin/ls?name=in&stream=true'), [{ Cid: root.toString(), Type: 'recursive', Name: 'mine' }])
  assert.deepEqual(await linesOf(node, 'pin/ls?name=In'), [{ Keys: {} }])
  assert.deepEqual(await linesOf(node, `pin/ls?arg=${root}&names=true`), [{ Keys: { [root.toString()]: { Type: 'recursive', Name: 'mine' } } }])
  assert.equal((await fetch(`${node.ready.rpc}/api/v0/pin/add?arg=${root}&name=${'x'.repeat(256)}`, { method: 'POST' })).status, 400)
  assert.equal((await fetch(`${node.ready.rpc}/api/v0/pin/verify?verbose=true&quiet=true`, { method: 'POST' })).status, 400)
  assert.deepEqual(await linesOf(node, 'pin/verify?verbose=true'), [{ Cid: root.toString(), Ok: true }])
  const { cid: other } = await client.add('hello world', { pin: false })
  assert.deepEqual((await client.pin.update(root, other)).map(String), [root.toString(), other.toString()])
  assert.deepEqual((await Array.fromAsync(client.pin.ls({ names: true }))).map(({ cid, name }) => [cid.toString(), name]), [[other.toString(), 'mine']])
  await assert.rejects(client.pin.rm(other, { recursive: false }), /is pinned recursively/)
  assert.equal((await client.pin.rm(other)).toString(), other.toString())
  await assert.rejects(client.pin.rm(other), /not pinned/)
  await assert.rejects(client.pin.update(other, root), /not pinned/)
  await client.pin.add(other, { recursive: false })
  assert.deepEqual((await Array.fromAsync(client.pin.ls())).map(({ type }) => type), ['direct'])
  assert.deepEqual(await linesOf(node, `pin/add?arg=${root}&progress=true`).then((lines) => lines.at(-1)), { Pins: [root.toString()] })
})

test('blocks are put, got, measured and removed, unless something keeps them', async (context) => {
  const { node, client } = await openRpc(context)
  const bytes = Buffer.from('a block')
  const cid = await client.block.put(bytes)
  assert.equal(cid.toString(), (await Block.of(bytes)).cid.toString())
  assert.deepEqual(Buffer.from(await client.block.get(cid)), bytes)
  assert.deepEqual((await client.block.stat(cid)).size, 7)
  const response = await fetch(`${node.ready.rpc}/api/v0/block/get?arg=${cid}`, { method: 'POST' })
  assert.equal(response.headers.get('content-type'), 'application/vnd.ipld.raw')
  assert.equal((await client.block.put(Buffer.from([]), { format: 'v0' })).version, 0)
  assert.equal((await client.block.put(Buffer.from([0xa0]), { format: 'dag-cbor', mhtype: 'sha2-512' })).multihash.code, 0x13)
  await assert.rejects(client.block.put(Buffer.alloc(2 * 1024 * 1024 + 1)), /produced block is over 2MiB/)

  await client.pin.add(cid, { recursive: false })
  assert.match((await Array.fromAsync(client.block.rm(cid)))[0]?.error?.message ?? '', /pinned: direct/)
  await client.pin.rm(cid)
  assert.deepEqual((await Array.fromAsync(client.block.rm(cid))).map(({ cid, error }) => [cid.toString(), error]), [[cid.toString(), undefined]])
  assert.match((await Array.fromAsync(client.block.rm(cid)))[0]?.error?.message ?? '', /could not find/)
  assert.deepEqual(await Array.fromAsync(client.block.rm(cid, { force: true })), [])
  const entries = await Array.fromAsync(client.addAll([{ path: 'below', content: 'below a pin' }], { wrapWithDirectory: true }))
  assert.match((await Array.fromAsync(client.block.rm(entries[0]?.cid ?? cid)))[0]?.error?.message ?? '', /pinned: indirect/)
})

test('IPLD values are put, got in another codec, resolved and counted', async (context) => {
  const { node, client } = await openRpc(context)
  const { cid: leaf } = await client.add('hello world')
  const value = { name: 'x', to: leaf, list: [1, { deep: true }] }
  const cid = await client.dag.put(value, { pin: true })
  assert.equal(cid.code, 0x71)
  assert.deepEqual((await client.dag.get(cid)).value, value)
  assert.equal((await client.dag.get(cid, { path: 'list/1/deep' })).value, true)
  assert.deepEqual(await (await fetch(`${node.ready.rpc}/api/v0/dag/get?arg=${cid}/list/1`, { method: 'POST' })).json(), { deep: true })
  assert.deepEqual(await (await fetch(`${node.ready.rpc}/api/v0/dag/get?arg=${cid}`, { method: 'POST' })).json(), { name: 'x', to: { '/': HELLO_V1 }, list: [1, { deep: true }] })
  const resolved = await client.dag.resolve(cid, { path: 'to' })
  assert.deepEqual([resolved.cid.toString(), resolved.remainderPath], [HELLO_V1, ''])
  assert.equal((await client.dag.resolve(cid, { path: 'list/1' })).remainderPath, 'list/1')
  assert.equal(await client.resolve(`/ipfs/${cid}/to`), `/ipfs/${HELLO_V1}`)

  const [json] = await linesOf(node, 'dag/put', { body: form('{"a":{"/":"bafkqaaa"}}') }) as [{ Cid: { '/': string } }]
  assert.equal(CID.parse(json.Cid['/']).code, 0x71)
  const [pb] = await linesOf(node, 'dag/put?store-codec=dag-pb', { body: form(`{"Links":[{"Hash":{"/":"${HELLO_V1}"},"Name":"n","Tsize":11}]}`) }) as [{ Cid: { '/': string } }]
  assert.deepEqual(await (await fetch(`${node.ready.rpc}/api/v0/dag/get?arg=${pb.Cid['/']}`, { method: 'POST' })).json(), { Links: [{ Hash: { '/': HELLO_V1 }, Name: 'n', Tsize: 11 }] })
  for (const [query, body] of [['', '{"a":'], ['?store-codec=dag-pb', '{"Links":1}'], ['?input-codec=dag-cbor', '\xff'], ['?store-codec=git-raw', '{}']] as const) {
    const refused = await fetch(`${node.ready.rpc}/api/v0/dag/put${query}`, { method: 'POST', body: form(body) })
    assert.ok(refused.status === 400 || refused.status === 500, `${query} ${refused.status}`)
    assert.equal((await refused.json() as { Type: string }).Type, 'error')
  }
  const [stat] = await linesOf(node, `dag/stat?arg=${cid}&arg=${HELLO_V1}`) as [{ UniqueBlocks: number, TotalSize: number, SharedSize: number, DagStats: object[] }]
  assert.deepEqual([stat.UniqueBlocks, stat.SharedSize], [2, 11])
  assert.deepEqual(stat.DagStats[1], { Cid: HELLO_V1, Size: 11, NumBlocks: 1 })
  const progress = await linesOf(node, `dag/stat?arg=${cid}&progress=true`) as Array<{ Ratio?: number, TotalSize: number, DagStats: object[] }>
  assert.ok(progress.length > 1 && progress[0]?.Ratio === undefined && progress[0]?.DagStats.length === 1 && progress.at(-1)?.Ratio === 1)
})

test('archives go out and come in again, roots are pinned, and what cannot be pinned says why', async (context) => {
  const { node, client } = await openRpc(context)
  const other = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'a', content: 'A' }, { path: 'b', content: 'B' }], { wrapWithDirectory: true }))
  const root = entries.at(-1)?.cid
  assert.ok(root !== undefined)
  const car = await bytesOf(client.dag.export(root))
  async function * source (): AsyncIterable<Uint8Array> { yield car }
  const [imported] = await Array.fromAsync(other.client.dag.import(source()))
  assert.deepEqual([imported?.root.cid.toString(), imported?.root.pinErrorMsg], [root.toString(), ''])
  assert.equal((await bytesOf(other.client.cat(`/ipfs/${root}/a`))).toString(), 'A')
  const response = await fetch(`${node.ready.rpc}/api/v0/dag/export?arg=${root}`, { method: 'POST' })
  assert.equal(response.headers.get('content-type'), 'application/vnd.ipld.car')

  const lone = await Block.of(Buffer.from('lone'))
  const partial = Buffer.concat([encodeCarHeader([CID.parse(NOWHERE), lone.cid]), ...encodeCarSection(lone)])
  const lines = await linesOf(node, 'dag/import?stats=true', { body: form(new Uint8Array(partial)) }) as Array<{ Root?: { Cid: object, PinErrorMsg: string }, Stats?: object }>
  assert.match(lines[0]?.Root?.PinErrorMsg ?? '', /was not found/)
  assert.deepEqual(lines[1], { Root: { Cid: { '/': lone.cid.toString() }, PinErrorMsg: '' } })
  assert.deepEqual(lines[2], { Stats: { BlockCount: 1, BlockBytesCount: 4 } })
  // One DAG in two archives, its root in the first.
  const pieces = form(new Uint8Array(Buffer.concat([encodeCarHeader([root]), ...encodeCarSection(lone)])), 'first.car')
  pieces.append('file', new Blob([new Uint8Array(car)]), 'second.car')
  const third = await openRpc(context)
  assert.deepEqual(await linesOf(third.node, 'dag/import', { body: pieces }), [{ Root: { Cid: { '/': root.toString() }, PinErrorMsg: '' } }])
  const broken = await fetch(`${node.ready.rpc}/api/v0/dag/import`, { method: 'POST', body: form('no archive') })
  assert.ok(broken.status >= 400)
})

test('refs tells links once or always, to a depth, in any format', async (context) => {
  const { node, client } = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'd/a', content: 'A' }, { path: 'd/same', content: 'A' }], { wrapWithDirectory: true }))
  const root = String(entries.at(-1)?.cid)
  const [a, d] = ['d/a', 'd'].map((name) => String(entries.find(({ path }) => path === name)?.cid))
  const refsOf = async (options: object): Promise<string[]> => (await Array.fromAsync(client.refs(root, options))).map(({ ref }) => ref)
  assert.deepEqual(await refsOf({}), [d])
  assert.deepEqual(await refsOf({ recursive: true }), [d, a, a])
  assert.deepEqual(await refsOf({ recursive: true, unique: true }), [d, a])
  assert.deepEqual(await refsOf({ recursive: true, maxDepth: 1 }), [d])
  assert.deepEqual(await refsOf({ recursive: true, maxDepth: 0 }), [])
  assert.deepEqual(await refsOf({ format: '<linkname>: <src> <dst>' }), [`d: ${root} ${d}`])
  assert.deepEqual(await refsOf({ edges: true }), [`${root} -> ${d}`])
  assert.equal((await Array.fromAsync(client.refs.local())).length, 3)
  // The same directory below another one, where max-depth ends, and then higher up.
  const twice = String((await Array.fromAsync(client.addAll([{ path: 'a/d/f', content: 'F' }, { path: 'd/f', content: 'F' }], { wrapWithDirectory: true }))).at(-1)?.cid)
  const names = async (options: object): Promise<string[]> => (await Array.fromAsync(client.refs(twice, { recursive: true, format: '<linkname>', ...options }))).map(({ ref }) => ref)
  assert.deepEqual(await names({ unique: true, maxDepth: 2 }), ['a', 'd', 'f'])
  assert.deepEqual(await names({ unique: true }), ['a', 'd', 'f'])
  assert.deepEqual(await names({ maxDepth: 2 }), ['a', 'd', 'd', 'f'])
  // What is missing below is a line, and the next root follows.
  const holes = await client.dag.put({ hole: CID.parse(NOWHERE), deeper: [CID.parse(root)] })
  const cbor = await client.dag.put([holes])
  assert.match((await linesOf(node, `refs?arg=${cbor}&arg=${root}&recursive=true&format=<dst>`) as Array<{ Ref: string, Err: string }>).map(({ Ref, Err }) => Err === '' ? Ref : `Err: ${Err}`).join('\n'), new RegExp(`^${holes}\\n[^]*Err: .*${NOWHERE}.*\\n${d}\\n${a}\\n${a}$`))
  for (const query of ['edges=true&format=<src>', 'recursive=true&max-depth=-2', 'recursive=perhaps']) assert.equal((await fetch(`${node.ready.rpc}/api/v0/refs?arg=${root}&${query}`, { method: 'POST' })).status, 400, query)
  assert.deepEqual((await linesOf(node, `refs?arg=${root}`))[0], { Ref: d, Err: '' })
})

test('files stat answers for /ipfs paths and refuses what it does not have', async (context) => {
  const { client } = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'a', content: Buffer.alloc(3_000_000) }], { wrapWithDirectory: true }))
  const root = entries.at(-1)
  const directory = await client.files.stat(`/ipfs/${root?.cid}`)
  assert.deepEqual([directory.type, directory.size, directory.blocks, directory.cumulativeSize], ['directory', 0, 1, root?.size])
  const file = await client.files.stat(`/ipfs/${root?.cid}/a`)
  assert.deepEqual([file.type, file.size, file.blocks], ['file', 3_000_000, 3])
  await assert.rejects(client.files.stat('/in/mfs'), /no mutable file system/)
})

test('files stat tells how much of a DAG is here when it is asked to', async (context) => {
  const { client } = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'a', content: 'A' }, { path: 'b', content: 'BB' }], { wrapWithDirectory: true, pin: false }))
  const [, b, root] = entries
  const whole = await client.files.stat(`/ipfs/${root?.cid}`, { withLocal: true })
  assert.deepEqual([whole.withLocality, whole.local, whole.sizeLocal], [true, true, root?.size])
  await Array.fromAsync(client.block.rm(b?.cid ?? CID.parse(NOWHERE)))
  const partly = await client.files.stat(`/ipfs/${root?.cid}`, { withLocal: true })
  assert.deepEqual([partly.withLocality, partly.local, partly.sizeLocal, partly.cumulativeSize], [true, false, Number(root?.size) - 2, root?.size])
  assert.equal((await client.files.stat(`/ipfs/${root?.cid}`)).withLocality, false)
})

test('a DAG of which parts are missing is exported only when only what is here is asked for', async (context) => {
  const { node, client } = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'a', content: 'A' }, { path: 'b', content: 'B' }], { wrapWithDirectory: true, pin: false }))
  const [a, b, root] = entries.map(({ cid }) => cid)
  assert.ok(a !== undefined && b !== undefined && root !== undefined)
  await Array.fromAsync(client.block.rm(a))
  const exported = async (query: string): Promise<Response> => await fetch(`${node.ready.rpc}/api/v0/dag/export?arg=${query}`, { method: 'POST' })
  const { blocks } = await readCar((await exported(`${root}&local-only=true`)).body ?? assert.fail())
  assert.deepEqual((await Array.fromAsync(blocks)).map(({ cid }) => cid.toString()), [root, b].map(String))
  // The trailer is lost on fetch: what comes is cut short.
  const missing = await exported(`${a}&local-only=true`)
  assert.equal(missing.status, 500)
  assert.match(await missing.text(), /was not found/)
  const again = await linesOf(node, 'dag/import?local-only=true&stats=true', { body: form(new Uint8Array(await (await exported(`${root}&local-only=true`)).arrayBuffer())) })
  assert.deepEqual(again, [{ Stats: { BlockCount: 2, BlockBytesCount: Number(entries.at(-1)?.size) - 1 } }])
})

test('the repository is measured, verified and cleaned, and tells what it removed', async (context) => {
  const { node, client } = await openRpc(context, [], 'fs')
  await client.add('kept')
  const { cid } = await client.add('garbage', { pin: false })
  const { numObjects, repoSize, repoPath, version, storageMax } = await client.repo.stat()
  assert.deepEqual([numObjects, repoSize, repoPath, version], [2n, 11n, node.repository, 'fs-repo@2'])
  assert.ok(storageMax > 11n)
  assert.deepEqual((await client.stats.repo()).numObjects, 2n)
  const removed = await Array.fromAsync(client.repo.gc())
  assert.deepEqual(removed.map(({ cid }) => cid?.multihash.bytes), [cid.multihash.bytes])
  assert.equal((await client.repo.stat()).numObjects, 1n)
  assert.deepEqual((await linesOf(node, 'repo/verify')).at(-1), { Msg: 'verify complete, all blocks validated.', Progress: 0 })
  assert.deepEqual((await linesOf(node, 'repo/verify?drop=true')).at(-1), { Msg: 'verify complete, all blocks validated.', Progress: 0 })
  // One byte of the block that is left.
  const file = execFileSync('find', [join(node.repository, 'blocks'), '-name', '*.data']).toString().trim()
  await writeFile(file, 'kepT')
  const response = await fetch(`${node.ready.rpc}/api/v0/repo/verify`, { method: 'POST' })
  assert.match(await response.text(), /was corrupt/)
  // Nobody could give it back, so healing touches nothing.
  for (const [query, words] of [['heal=true', /are not replaced/], ['heal=true&offline=true', /not fetched again offline/], ['drop=true&heal-timeout=soon', /not a duration/]] as const) {
    assert.match(await (await fetch(`${node.ready.rpc}/api/v0/repo/verify?${query}`, { method: 'POST' })).text(), words)
  }
  assert.equal((await client.repo.stat()).numObjects, 1n)
  const dropped = (await linesOf(node, 'repo/verify?drop=true') as Array<{ Msg: string }>).map(({ Msg }) => Msg).filter((text) => text !== '')
  assert.match(dropped.join('\n'), /^block \S+ was corrupt \(.*\), removed\nverify complete, 1 blocks corrupt, 1 removed$/)
  assert.equal((await client.repo.stat()).numObjects, 0n)
  // The pin is still there, and so is its content once somebody gives it again.
  await client.add('kept')
  assert.deepEqual((await linesOf(node, 'repo/verify')).at(-1), { Msg: 'verify complete, all blocks validated.', Progress: 0 })
})

test('damaged blocks are fetched again from a peer, are no cache afterwards, and what nobody has is told', async (context) => {
  const [first, second] = [await openRpc(context, ['--network', 'lan'], 'fs'), await openRpc(context, ['--network', 'lan'])]
  const { cid } = await first.client.add('shared by two')
  await second.client.add('shared by two')
  await first.client.add('mine alone')
  const loopback = (await second.client.swarm.localAddrs()).map(String).find((address) => address.startsWith('/ip4/127.0.0.1'))
  await first.client.swarm.connect(`${loopback}/p2p/${second.node.ready.peerId}` as never)
  for (const file of execFileSync('find', [join(first.node.repository, 'blocks'), '-name', '*.data']).toString().trim().split('\n')) await writeFile(file, 'damaged')
  const response = await fetch(`${first.node.ready.rpc}/api/v0/repo/verify?heal=true&heal-timeout=2s`, { method: 'POST' })
  const told = (await response.text()).split('\n').filter((line) => line.includes('was corrupt')).toSorted((a, b) => a.length - b.length)
  assert.equal(told.length, 2)
  assert.match(told[0] ?? '', /\), removed, healed"/)
  assert.match(told[1] ?? '', /\), failed to heal \(.+\)"/)
  assert.equal((await bytesOf(first.client.cat(cid, { offset: 0 }))).toString(), 'shared by two')
  // What nobody has is left as it is: somebody may make sense of it.
  assert.equal((await first.client.repo.stat()).numObjects, 2n)
  const [status] = await first.node.json<{ cache: { blockCount: number } }>(['repo', 'stat'])
  assert.equal(status?.cache.blockCount, 0)
})

test('a DAG is announced block by block when all of it is asked for', async (context) => {
  const { client } = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'a', content: 'A' }], { wrapWithDirectory: true }))
  const root = entries.at(-1)?.cid
  assert.ok(root !== undefined)
  await assert.rejects(Array.fromAsync(client.routing.provide(root, { recursive: true })), new RegExp(`announcement of ${root}`))
  const partial = await client.dag.put([CID.parse(NOWHERE)])
  await assert.rejects(Array.fromAsync(client.routing.provide(partial, { recursive: true })), /announcement of/)
  await assert.rejects(Array.fromAsync(client.routing.provide(CID.parse(NOWHERE), { recursive: true })), /was not found/)
})

test('answers have the fields and the content types of Kubo', async (context) => {
  const { node, client } = await openRpc(context)
  const entries = await Array.fromAsync(client.addAll([{ path: 'a', content: 'A' }], { wrapWithDirectory: true }))
  const [a, root] = entries.map(({ cid }) => String(cid))
  const { cid: garbage } = await client.add('garbage', { pin: false })
  const car = await bytesOf(client.dag.export(CID.parse(root ?? '')))
  const fields: ReadonlyArray<readonly [path: string, expected: readonly unknown[], body?: FormData]> = [
    ['add?progress=true&pin=false', [{ Name: 'file', Bytes: 1 }, { Name: 'file', Hash: a, Size: '1' }], form('A')],
    [`pin/add?arg=${root}`, [{ Pins: [root] }]],
    [`pin/ls?arg=${root}`, [{ Keys: { [String(root)]: { Type: 'recursive', Name: '' } } }]],
    [`pin/ls?arg=${root}&stream=true`, [{ Cid: root, Type: 'recursive', Name: '' }]],
    [`ls?arg=${root}`, [{ Objects: [{ Hash: root, Links: [{ Name: 'a', Hash: a, Size: 1, Type: 2, Target: '' }] }] }]],
    [`block/stat?arg=${a}`, [{ Key: a, Size: 1 }]],
    ['block/put', [{ Key: a, Size: 1 }], form('A')],
    [`dag/resolve?arg=${root}/a`, [{ Cid: { '/': a }, RemPath: '' }]],
    ['dag/import?stats=true', [{ Root: { Cid: { '/': root }, PinErrorMsg: '' } }, { Stats: { BlockCount: 2, BlockBytesCount: car.byteLength - carOverhead(car) } }], form(new Uint8Array(car))],
    [`resolve?arg=${root}/a`, [{ Path: `/ipfs/${a}` }]],
    ['repo/version', [{ Version: '2' }]],
    ['key/list?ipns-base=b58mh', [{ Keys: [{ Name: 'self', Id: node.ready.peerId }] }]],
    ['swarm/peers', [{ Peers: [] }]],
    ['swarm/addrs/listen', [{ Strings: [] }]],
    ['repo/gc', [{ Key: { '/': garbage.toString() } }]],
    [`pin/rm?arg=${root}`, [{ Pins: [root] }]]
  ]
  for (const [path, expected, body] of fields) assert.deepEqual(await linesOf(node, path, body === undefined ? {} : { body }), expected, path)
  assert.deepEqual(Object.keys((await linesOf(node, 'id'))[0] as object), ['ID', 'PublicKey', 'Addresses', 'AgentVersion', 'Protocols'])
  assert.deepEqual(Object.keys((await linesOf(node, 'version'))[0] as object), ['Version', 'Commit', 'Repo', 'System', 'Golang'])

  await client.add('A')
  const types: ReadonlyArray<readonly [path: string, type: string]> = [[`get?arg=${a}`, 'application/x-tar'], [`get?arg=${a}&compress=true`, 'application/gzip'], [`dag/export?arg=${a}`, 'application/vnd.ipld.car'], [`block/get?arg=${a}`, 'application/vnd.ipld.raw'], [`cat?arg=${a}`, 'text/plain'], ['refs/local', 'application/json']]
  for (const [path, type] of types) {
    const response = await fetch(`${node.ready.rpc}/api/v0/${path}`, { method: 'POST' })
    assert.equal(response.headers.get('content-type'), type, path)
    await response.arrayBuffer()
  }
})

/** What a CAR holds beside the bytes of its two blocks: the header, and for each block a length of one byte and a CID of 36. */
function carOverhead (car: Buffer): number {
  return 1 + (car[0] ?? 0) + 2 * (1 + 36)
}

test('names that are paths resolve to themselves; others are a clear failure', async (context) => {
  const { client } = await openRpc(context)
  assert.deepEqual(await Array.fromAsync(client.name.resolve(`/ipfs/${HELLO_V1}`)), [`/ipfs/${HELLO_V1}`])
  await assert.rejects(Array.fromAsync(client.name.resolve('/ipns/example.org')), /Names are not resolved yet/)
  await assert.rejects(client.resolve('/ipns/example.org'), /Names are not resolved yet/)
})

test('peers are connected, listed, asked and disconnected', async (context) => {
  const flags = ['--network', 'lan']
  const first = await openRpc(context, flags)
  const second = await openRpc(context, flags)
  const leaving = new AbortController()
  const events = await fetch(`${first.node.ready.rpc}/api/v0/events`, { method: 'POST', signal: leaving.signal })
  const loopback = (await second.client.swarm.localAddrs()).map(String).find((address) => address.startsWith('/ip4/127.0.0.1'))
  assert.ok(loopback !== undefined, 'a node listens on loopback')
  const address = `${loopback}/p2p/${second.node.ready.peerId}`
  assert.deepEqual(await first.client.swarm.connect(address as never), [`connect ${second.node.ready.peerId} success`])
  const [peer] = await first.client.swarm.peers({ direction: true })
  assert.deepEqual([peer?.peer.toString(), peer?.direction, peer?.addr.toString().includes('/p2p/')], [second.node.ready.peerId, 'outbound', false])
  await first.client.id({ peerId: (await second.client.id()).id })
  const [verbose] = (await linesOf(first.node, 'swarm/peers?verbose=true') as Array<{ Peers: Array<{ Latency: string, Identify: { ID: string, AgentVersion: string, Protocols: string[] } }> }>)[0]?.Peers ?? []
  assert.deepEqual([verbose?.Identify.ID, verbose?.Identify.AgentVersion], [second.node.ready.peerId, 'holdfast'])
  assert.ok(verbose?.Identify.Protocols.includes('/ipfs/ping/1.0.0') === true)
  assert.match(verbose?.Latency ?? '', /^(n\/a|\d+(\.\d{1,3})?m?s)$/)
  assert.deepEqual((await first.client.swarm.addrs()).map(({ id }) => id.toString()), [second.node.ready.peerId])

  const identity = await first.client.id({ peerId: (await second.client.id()).id })
  assert.deepEqual([identity.id.toString(), identity.agentVersion], [second.node.ready.peerId, 'holdfast'])
  assert.ok(identity.addresses.every((known) => known.toString().endsWith(`/p2p/${second.node.ready.peerId}`)) && identity.addresses.length > 0)
  for (const { protocols } of [identity, await first.client.id()]) assert.ok(protocols.includes('/ipfs/bitswap/1.2.0') && protocols.includes('/ipfs/ping/1.0.0'), String(protocols))

  const { cid } = await second.client.add('from afar')
  assert.equal((await bytesOf(first.client.cat(cid, { timeout: 20_000 }))).toString(), 'from afar')
  const stats = await first.client.bitswap.stat()
  assert.deepEqual([stats.blocksReceived, stats.dataReceived, stats.peers.map(String)], [1n, 9n, [second.node.ready.peerId]])
  assert.equal((await second.client.stats.bitswap()).blocksSent, 1n)
  const [bandwidth] = await Array.fromAsync(first.client.stats.bw())
  assert.ok(bandwidth !== undefined && bandwidth.totalIn > 0n && bandwidth.totalOut > 0n)

  assert.deepEqual(await first.client.swarm.disconnect(address as never), [`disconnect ${second.node.ready.peerId} success`])
  await assert.rejects(first.client.swarm.disconnect(address as never), /not connected/)
  let told = ''
  for await (const bytes of events.body ?? []) {
    told += Buffer.from(bytes).toString()
    if (told.includes('peer-disconnected')) break
  }
  leaving.abort()
  for (const type of ['peer-connected', 'peer-disconnected']) assert.match(told, new RegExp(`"type":"${type}","peer":"${second.node.ready.peerId}"`))
  assert.deepEqual(await first.client.swarm.peers(), [])
})

test('peers are pinged as often as asked, and who cannot be reached is told of with what was tried', async (context) => {
  const first = await openRpc(context, ['--network', 'lan'])
  const second = await openRpc(context, ['--network', 'lan'])
  const { id } = await second.client.id()
  const loopback = (await second.client.swarm.localAddrs()).map(String).find((address) => address.startsWith('/ip4/127.0.0.1'))
  // Nobody told the first node where the second one is: the address says it.
  const lines = await linesOf(first.node, `ping?arg=${loopback}/p2p/${id}&count=2`) as Array<{ Success: boolean, Time: number, Text: string }>
  assert.deepEqual(lines.map(({ Text }) => Text.replace(/[\d.]+ms/, 'N ms')), [`Looking up peer ${id}`, `PING ${id}.`, '', '', 'Average latency: N ms'])
  assert.ok(lines.every(({ Success }) => Success))
  assert.deepEqual(lines.map(({ Time }) => Number.isInteger(Time) && Time > 0), [false, false, true, true, false])
  const pings = await Array.fromAsync(first.client.ping(id, { count: 1 }))
  assert.deepEqual(pings.map(({ success, text }) => [success, text.split(' ')[0]]), [[true, 'PING'], [true, ''], [true, 'Average']])

  await second.node.end()
  await assert.rejects(Array.fromAsync(first.client.ping(NOBODY as never, { count: 1 })), new RegExp(NOBODY))
  await assert.rejects(Array.fromAsync(first.client.ping(id, { count: 1 })), new RegExp(id.toString()))
  await assert.rejects(Array.fromAsync(first.client.ping((await first.client.id()).id)), /can't ping self/)
  for (const [query, words] of [['arg=nobody', /not a peer id/], [`arg=${NOBODY}&count=0`, /ping count must be greater than 0/], ['', /argument "peer ID" is required/]] as const) {
    const refused = await fetch(`${first.node.ready.rpc}/api/v0/ping?${query}`, { method: 'POST' })
    assert.equal(refused.status, 400)
    assert.match(await refused.text(), words)
  }
})

test('routing without a network finds nobody and says so', async (context) => {
  const { client } = await openRpc(context)
  const { cid } = await client.add('hello world')
  assert.deepEqual(await Array.fromAsync(client.routing.findProvs(CID.parse(NOWHERE))), [])
  await assert.rejects(Array.fromAsync(client.routing.findPeer(NOBODY as never)), /routing: not found/)
  await assert.rejects(Array.fromAsync(client.routing.provide(cid)), /Nobody took the announcement/)
  await assert.rejects(Array.fromAsync(client.routing.provide(CID.parse(NOWHERE))), /is not here/)
  await assert.rejects(client.swarm.connect('/ip4/127.0.0.1/tcp/1/p2p/12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d' as never), /The network is off/)
})

test('a deadline of the client ends the call in the node', async (context) => {
  const { client } = await openRpc(context, ['--network', 'lan'])
  await assert.rejects(bytesOf(client.cat(NOWHERE, { timeout: 300 })), /context deadline exceeded|timed out/i)
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

test('the metrics of a node are well formed, and count what its gateway and its peers do', async (context) => {
  const [first, second] = [await openRpc(context, ['--network', 'lan']), await openRpc(context, ['--network', 'lan'])]
  const loopback = (await second.client.swarm.localAddrs()).map(String).find((address) => address.startsWith('/ip4/127.0.0.1'))
  await first.client.swarm.connect(`${loopback}/p2p/${second.node.ready.peerId}` as never)
  const { cid } = await second.client.add(Buffer.alloc(100_000, 'x'))
  for (const path of [`/ipfs/${cid}`, `/ipfs/${cid}`, `/ipfs/${cid}?format=raw`, '/ipfs/nonsense']) await (await fetch(`${first.node.ready.gateway}${path}`)).arrayBuffer()
  const read = async (): Promise<ReturnType<typeof parsePrometheus>> => parsePrometheus(await (await fetch(`${first.node.ready.rpc}/debug/metrics/prometheus`)).text())
  const valueOf = (families: ReturnType<typeof parsePrometheus>, line: string): number | undefined => families.get(line.replace(/\{.*|_(count|sum)$/, ''))?.values.get(line)
  let families = await read()
  // The last response is closed, and the blocks are counted, a moment later.
  for (let tries = 0; valueOf(families, 'holdfast_gateway_requests_total{format="none",status="4xx"}') !== 1 || !families.has('holdfast_blocks'); tries++) {
    assert.ok(tries < 500, 'the requests are counted')
    await new Promise((resolve) => { setTimeout(resolve, 10) })
    families = await read()
  }
  const figures: ReadonlyArray<readonly [line: string, value: number]> = [
    ['holdfast_gateway_requests_total{format="default",status="2xx"}', 2],
    ['holdfast_gateway_requests_total{format="raw",status="2xx"}', 1],
    ['holdfast_gateway_sent_bytes_total{format="default"}', 200_000],
    ['holdfast_gateway_open_requests', 0],
    ['holdfast_gateway_header_duration_seconds_count', 4],
    ['holdfast_gateway_cache_lookups_total{cache="targets",result="hit"}', 1],
    ['holdfast_peers{direction="outbound"}', 1],
    ['holdfast_bitswap_received_blocks_total', 1],
    ['holdfast_bitswap_received_bytes_total', 100_000],
    ['holdfast_cache_blocks', 1]
  ]
  for (const [line, value] of figures) assert.equal(valueOf(families, line), value, line)
  for (const name of families.keys()) assert.match(name, /^(holdfast|process|nodejs)_/)
})

test('an RPC that others can reach needs TLS and a token, else the node does not start and says why', async (context) => {
  const repository = join(await newFolder(context), 'repository')
  assert.equal((await holdfast(['init', '--path', repository])).status, 0)
  await writeFile(join(repository, 'config.json'), '{"rpcHost": "0.0.0.0"}')
  const { status, stdout, stderr } = await holdfast(['start', '--json', '--path', repository, '--network', 'off', '--rpc-port', '0', '--gateway-port', '0'])
  assert.deepEqual([status, stdout], [2, ''])
  assert.match(stderr, /^Error: The RPC does not listen on 0\.0\.0\.0 without a certificate \(rpcTlsCert and rpcTlsKey\) and a token \(rpcTokens\): whoever reaches it controls the node\. .*\n$/)
})

test('a node with a token is called with it, and by nobody else; its secret is not shown', async (context) => {
  const repository = join(await newFolder(context), 'repository')
  assert.equal((await holdfast(['init', '--path', repository])).status, 0)
  await writeFile(join(repository, 'config.json'), JSON.stringify({ rpcTokens: { ci: { secret: 'bearer:a-token-of-some-length', allowedPaths: ['/api/v0'] } } }))
  const node = await startNode(context, { repository })
  await assert.rejects(create({ url: node.ready.rpc }).id(), /RPC Access Denied/)
  const client = create({ url: node.ready.rpc, headers: { authorization: 'Bearer a-token-of-some-length' } })
  assert.equal((await client.id()).id.toString(), node.ready.peerId)
  assert.ok(!JSON.stringify(await client.config.getAll()).includes('a-token-of-some-length'))
  assert.ok(!(await node.ok(['config', 'show'])).includes('a-token-of-some-length'))
  assert.equal((await fetch(`${node.ready.rpc}/readyz`)).status, 200)
})

test('a node with a certificate and a token speaks TLS to whoever may reach it', { skip: !hasOpenssl && 'certificates are made with openssl' }, async (context) => {
  const folder = await newFolder(context)
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=node.example', '-addext', 'subjectAltName=DNS:node.example', '-keyout', key, '-out', cert], { stdio: 'ignore' })
  const repository = join(folder, 'repository')
  assert.equal((await holdfast(['init', '--path', repository])).status, 0)
  await writeFile(join(repository, 'config.json'), JSON.stringify({ rpcHost: '0.0.0.0', rpcTlsCert: cert, rpcTlsKey: key, rpcTokens: { ci: { secret: 'bearer:a-token-of-some-length', allowedPaths: ['/api/v0'] } } }))
  const node = await startNode(context, { repository })
  assert.match(node.ready.rpc, /^https:\/\/0\.0\.0\.0:\d+$/)
  const statusOf = async (headers: Readonly<Record<string, string>>): Promise<number | undefined> => {
    const sent = request({ host: '127.0.0.1', port: new URL(node.ready.rpc).port, servername: 'node.example', ca: await readFile(cert), agent: false, method: 'POST', path: '/api/v0/id', headers: { host: 'node.example', ...headers } }).end()
    const [response] = await once(sent, 'response') as [IncomingMessage]
    response.resume()
    return response.statusCode
  }
  const authorization = 'Bearer a-token-of-some-length'
  assert.equal(await statusOf({ authorization }), 200)
  assert.equal(await statusOf({}), 403)
  assert.equal(await statusOf({ authorization, host: 'other.example' }), 403)
  await assert.rejects(fetch(node.ready.rpc.replace('https', 'http').replace('0.0.0.0', '127.0.0.1')))
})

test('what happens in the node can be followed, whoever causes it', async (context) => {
  const { node, client } = await openRpc(context)
  const leaving = new AbortController()
  const response = await fetch(`${node.ready.rpc}/api/v0/events`, { method: 'POST', signal: leaving.signal })
  const cid = await node.ok(['add', '-Q'], { stdin: 'hello world' })
  await node.ok(['pin', 'rm', cid])
  await Array.fromAsync(client.repo.gc())
  let text = ''
  for await (const bytes of response.body ?? []) {
    text += Buffer.from(bytes).toString()
    if (text.split('\n').length > 4) break
  }
  leaving.abort()
  const events = text.trim().split('\n').map((line) => JSON.parse(line) as { type: string, cid?: string })
  assert.deepEqual(events.map(({ type, cid }) => [type, cid]), [['added', HELLO_V1], ['pinned', HELLO_V1], ['unpinned', HELLO_V1], ['collected', undefined]])
})

test('the client stops the node, also while somebody listens', async (context) => {
  const { node, client } = await openRpc(context)
  const events = await fetch(`${node.ready.rpc}/api/v0/events`, { method: 'POST' })
  await client.stop()
  assert.equal(await events.text(), '')
  const deadlineMs = performance.now() + 60_000
  while (node.process.exitCode === null) {
    assert.ok(performance.now() < deadlineMs, 'the node ends')
    await new Promise((resolve) => { setTimeout(resolve, 10) })
  }
  // A node that is held up ends all the same, after a while, with another status.
  assert.equal(node.process.exitCode, 0)
})
