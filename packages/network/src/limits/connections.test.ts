import { silentLogger } from '@holdfast/core'
import { identify } from '@libp2p/identify'
import type { Connection, Libp2p } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { addressOf, newHost, until } from '../../test/harness.ts'
import { AddressBookStore } from '../address-book-store.ts'
import { Libp2pHost } from '../libp2p-host.ts'
import { HANDSHAKE_TIMEOUT_MS, MAX_CONNECTIONS, MAX_INBOUND_CONNECTIONS, MAX_INBOUND_PER_GROUP, MAX_INBOUND_PER_PEER, MAX_INBOUND_STREAMS, MAX_PENDING_HANDSHAKES, MAX_PENDING_PER_GROUP, OUTBOUND_RESERVE } from '../limits.ts'
import { muxers } from '../muxers.ts'
import { quietLogger } from '../quiet-logger.ts'
import { encrypters } from '../security.ts'
import { TrafficBook } from '../traffic.ts'
import { tcpTransport } from '../transport.ts'
import { ByteLedger } from './byte-ledger.ts'
import { ConnectionMeters } from './connection-meters.ts'
import { Doorkeeper, type DoorLimits } from './doorkeeper.ts'
import { NO_LIBRARY_LIMITS, watchConnections } from './guards.ts'

interface Guarded {
  readonly host: Libp2pHost
  readonly node: Libp2p
  readonly doorkeeper: Doorkeeper
  readonly address: string
  readonly port: number
  readonly tagged: Set<string>
}

/** A node with our door in front of it, and limits that a test can reach. */
async function newGuarded (context: TestContext, limits: Partial<DoorLimits> & { limitLoopback?: boolean } = {}): Promise<Guarded> {
  const traffic = new TrafficBook()
  const tagged = new Set<string>()
  const doorkeeper = new Doorkeeper({ log: silentLogger, traffic, isTagged: (peer) => tagged.has(peer) }, limits)
  const node = await newNode(context, { start: false, transports: [tcpTransport({ traffic, doorkeeper })], connectionManager: { ...NO_LIBRARY_LIMITS, inboundUpgradeTimeout: HANDSHAKE_TIMEOUT_MS } })
  const ledger = new ByteLedger(() => {})
  const meters = new ConnectionMeters(ledger, traffic)
  watchConnections(node, { doorkeeper, meters, addressBook: new AddressBookStore() })
  const host = new Libp2pHost({ node, log: silentLogger, traffic, guards: { doorkeeper, ledger, meters }, hasSwarmKey: false, reachability: () => ({ state: 'unknown', how: 'Not asked' }) })
  await node.start()
  const address = String(node.getMultiaddrs()[0])
  return { host, node, doorkeeper, address, port: Number(address.split('/')[4]), tagged }
}

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

/** Opens sockets that say nothing, and ends them with the test. */
function openSockets (context: TestContext, port: number, { count, from = '127.0.0.1' }: { count: number, from?: string }): Socket[] {
  const sockets = Array.from({ length: count }, () => connect({ port, host: '127.0.0.1', localAddress: from }).on('error', () => {}))
  context.after(() => { for (const socket of sockets) socket.destroy() })
  return sockets
}

async function untilSettled (sockets: readonly Socket[]): Promise<void> {
  await until(() => sockets.every(({ connecting }) => !connecting), 60_000)
}

function openCount (sockets: readonly Socket[]): number {
  return sockets.filter(({ readyState, connecting }) => readyState === 'open' && !connecting).length
}

test('the limits are those of the design: 600 connections, 64 of them ours to open', () => {
  assert.equal(MAX_CONNECTIONS, 600)
  assert.equal(OUTBOUND_RESERVE, 64)
  assert.equal(MAX_INBOUND_CONNECTIONS, 536)
})

test('T2.1-a: a thousand silent connections cost little and keep no honest peer out', async (context) => {
  const server = await newHost(context)
  const port = Number(addressOf(server).split('/')[4])
  const beforeBytes = process.memoryUsage().rss
  const sockets: Socket[] = []
  for (let round = 0; round < 5; round++) {
    sockets.push(...openSockets(context, port, { count: 200 }))
    const honest = await newHost(context, { listen: [] })
    const startMs = performance.now()
    await honest.connect(addressOf(server))
    assert.ok(performance.now() - startMs < 2_000, `round ${round} took ${performance.now() - startMs} ms`)
  }
  await untilSettled(sockets)
  await until(() => openCount(sockets) <= MAX_PENDING_HANDSHAKES, 60_000)
  assert.ok(process.memoryUsage().rss - beforeBytes < 64 << 20, `${process.memoryUsage().rss - beforeBytes} bytes more`)
  await until(() => server.peers().length === 5)
})

