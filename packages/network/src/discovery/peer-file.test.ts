import fc from 'fast-check'
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { addressOf, newFile, newHost, until } from '../../test/harness.ts'
import { MAX_PEER_FILE_BYTES, MAX_REMEMBERED_PEERS } from './discovery-limits.ts'
import { encodePeerFile, parsePeerFile, readPeerFile, writePeerFile } from './peer-file.ts'

const SOMEBODY = '12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE'
const OTHER = 'QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN'
const file = (content: unknown): Uint8Array => new TextEncoder().encode(typeof content === 'string' ? content : JSON.stringify(content))
const entry = (address: unknown, seenMs: unknown = 1): object => ({ address, seenMs })

test('what is written is read again, newest first', async (context) => {
  const path = await newFile(context, 'peers.json')
  const peers = [SOMEBODY, OTHER].map((peer, index) => ({ peer, address: multiaddr(`/ip4/192.0.2.${index}/tcp/4001/p2p/${peer}`), seenMs: 1000 - index }))
  await writePeerFile(path, peers)
  assert.deepEqual((await readPeerFile(path))?.map(({ peer, address, seenMs }) => [peer, address.toString(), seenMs]), peers.map(({ peer, address, seenMs }) => [peer, address.toString(), seenMs]))
  assert.deepEqual(await readdir(dirname(path)), ['peers.json'])
  if (process.platform !== 'win32') assert.equal((await stat(path)).mode & 0o777, 0o600)
})

test('no file is no peers', async (context) => {
  assert.deepEqual(await readPeerFile(await newFile(context, 'peers.json')), [])
})

for (const [what, bytes] of Object.entries({
  'no JSON': file('{'),
  'a list': file([]),
  'another version': file({ version: 2, peers: [] }),
  'no list of peers': file({ version: 1, peers: { length: 3 } }),
  'no UTF-8': Uint8Array.of(0xff, 0xfe),
  'too much': file(' '.repeat(MAX_PEER_FILE_BYTES + 1))
})) {
  test(`a file with ${what} is damaged`, () => { assert.equal(parsePeerFile(bytes), undefined) })
}

test('entries that nobody can dial are passed over', () => {
  const good = `/ip4/192.0.2.1/tcp/4001/p2p/${SOMEBODY}`
  const bad = [null, 7, [], {}, entry(7), entry('/ip4/1.2.3.4/tcp/1'), entry(SOMEBODY), entry(good, -1), entry(good, '1'), entry(good, 1.5), entry(`${good}/p2p-circuit/p2p/${OTHER}`), entry(`/ip4/${'1'.repeat(5000)}`)]
  assert.deepEqual(parsePeerFile(file({ version: 1, peers: [...bad, entry(good)] }))?.map(({ address }) => address.toString()), [good])
})

test('a peer counts once, by its newest entry', () => {
  const peers = [entry(`/ip4/192.0.2.1/tcp/1/p2p/${SOMEBODY}`, 1), entry(`/ip4/192.0.2.2/tcp/1/p2p/${SOMEBODY}`, 3), entry(`/ip4/192.0.2.3/tcp/1/p2p/${SOMEBODY}`, 2)]
  assert.deepEqual(parsePeerFile(file({ version: 1, peers }))?.map(({ address }) => address.toString()), [`/ip4/192.0.2.2/tcp/1/p2p/${SOMEBODY}`])
})

test('whatever the bytes are, reading gives peers or nothing', () => {
  fc.assert(fc.property(fc.oneof(fc.uint8Array(), fc.json().map(file), fc.jsonValue().map((peers) => file({ version: 1, peers: [peers] }))), (bytes) => {
    const peers = parsePeerFile(bytes)
    if (peers !== undefined) assert.deepEqual(parsePeerFile(encodePeerFile(peers)), peers)
  }))
})

test('DHT servers that a node dialled are remembered when it stops; clients and who dialled it are not', async (context) => {
  const peerFile = await newFile(context, 'peers.json')
  const [server, client] = [await newHost(context, { dht: 'server' }), await newHost(context, { dht: 'client' })]
  const host = await newHost(context, { dht: 'server', bootstrap: ['auto'] }, { peerFile })
  const visitor = await newHost(context, { dht: 'server' })
  const serverAddress = addressOf(server)
  for (const other of [server, client]) await host.connect(addressOf(other))
  await visitor.connect(addressOf(host))
  await until(() => host.peers().length === 3 && host.peers().every(({ protocols }) => protocols.length > 0))
  await host[Symbol.asyncDispose]()
  assert.deepEqual((await readPeerFile(peerFile))?.map(({ address }) => address.toString()), [serverAddress])
})

test('a damaged file is a warning and is made anew', async (context) => {
  const peerFile = await newFile(context, 'peers.json')
  await writeFile(peerFile, 'oh no')
  const server = await newHost(context, { dht: 'server' })
  const host = await newHost(context, { dht: 'server', bootstrap: ['auto'] }, { peerFile })
  await host.connect(addressOf(server))
  await until(() => host.peers().every(({ protocols }) => protocols.length > 0))
  await host[Symbol.asyncDispose]()
  assert.equal(parsePeerFile(await readFile(peerFile))?.length, 1)
})

test('a folder that is not there does not keep a node from stopping', async (context) => {
  const peerFile = join(await newFile(context, 'gone'), 'peers.json')
  const server = await newHost(context, { dht: 'server' })
  const host = await newHost(context, { dht: 'server', bootstrap: ['auto'] }, { peerFile })
  await host.connect(addressOf(server))
  await until(() => host.peers().every(({ protocols }) => protocols.length > 0))
  await host[Symbol.asyncDispose]()
  assert.equal(existsSync(dirname(peerFile)), false)
})

test(`at most ${MAX_REMEMBERED_PEERS} peers are written`, () => {
  const peers = Array.from({ length: 100 }, (_, index) => ({ peer: SOMEBODY, address: multiaddr(`/ip4/192.0.2.${index}/tcp/1/p2p/${SOMEBODY}`), seenMs: index }))
  assert.ok(encodePeerFile(peers).byteLength < MAX_PEER_FILE_BYTES)
  assert.equal((JSON.parse(new TextDecoder().decode(encodePeerFile(peers))) as { peers: unknown[] }).peers.length, MAX_REMEMBERED_PEERS)
})
