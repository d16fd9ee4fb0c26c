import { isErrorCode } from '@holdfast/core'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { Libp2p } from '@libp2p/interface'
import { type KadDHT, kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { peerIdFromMultihash, peerIdFromPrivateKey, peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { CID } from 'multiformats/cid'
import * as raw from 'multiformats/codecs/raw'
import * as Digest from 'multiformats/hashes/digest'
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import { addressOf, newHost, readAll, until } from '../../test/harness.ts'
import { newKadNode } from '../../test/kad-node.ts'
import type { NetworkHost, NetworkOptions } from '../network-options.ts'
import { quietLogger } from '../quiet-logger.ts'
import { encrypters } from '../security.ts'
import { standardYamux } from '../muxers.ts'
import { DHT_MESSAGE, decodeDhtMessage, type DhtMessage, encodeDhtMessage, frame, MAX_DHT_REQUEST_BYTES } from './dht-message.ts'
import type { FoundProvider } from './dht-routing.ts'
import { LAN_KAD } from './kad-networks.ts'
import { MessageFrames } from './message-frames.ts'

function keyOf (text: string): Uint8Array {
  return Buffer.concat([Uint8Array.of(0x12, 0x20), createHash('sha256').update(text).digest()])
}

async function newServer (context: TestContext, options: Partial<NetworkOptions> = {}): Promise<NetworkHost> {
  return await newHost(context, { dht: 'server', ...options })
}

/** Servers in a line: each knows the one before only. */
async function newLine (context: TestContext, count: number): Promise<NetworkHost[]> {
  const hosts: NetworkHost[] = []
  for (let index = 0; index < count; index++) {
    const host = await newServer(context)
    const before = hosts.at(-1)
    if (before !== undefined) {
      await join(host, before)
      await until(() => before.routing.isReady)
    }
    hosts.push(host)
  }
  return hosts
}

/** Connects and waits until each knows what the other speaks. */
async function join (host: NetworkHost, server: NetworkHost): Promise<void> {
  await host.connect(addressOf(server))
  await until(() => host.routing.isReady)
}

async function findAll (host: NetworkHost, key: Uint8Array): Promise<FoundProvider[]> {
  return await Array.fromAsync(host.routing.findProviders(key))
}

/** A libp2p as others build it, without any of our code in its DHT. */
async function newStockServer (context: TestContext, options: { peerStore?: { maxPeerAge?: number, maxAddressAge?: number } } = {}): Promise<Libp2p<{ dht: KadDHT }>> {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    logger: quietLogger,
    transports: [tcp()],
    connectionEncrypters: encrypters(),
    streamMuxers: [standardYamux],
    connectionMonitor: { enabled: false },
    ...options,
    services: { identify: identify(), ping: ping(), dht: kadDHT({ protocol: LAN_KAD, clientMode: false, peerInfoMapper: passthroughMapper, allowQueryWithZeroPeers: true }) }
  })
  context.after(async () => { await node.stop() })
  return node
}

test('clients of different servers find each other by a key alone, loopback addresses and all', async (context) => {
  const servers = await newLine(context, 4)
  const [first, last] = [servers[0], servers[3]]
  assert.ok(first !== undefined && last !== undefined)
  const [holder, seeker] = [await newHost(context, { dht: 'client' }), await newHost(context, { dht: 'client' })]
  await join(holder, first)
  await join(seeker, last)

  const key = keyOf('a file')
  const { acceptedCount, failures } = await holder.routing.provide(key)
  assert.deepEqual(failures, [])
  assert.ok(acceptedCount >= 1, `${acceptedCount} accepted`)
  // Servers learn of one another as they are asked: a young network may take more than one walk.
  let [found] = await findAll(seeker, key)
  for (let walks = 0; found === undefined && walks < 20; walks++) {
    await holder.routing.provide(key)
    found = (await findAll(seeker, key))[0]
  }
  assert.equal(found?.peer, holder.peer)
  assert.deepEqual(found?.addresses.map((address) => `${address}/p2p/${holder.peer}`), holder.addresses())
  assert.equal(await seeker.connect(holder.peer), holder.peer)
  assert.deepEqual(await findAll(seeker, keyOf('another file')), [])
})

test('a record is taken by every server that is near, and each says so', async (context) => {
  const hub = await newServer(context)
  for (let count = 0; count < 4; count++) await join(await newServer(context), hub)
  // A server is taken into the table when it has answered.
  let acceptedCount = 0
  for (let round = 0; round < 50 && acceptedCount < 4; round++) acceptedCount = (await hub.routing.provide(keyOf('x'))).acceptedCount
  assert.equal(acceptedCount, 4)
})