test('T2.1-b: a handshake of a byte per second is cut off at its deadline', async (context) => {
  const { port } = await newGuarded(context)
  const [socket] = openSockets(context, port, { count: 1 })
  assert.ok(socket !== undefined)
  const greeting = Buffer.from('\x13/multistream/1.0.0\n')
  let sentCount = 0
  const startMs = performance.now()
  const dripping = setInterval(() => { socket.write(greeting.subarray(sentCount, ++sentCount)) }, 1_000)
  context.after(() => { clearInterval(dripping) })
  await until(() => socket.destroyed, 2 * HANDSHAKE_TIMEOUT_MS)
  const tookMs = performance.now() - startMs
  assert.ok(tookMs > HANDSHAKE_TIMEOUT_MS - 1_000 && tookMs < HANDSHAKE_TIMEOUT_MS + 2_000, `${tookMs} ms`)
  assert.ok(sentCount > 5)
})

test('T2.1-f: after a burst the bound of pending handshakes still holds', async (context) => {
  const { port, doorkeeper } = await newGuarded(context, { maxPending: 20 })
  let mostCount = 0
  for (let round = 0; round < 3; round++) {
    const sockets = openSockets(context, port, { count: 100 })
    await untilSettled(sockets)
    await until(() => openCount(sockets) <= 20)
    mostCount = Math.max(mostCount, doorkeeper.pendingCount)
    assert.ok(doorkeeper.pendingCount <= 20, `${doorkeeper.pendingCount} pending`)
    if (round === 1) for (const socket of sockets) socket.destroy()
  }
  assert.equal(mostCount, 20)
})

test('silent connections of one network take no more than its share of the pending handshakes', async (context) => {
  const { port, doorkeeper } = await newGuarded(context, { limitLoopback: true })
  const other = openSockets(context, port, { count: 3, from: '127.1.0.1' })
  await untilSettled(other)
  const sockets = ['127.0.0.2', '127.0.0.3', '127.0.0.4'].flatMap((from) => openSockets(context, port, { count: 20, from }))
  await untilSettled(sockets)
  await until(() => openCount(sockets) === MAX_PENDING_PER_GROUP)
  assert.equal(openCount(other), 3)
  assert.equal(doorkeeper.pendingCount, MAX_PENDING_PER_GROUP + 3)
})

test('of one network eight are let in, and we may still dial it', async (context) => {
  const server = await newHost(context, { limitLoopback: true })
  for (let count = 0; count < MAX_INBOUND_PER_GROUP; count++) await (await newHost(context, { listen: [] })).connect(addressOf(server))
  await until(() => server.peers().length === MAX_INBOUND_PER_GROUP)
  const ninth = await newHost(context)
  await assert.rejects(ninth.connect(addressOf(server)))
  assert.equal(server.peers().length, MAX_INBOUND_PER_GROUP)
  await server.connect(addressOf(ninth))
  assert.equal(server.peers().length, MAX_INBOUND_PER_GROUP + 1)
})

test('loopback has no bound of its own unless it is asked for', async (context) => {
  const { node, address } = await newGuarded(context)
  for (let count = 0; count <= MAX_INBOUND_PER_GROUP; count++) await (await newNode(context)).dial(multiaddr(address))
  await until(() => node.getConnections().length === MAX_INBOUND_PER_GROUP + 1)
})

/** Connects strangers one after the other, and gives each its connection. */
async function connectStrangers (context: TestContext, { node, address }: Guarded, count: number): Promise<Connection[]> {
  const made: Connection[] = []
  for (let index = 0; index < count; index++) {
    const stranger = await newNode(context)
    made.push(await stranger.dial(multiaddr(address)))
    await until(() => node.getConnections(stranger.peerId).length === 1)
    // The order of age is in milliseconds.
    const startMs = Date.now()
    await until(() => Date.now() > startMs)
  }
  return made
}

test('of the connections that one peer opens the newest four live, and those that we opened to it', async (context) => {
  const guarded = await newGuarded(context)
  const [stranger, other] = [await newNode(context), await newNode(context)]
  const bystander = await other.dial(multiaddr(guarded.address))
  const ours = await guarded.node.dial(stranger.getMultiaddrs())
  const dialled: Connection[] = []
  for (let count = 0; count < MAX_INBOUND_PER_PEER + 3; count++) {
    dialled.push(await stranger.dial(multiaddr(guarded.address), { force: true }))
    await until(() => guarded.doorkeeper.connectionCount === 2 + Math.min(count + 1, MAX_INBOUND_PER_PEER))
  }
  await until(() => dialled.filter(({ status }) => status === 'open').length === MAX_INBOUND_PER_PEER)
  assert.ok(dialled.slice(-MAX_INBOUND_PER_PEER).every(({ status }) => status === 'open'))
  assert.deepEqual([ours.status, bystander.status], ['open', 'open'])
})

test('T2.1-e: with all places taken by idle strangers a dial of ours succeeds', async (context) => {
  const guarded = await newGuarded(context, { maxConnections: 6, maxInbound: 4 })
  await connectStrangers(context, guarded, 6)
  assert.equal(guarded.node.getConnections().length, 4, 'strangers never take what is kept for us')
  for (let count = 0; count < 4; count++) {
    const connection = await guarded.node.dial((await newNode(context)).getMultiaddrs())
    assert.equal(connection.status, 'open')
    assert.ok(guarded.node.getConnections().length <= 6)
  }
  assert.equal(guarded.node.getConnections().filter(({ direction }) => direction === 'outbound').length, 4)
})

