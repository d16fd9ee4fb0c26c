import { generateKeyPair, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { Libp2p } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { Key } from 'interface-datastore'
import { createLibp2p } from 'libp2p'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { addressOf, newHost, until } from '../test/harness.ts'
import { AddressBookStore } from './address-book-store.ts'
import { frame } from './dht/dht-message.ts'
import { MAX_ADDRESS_BYTES, MAX_KNOWN_PEERS, MAX_PEER_ADDRESSES, MAX_PEER_METADATA_BYTES, MAX_PEER_PROTOCOLS, MAX_PROTOCOL_CHARACTERS } from './limits.ts'
import { muxers } from './muxers.ts'
import { quietLogger } from './quiet-logger.ts'
import { encrypters } from './security.ts'

async function newNode (context: TestContext, options: Parameters<typeof createLibp2p>[0] = {}): Promise<Libp2p> {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    logger: quietLogger,
    transports: [tcp()],
    connectionEncrypters: encrypters(),
    streamMuxers: muxers(),
    connectionMonitor: { enabled: false },
    services: { identify: identify() },
    ...options
  })
  context.after(async () => { await node.stop() })
  return node
}

/** Says in ten messages of 8 KiB that it speaks 1,800 protocols, some with endless names: as much as identify carries. */
async function newBoaster (context: TestContext): Promise<Libp2p> {
  const privateKey = await generateKeyPair('Ed25519')
  const key = publicKeyToProtobuf(privateKey.publicKey)
  const node = await newNode(context, { privateKey, services: {} })
  await node.handle('/ipfs/id/1.0.0', (stream) => {
    for (let index = 0; index < 10; index++) {
      const names = Array.from({ length: 180 }, (_, at) => `/boast/${index}/${at}/`.padEnd(at === 0 ? 300 : 35, 'o'))
      stream.send(frame(Buffer.concat([varints(0x0a, key.byteLength), key, ...names.flatMap((name) => [varints(0x1a, name.length), Buffer.from(name)])])))
    }
    void stream.close()
  })
  return node
}

function varints (first: number, second: number): Uint8Array {
  return Uint8Array.of(first, ...(second < 0x80 ? [second] : [second & 0x7f | 0x80, second >> 7]))
}

test('T2.2-a: of what a peer says of itself a bounded part is stored', async (context) => {
  const ours = await newNode(context, { datastore: new AddressBookStore() })
  const boaster = await newBoaster(context)
  const identified = Promise.withResolvers<number>()
  ours.addEventListener('peer:identify', ({ detail }) => { identified.resolve(detail.protocols.length) })
  await ours.dial(boaster.getMultiaddrs())
  assert.ok(await identified.promise > 1_000, 'the peer did boast')
  const { protocols } = await ours.peerStore.get(boaster.peerId)
  assert.equal(protocols.length, MAX_PEER_PROTOCOLS)
  assert.ok(protocols.every(({ length }) => length <= MAX_PROTOCOL_CHARACTERS))
})

test('T2.2-a: a host shows a bounded part of it', async (context) => {
  const host = await newHost(context)
  const boaster = await newBoaster(context)
  await boaster.dial(multiaddr(addressOf(host)))
  await until(() => (host.peers()[0]?.protocols.length ?? 0) > 0)
  const [shown] = host.peers()
  assert.ok(shown !== undefined && shown.protocols.length <= MAX_PEER_PROTOCOLS && shown.protocols.every(({ length }) => length <= MAX_PROTOCOL_CHARACTERS))
})

test('of the addresses of a peer the signed ones are kept first, up to the limits, and the rest of the row is whole', async (context) => {
  const { peerStore } = await newNode(context, { datastore: new AddressBookStore() })
  const id = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
  const signed = multiaddr('/ip4/203.0.113.9/tcp/4001')
  await peerStore.merge(id, { addresses: [{ multiaddr: signed, isCertified: true }], tags: { mine: { value: 7 } }, metadata: { AgentVersion: Buffer.from('boast/1') } })
  await peerStore.merge(id, { multiaddrs: Array.from({ length: 100 }, (_, index) => multiaddr(`/ip4/192.0.2.${index}/tcp/1`)) })
  await peerStore.merge(id, { multiaddrs: [multiaddr(`/dns4/${'long.'.repeat(60)}example/tcp/1`)], metadata: { Story: Buffer.alloc(2 * MAX_PEER_METADATA_BYTES) } })
  const { addresses, tags, metadata } = await peerStore.get(id)
  assert.equal(addresses.length, MAX_PEER_ADDRESSES)
  assert.ok(addresses.every((address) => address.multiaddr.bytes.byteLength <= MAX_ADDRESS_BYTES))
  assert.ok(addresses.some((address) => address.isCertified && address.multiaddr.equals(signed)))
  assert.equal(tags.get('mine')?.value, 7)
  assert.equal(Buffer.from(metadata.get('AgentVersion') ?? []).toString(), 'boast/1')
  assert.equal(metadata.has('Story'), false)
})

test('T2.2-b: of a hundred thousand peers ten thousand are remembered, and those that are connected always', async () => {
  const store = new AddressBookStore()
  const connected = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
  const row = Uint8Array.of(8 << 3, 1)
  store.keep(connected)
  await store.put(new Key(`/peers/${connected.toCID().toString()}`), row)
  for (let index = 0; index < 100_000; index++) await store.put(new Key(`/peers/stranger${index}`), row)
  assert.equal(store.peerCount, MAX_KNOWN_PEERS)
  assert.equal(store.has(new Key(`/peers/${connected.toCID().toString()}`)), true)
  assert.equal(store.has(new Key('/peers/stranger99999')), true)
  assert.equal(store.has(new Key('/peers/stranger1')), false)
  store.release(connected)
  for (let index = 0; index < MAX_KNOWN_PEERS; index++) await store.put(new Key(`/peers/later${index}`), row)
  assert.equal(store.has(new Key(`/peers/${connected.toCID().toString()}`)), false)
})

test('a row that is no row is refused, and does not get in', async () => {
  const store = new AddressBookStore()
  await assert.rejects(store.put(new Key('/peers/a'), Uint8Array.of(0xff)))
  assert.equal(store.peerCount, 0)
})