test('a provider of any hash is found', async (context) => {
  const [server, holder, seeker] = [await newServer(context), await newHost(context, { dht: 'client' }), await newHost(context, { dht: 'client' })]
  await join(holder, server)
  await join(seeker, server)
  for (const key of [Buffer.concat([Uint8Array.of(0x1e, 32), new Uint8Array(32).fill(1)]), Buffer.concat([Uint8Array.of(0x13, 64), new Uint8Array(64).fill(2)])]) {
    assert.deepEqual(await holder.routing.provide(key), { acceptedCount: 1, failures: [] })
    assert.equal((await findAll(seeker, key))[0]?.peer, holder.peer)
  }
})

test('a server that asks itself finds what was left with it, but not itself', async (context) => {
  const [server, holder] = [await newServer(context), await newHost(context, { dht: 'client' })]
  await join(holder, server)
  await holder.routing.provide(keyOf('x'))
  await join(await newServer(context), server)
  await until(() => server.routing.isReady)
  await server.routing.provide(keyOf('x'))
  assert.deepEqual((await findAll(server, keyOf('x'))).map(({ peer }) => peer), [holder.peer])
  assert.deepEqual((await findAll(holder, keyOf('x'))).map(({ peer }) => peer), [server.peer])
})

test('nobody to ask is an answer with a reason, not a wait without end', async (context) => {
  const host = await newServer(context)
  assert.equal(host.routing.isReady, false)
  const ask = async (): Promise<void> => {
    const { acceptedCount, failures } = await host.routing.provide(keyOf('x'))
    assert.equal(acceptedCount, 0)
    assert.match(failures.join(), /No DHT server/)
    assert.deepEqual(await findAll(host, keyOf('x')), [])
    assert.equal(await host.routing.findPeer('12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE'), undefined)
  }
  await ask()
  const startMs = performance.now()
  await ask()
  assert.ok(performance.now() - startMs < 500, 'a node that is up for a while does not wait')
})

test('a search that starts before the first peer is there finds all the same', async (context) => {
  const [server, holder, seeker] = [await newServer(context), await newHost(context, { dht: 'client' }), await newHost(context, { dht: 'client' })]
  await join(holder, server)
  await holder.routing.provide(keyOf('x'))
  const finding = findAll(seeker, keyOf('x'))
  await seeker.connect(addressOf(server))
  assert.equal((await finding)[0]?.peer, holder.peer)
})

test('an aborted search and an aborted provide reject with the reason given', async (context) => {
  const host = await newServer(context)
  const reason = new Error('changed my mind')
  const controller = new AbortController()
  setTimeout(() => { controller.abort(reason) }, 100)
  const { signal } = controller
  await Promise.all([
    assert.rejects(Array.fromAsync(host.routing.findProviders(keyOf('x'), { signal })), (err) => err === reason),
    assert.rejects(host.routing.provide(keyOf('x'), { signal }), (err) => err === reason)
  ])
})

test('a key that is no multihash is INVALID', async (context) => {
  const host = await newServer(context)
  await assert.rejects(host.routing.provide(Uint8Array.of(1, 2, 3)), (err) => isErrorCode(err, 'INVALID'))
  await assert.rejects(findAll(host, Uint8Array.of(1, 2, 3)), (err) => isErrorCode(err, 'INVALID'))
})

test('a peer is found by its id', async (context) => {
  const servers = await newLine(context, 3)
  const [first, , last] = servers
  assert.ok(first !== undefined && last !== undefined)
  await until(() => last.routing.isReady)
  const found = await first.routing.findPeer(last.peer)
  assert.deepEqual(found?.addresses.map((address) => `${address}/p2p/${last.peer}`), last.addresses())
})

test('trap 8: of 500 records announced at once none that was sent is lost', async (context) => {
  const hub = await newServer(context)
  const servers = [hub]
  for (let count = 0; count < 4; count++) {
    const server = await newServer(context)
    await join(server, hub)
    servers.push(server)
  }
  const holder = await newHost(context, { dht: 'client' })
  for (const server of servers) await join(holder, server)
  let warmCount = 0
  for (let round = 0; round < 50 && warmCount < 5; round++) warmCount = (await holder.routing.provide(keyOf('warm'))).acceptedCount
  // Four times as many as walk at once: more make the test longer, not harder.
  const keys = Array.from({ length: 100 }, (_, index) => keyOf(String(index)))
  const results = await Promise.all(keys.map(async (key) => await holder.routing.provide(key)))
  assert.deepEqual(results.flatMap(({ failures }) => failures), [])
  const acceptedCount = results.reduce((sum, result) => sum + result.acceptedCount, 0)
  context.diagnostic(`${acceptedCount} were accepted`)
  // All 500 where the machine keeps up. Where it does not, the library gives up servers that answer late, and walks do not name them; with its own limits four of five were lost.
  assert.ok(acceptedCount >= 250, `${acceptedCount} were accepted`)
})