test('a stranger who finished a handshake takes the place of one who is of no use', async (context) => {
  const guarded = await newGuarded(context, { maxConnections: 10, maxInbound: 4 })
  const [idle, tagged, wanted, busy] = await connectStrangers(context, guarded, 4)
  assert.ok(idle !== undefined && tagged !== undefined && wanted !== undefined && busy !== undefined)
  const dialler = (connection: Connection): string => guarded.node.getConnections().find(({ remoteAddr }) => remoteAddr.toString().includes(`/tcp/${localPortOf(connection)}/`))?.remotePeer.toString() ?? ''
  guarded.tagged.add(dialler(tagged))
  guarded.doorkeeper.protect(dialler(wanted))
  await guarded.node.handle('/holdfast/test/1.0.0', () => {})
  await busy.newStream('/holdfast/test/1.0.0')
  await until(() => guarded.node.getConnections().some(({ streams }) => streams.some(({ protocol }) => protocol === '/holdfast/test/1.0.0')))

  const [newcomer] = await connectStrangers(context, guarded, 1)
  assert.equal(newcomer?.status, 'open')
  await until(() => idle.status !== 'open')
  assert.deepEqual([tagged, wanted, busy].map(({ status }) => status), ['open', 'open', 'open'])
  assert.equal(guarded.doorkeeper.connectionCount, 4)
})

test('where nobody may go for a stranger the stranger goes', async (context) => {
  const guarded = await newGuarded(context, { maxConnections: 10, maxInbound: 2 })
  const wanted = await connectStrangers(context, guarded, 2)
  for (const peer of guarded.node.getPeers()) guarded.doorkeeper.protect(peer.toString())
  const newcomer = await (await newNode(context)).dial(multiaddr(guarded.address)).catch(() => undefined)
  await until(() => newcomer?.status !== 'open')
  assert.deepEqual(wanted.map(({ status }) => status), ['open', 'open'])
})

test('protection lasts until it was given back as often as it was asked for', async (context) => {
  const guarded = await newGuarded(context, { maxConnections: 10, maxInbound: 1 })
  const [first] = await connectStrangers(context, guarded, 1)
  const peer = String(guarded.node.getPeers()[0])
  const [one, other] = [guarded.doorkeeper.protect(peer), guarded.doorkeeper.protect(peer)]
  one[Symbol.dispose]()
  one[Symbol.dispose]()
  await (await newNode(context)).dial(multiaddr(guarded.address)).catch(() => {})
  assert.equal(first?.status, 'open')
  other[Symbol.dispose]()
  await connectStrangers(context, guarded, 1)
  await until(() => first?.status !== 'open')
})

test('a peer that was connected by hand stays, also when it had connected by itself before', async (context) => {
  const guarded = await newGuarded(context, { maxConnections: 10, maxInbound: 1 })
  const friend = await newNode(context)
  const connection = await friend.dial(multiaddr(guarded.address))
  await until(() => guarded.node.getConnections(friend.peerId).length === 1)
  await guarded.host.connect(String(friend.getMultiaddrs()[0]))
  await (await newNode(context)).dial(multiaddr(guarded.address)).catch(() => {})
  await until(() => guarded.doorkeeper.connectionCount <= 2)
  assert.equal(connection.status, 'open')

  await guarded.host.disconnect(friend.peerId.toString())
  await until(() => guarded.node.getConnections(friend.peerId).length === 0 && friend.getConnections().length === 0)
  const again = await friend.dial(multiaddr(guarded.address))
  await until(() => guarded.node.getConnections(friend.peerId).length === 1)
  await connectStrangers(context, guarded, 1)
  await until(() => again.status !== 'open')
})

test('T2.1-c: of the streams that a peer opens exactly so many live as are allowed', async (context) => {
  const guarded = await newGuarded(context)
  await guarded.host.handle(['/holdfast/test/1.0.0'], async (stream) => { for await (const _ of stream.read()) { /* Stays open. */ } }, { maxInboundStreams: 2 * MAX_INBOUND_STREAMS })
  const stranger = await newNode(context)
  const connection = await stranger.dial(multiaddr(guarded.address))
  const opened = await Promise.allSettled(Array.from({ length: MAX_INBOUND_STREAMS + 50 }, async () => await connection.newStream('/holdfast/test/1.0.0', { maxOutboundStreams: 1_000, signal: AbortSignal.timeout(10_000) })))
  assert.ok(opened.some(({ status }) => status === 'rejected'))
  const [ours] = guarded.node.getConnections(stranger.peerId)
  assert.ok(ours !== undefined)
  await until(() => ours.streams.filter(({ direction }) => direction === 'inbound').length === MAX_INBOUND_STREAMS)
  assert.equal(ours.status, 'open')
})

/** The port from which a connection was dialled. */
function localPortOf (connection: Connection): number {
  const link: unknown = 'maConn' in connection ? connection.maConn : undefined
  const socket: unknown = typeof link === 'object' && link !== null && 'socket' in link ? link.socket : undefined
  assert.ok(typeof socket === 'object' && socket !== null && 'localPort' in socket && typeof socket.localPort === 'number')
  return socket.localPort
}