/** Forgets a peer 1.5 s after it heard of it last; ordinary nodes after 6 h, and records live 48 h. */
const FORGETFUL = { peerStore: { maxPeerAge: 1_500, maxAddressAge: 1_500 } }

/** Leaves a record with a server, goes away, and waits until the server has forgotten who that was. */
async function provideAndLeave (context: TestContext, server: Libp2p): Promise<{ peer: string, addresses: string[] }> {
  const holder = await newHost(context, { dht: 'client' })
  await holder.connect(String(server.getMultiaddrs()[0]))
  await until(() => holder.routing.isReady)
  assert.deepEqual(await holder.routing.provide(keyOf('x')), { acceptedCount: 1, failures: [] })
  const left = { peer: holder.peer, addresses: holder.addresses() }
  await holder[Symbol.asyncDispose]()
  const id = peerIdFromString(holder.peer)
  let isKnown = true
  await until(() => { void server.peerStore.has(id).then((has) => { isKnown = has }); return !isKnown }, 60_000)
  return left
}

/** Asks one server for the providers of `x`. */
async function askForProviders (context: TestContext, server: Libp2p): Promise<DhtMessage | 'reset'> {
  const peer = await newHost(context)
  await peer.connect(String(server.getMultiaddrs()[0]))
  await using stream = await peer.openStream(server.peerId.toString(), [LAN_KAD])
  await stream.write([frame(encodeDhtMessage({ type: DHT_MESSAGE.getProviders, key: keyOf('x'), closer: [], providers: [] }))])
  const frames = new MessageFrames(1 << 20)
  try {
    for await (const bytes of stream.read()) for (const message of frames.push(bytes)) return decodeDhtMessage(message)
  } catch {}
  return 'reset'
}

test('trap 7: a provider that was forgotten long ago is still named with its addresses, and closer peers with it', async (context) => {
  const { node, network } = await newKadNode(context, FORGETFUL)
  const { peer, addresses } = await provideAndLeave(context, node)
  const other = await newServer(context)
  await other.connect(String(node.getMultiaddrs()[0]))
  await until(() => network.serverCount() === 1)

  const answer = await askForProviders(context, node)
  assert.ok(answer !== 'reset')
  assert.deepEqual(answer.providers.map(({ id }) => peerIdFromMultihash(Digest.decode(id)).toString()), [peer])
  assert.deepEqual(answer.providers[0]?.addresses.map((address) => `${multiaddr(address)}/p2p/${peer}`), addresses)
  assert.deepEqual(answer.closer.map(({ id }) => peerIdFromMultihash(Digest.decode(id)).toString()), [other.peer])
})

test('trap 7, as it is: the library resets the question once it has forgotten a provider', async (context) => {
  // The reason why records and answers are ours. Should this fail, the library has learnt to answer.
  const stock = await newStockServer(context, FORGETFUL)
  await provideAndLeave(context, stock)
  assert.equal(await askForProviders(context, stock), 'reset')
})

test('servers of stock libp2p take our records and answer us', async (context) => {
  const stock = await newStockServer(context)
  const [holder, seeker] = [await newHost(context, { dht: 'client' }), await newHost(context, { dht: 'client' })]
  for (const host of [holder, seeker]) {
    await host.connect(stock.getMultiaddrs().map(String)[0] ?? '')
    await until(() => host.routing.isReady)
  }
  assert.deepEqual(await holder.routing.provide(keyOf('x')), { acceptedCount: 1, failures: [] })
  const [found] = await findAll(seeker, keyOf('x'))
  assert.equal(found?.peer, holder.peer)
  assert.deepEqual(found?.addresses.map((address) => `${address}/p2p/${holder.peer}`), holder.addresses())
})

test('stock libp2p leaves records with us and finds them', async (context) => {
  const server = await newServer(context)
  const [holder, seeker] = [await newStockServer(context), await newStockServer(context)]
  for (const node of [holder, seeker]) await node.dial(multiaddr(addressOf(server)))
  await until(() => server.peers().filter(({ protocols }) => protocols.includes(LAN_KAD)).length === 2)
  const cid = CID.createV1(raw.code, Digest.decode(keyOf('x')))
  for await (const _ of holder.services.dht.provide(cid));
  // The library does not say when a record has arrived.
  await until(() => server.traffic().byProtocol[LAN_KAD] !== undefined)
  const found = new Set<string>()
  await until(() => { void search(); return found.has(holder.peerId.toString()) })

  async function search (): Promise<void> {
    for await (const event of seeker.services.dht.findProviders(cid)) {
      if (event.name === 'PROVIDER') for (const { id } of event.providers) found.add(id.toString())
    }
  }
})

/** Sends bytes to the DHT of `server` and gives what it answers, until it ends the stream. */
async function tell (context: TestContext, server: NetworkHost, bytes: Uint8Array): Promise<{ answers: number[], isReset: boolean }> {
  const peer = await newHost(context)
  await peer.connect(addressOf(server))
  await using stream = await peer.openStream(server.peer, [LAN_KAD])
  await stream.write([bytes])
  await stream.closeWrite()
  const frames = new MessageFrames(1 << 20)
  try {
    return { answers: [...frames.push(await readAll(stream.read()))].map((message) => decodeDhtMessage(message).type), isReset: false }
  } catch {
    return { answers: [], isReset: true }
  }
}

test('T2.3-d: a peer announces itself only', async (context) => {
  const server = await newServer(context)
  const other = peerIdFromPrivateKey(await generateKeyPair('Ed25519')).toMultihash().bytes
  const forged = encodeDhtMessage({ type: DHT_MESSAGE.addProvider, key: keyOf('x'), closer: [], providers: [{ id: other, addresses: [multiaddr('/ip4/192.0.2.1/tcp/1').bytes] }] })
  await tell(context, server, frame(forged))
  await join(await newServer(context), server)
  await until(() => server.routing.isReady)
  assert.deepEqual(await findAll(server, keyOf('x')), [])
})

for (const [what, bytes] of [
  ['longer than a request may be', Buffer.concat([Uint8Array.of(0x81, 0x80, 0x04), new Uint8Array(MAX_DHT_REQUEST_BYTES + 1)])],
  ['made of empty entries', frame(new Uint8Array(MAX_DHT_REQUEST_BYTES).map((_, index) => index % 2 === 0 ? 0x63 : 0))],
  ['no protobuf', frame(new Uint8Array(100).fill(0xff))],
  ['a record for what is no multihash', frame(encodeDhtMessage({ type: DHT_MESSAGE.addProvider, key: Uint8Array.of(1), closer: [], providers: [] }))]
] as const) {
  test(`a request that is ${what} is answered by no other than its own stream`, async (context) => {
    const server = await newServer(context)
    const outcome = await tell(context, server, bytes)
    assert.deepEqual(outcome.answers, [])
    const ping = frame(encodeDhtMessage({ type: DHT_MESSAGE.ping, closer: [], providers: [] }))
    assert.deepEqual((await askOnce(context, server, ping)), DHT_MESSAGE.ping)
  })
}

/** The type of the first answer to a question, with our side left open. */
async function askOnce (context: TestContext, server: NetworkHost, question: Uint8Array): Promise<number | undefined> {
  const peer = await newHost(context)
  await peer.connect(addressOf(server))
  await using stream = await peer.openStream(server.peer, [LAN_KAD])
  await stream.write([question])
  const frames = new MessageFrames(1 << 20)
  for await (const bytes of stream.read()) {
    for (const message of frames.push(bytes)) return decodeDhtMessage(message).type
  }
  return undefined
}

for (const [name, type] of Object.entries(DHT_MESSAGE)) {
  if (type === DHT_MESSAGE.addProvider || type === DHT_MESSAGE.putValue || type === DHT_MESSAGE.getValue) continue
  test(`${name} is answered in kind`, async (context) => {
    const server = await newServer(context)
    assert.equal(await askOnce(context, server, frame(encodeDhtMessage({ type, key: keyOf('x'), closer: [], providers: [] }))), type)
  })
}

test('an answer of a server is read with limits', async (context) => {
  const [liar, seeker] = [await newHost(context), await newHost(context, { dht: 'client' })]
  const id = peerIdFromPrivateKey(await generateKeyPair('Ed25519')).toMultihash().bytes
  const provider = { id, addresses: [Uint8Array.of(0xff, 0xff, 3), multiaddr('/ip4/192.0.2.1/tcp/1').bytes] }
  await liar.handle([LAN_KAD], async (stream) => {
    const frames = new MessageFrames(MAX_DHT_REQUEST_BYTES)
    for await (const bytes of stream.read()) {
      for (const question of frames.push(bytes)) {
        const { type } = decodeDhtMessage(question)
        await stream.write([frame(encodeDhtMessage({ type, closer: [], providers: type === DHT_MESSAGE.getProviders ? Array.from({ length: 5000 }, () => provider) : [] }))])
      }
    }
  })
  await join(seeker, liar)
  const found = await findAll(seeker, keyOf('x'))
  assert.equal(found.length, 1)
  assert.deepEqual(found[0]?.addresses, ['/ip4/192.0.2.1/tcp/1'])
})
