import { isErrorCode, type Logger, silentLogger } from '@holdfast/core'
import type { Connection, Stream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { addressOf, newHost, readAll, until } from '../../test/harness.ts'
import type { PeerStream } from '../host.ts'
import { MAX_MEMBER_BYTES, MAX_PEER_BYTES } from '../limits.ts'
import { muxers } from '../muxers.ts'
import type { NetworkHost } from '../network-options.ts'
import { quietLogger } from '../quiet-logger.ts'
import { encrypters } from '../security.ts'
import { MAX_WINDOW_BYTES } from '../yamux/stream-window.ts'

const PROTOCOL = '/holdfast/test/bytes/1.0.0'
const MIB = 1 << 20

/** A logger that keeps its warnings. */
function noting (warnings: string[]): Logger {
  return { ...silentLogger, warn: (message, fields) => { warnings.push(`${message} ${String(fields?.['reason'])}`) } }
}

interface Pair {
  readonly client: NetworkHost
  readonly server: NetworkHost
  /** What the two logged. */
  readonly warnings: string[]
}

/** A client connected to a server that does `serve` with each stream. */
async function newPair (context: TestContext, serve: (stream: PeerStream) => Promise<void>): Promise<Pair> {
  const warnings: string[] = []
  const [client, server] = [await newHost(context, {}, { log: noting(warnings) }), await newHost(context, {}, { log: noting(warnings) })]
  await server.handle([PROTOCOL], serve, { maxInboundStreams: 64 })
  await client.connect(addressOf(server))
  await until(() => server.isConnected(client.peer))
  return { client, server, warnings }
}

/** Ends a handler with its test. */
function stalled (context: TestContext): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  context.after(() => { resolve() })
  return promise
}

async function pour (stream: PeerStream, byteLength: number): Promise<void> {
  for (let sent = 0; sent < byteLength; sent += MIB / 4) await stream.write([Buffer.alloc(MIB / 4)])
}

test('a peer that fills many streams to a reader that stalls is cut off, and others are not', async (context) => {
  const { client, server, warnings } = await newPair(context, async () => { await stalled(context) })
  const other = await newHost(context)
  await other.connect(addressOf(server))
  const streams = await Promise.all(Array.from({ length: 8 }, async () => await client.openStream(server.peer, [PROTOCOL])))
  // Four windows of 4 MiB are twice what a peer may have.
  const pouring = streams.map(async (stream) => { await assert.rejects(pour(stream, 16 * MIB), (err) => isErrorCode(err, 'UNAVAILABLE')) })
  await until(() => !server.isConnected(client.peer))
  assert.equal(warnings.length, 1)
  assert.match(String(warnings[0]), new RegExp(`${client.peer} would make this node hold more than ${MAX_PEER_BYTES} bytes`))
  await Promise.all(pouring)
  assert.equal(server.isConnected(other.peer), true)
  await client.connect(addressOf(server))
})

test('a full window in each direction to readers that stall is no reason to cut anybody off, and loses nothing', async (context) => {
  const total = 24 * MIB
  const reading = Promise.withResolvers<void>()
  const receivedByServer = Promise.withResolvers<number>()
  const { client, server, warnings } = await newPair(context, async (stream) => {
    const writing = pour(stream, total).then(async () => { await stream.closeWrite() })
    await reading.promise
    receivedByServer.resolve(await countOf(stream))
    await writing
  })
  await using stream = await client.openStream(server.peer, [PROTOCOL])
  const writing = pour(stream, total).then(async () => { await stream.closeWrite() })
  // Both sides write until the other's window is full, and nobody reads.
  let before = -1
  await until(() => {
    const { receivedBytes = 0, sentBytes = 0 } = server.traffic().byPeer[client.peer] ?? {}
    const isStill = receivedBytes > 4 * MIB && sentBytes > 4 * MIB && receivedBytes + sentBytes === before
    before = receivedBytes + sentBytes
    return isStill
  }, 60_000)
  reading.resolve()
  assert.equal(await countOf(stream), total)
  assert.equal(await receivedByServer.promise, total)
  await writing
  assert.deepEqual(warnings, [])
})

async function countOf (stream: PeerStream): Promise<number> {
  let count = 0
  for await (const { byteLength } of stream.read()) {
    count += byteLength
    // Slower than who sends.
    await new Promise(setImmediate)
  }
  return count
}

test('T2.1-d: what waits for a peer that never reads is bounded, over all of its streams', async (context) => {
  const warnings: string[] = []
  const writes: Array<Promise<void>> = []
  const server = await newHost(context, {}, { log: noting(warnings) })
  await server.handle([PROTOCOL], async (stream) => {
    // A part of this node that does not wait for its own writes.
    for (let count = 0; count < 3; count++) writes.push(stream.write([Buffer.alloc(MIB)]).catch(() => {}))
    await stalled(context)
  })
  const mute = await createLibp2p({ logger: quietLogger, transports: [tcp()], connectionEncrypters: encrypters(), streamMuxers: [yamux({ streamOptions: { maxStreamWindowSize: 256 << 10 } })], connectionMonitor: { enabled: false } })
  context.after(async () => { await mute.stop() })
  const connection = await mute.dial(multiaddr(addressOf(server)))
  // Each stream takes a window of 256 KiB, which never grows, and leaves it where it is; the rest waits at the server, on no stream as much as one may have.
  for (let count = 0; count < 8 && connection.status === 'open'; count++) await connection.newStream(PROTOCOL).catch(() => {})
  await until(() => connection.status !== 'open')
  await Promise.all(writes)
  assert.equal(warnings.length, 1)
  assert.match(String(warnings[0]), new RegExp(`${mute.peerId} would make this node hold more than ${MAX_PEER_BYTES} bytes`))
})

/** A peer that has our muxers and no protocols, and opens streams on which it can say anything. */
async function newRawPeer (context: TestContext, server: NetworkHost): Promise<{ peer: string, connection: Connection, openRaw: () => Promise<Stream> }> {
  const node = await createLibp2p({ logger: quietLogger, transports: [tcp()], connectionEncrypters: encrypters(), streamMuxers: muxers(), connectionMonitor: { enabled: false } })
  context.after(async () => { await node.stop() })
  const connection = await node.dial(multiaddr(addressOf(server)))
  const muxer: unknown = Reflect.get(connection, 'muxer')
  assert.ok(typeof muxer === 'object' && muxer !== null && 'createStream' in muxer && typeof muxer.createStream === 'function')
  const create = muxer.createStream.bind(muxer)
  return { peer: node.peerId.toString(), connection, openRaw: async () => await create({}) }
}

test('what comes on streams whose protocol is not agreed on counts, too', async (context) => {
  const warnings: string[] = []
  const server = await newHost(context, {}, { log: noting(warnings) })
  const { connection, openRaw } = await newRawPeer(context, server)
  // Proposals without an end, which the library reads one after the other, each with an answer.
  const proposal = Buffer.concat([Buffer.of(0x80, 0x08), Buffer.alloc(1023, '/x'), Buffer.from('\n')])
  const proposals = Buffer.concat([Buffer.from('\x13/multistream/1.0.0\n'), ...Array.from({ length: 3 * MIB / proposal.byteLength }, () => proposal)])
  for (let count = 0; count < 4 && connection.status === 'open'; count++) {
    const stream = await openRaw()
    for (let at = 0; at < proposals.byteLength; at += MIB / 4) stream.send(proposals.subarray(at, at + MIB / 4))
  }
  await until(() => connection.status !== 'open', 20_000)
  assert.match(String(warnings[0]), new RegExp(`would make this node hold more than ${MAX_PEER_BYTES} bytes`))
})

test('a frame that promises more than any window ends its connection before it is read', async (context) => {
  const server = await newHost(context)
  const { connection } = await newRawPeer(context, server)
  const link: unknown = Reflect.get(Object(Reflect.get(connection, 'muxer')), 'maConn')
  assert.ok(typeof link === 'object' && link !== null && 'send' in link && typeof link.send === 'function')
  link.send(Buffer.of(0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff))
  await until(() => connection.status !== 'open')
  assert.equal(server.peers().length, 0)
})

test('who may have more may fill a wider window while the reader stalls, and no more than that', async (context) => {
  const reading = Promise.withResolvers<void>()
  const { client, server, warnings } = await newPair(context, async (stream) => {
    const pieces = stream.read()[Symbol.asyncIterator]()
    await pieces.next()
    await reading.promise
    while ((await pieces.next()).done !== true) { /* Only read. */ }
  })
  const receivedBytes = (): number => server.traffic().byPeer[client.peer]?.receivedBytes ?? 0
  const untilStill = async (): Promise<number> => {
    let last = -1
    await until(() => {
      const isStill = receivedBytes() === last && last > 2 * MIB
      last = receivedBytes()
      return isStill
    }, 20_000)
    return last
  }
  const allowance = server.allowBytes(client.peer, MAX_PEER_BYTES + MAX_WINDOW_BYTES)
  await using stream = await client.openStream(server.peer, [PROTOCOL])
  const total = 64 * MIB
  const pouring = pour(stream, total).then(async () => { await stream.closeWrite() })
  const filledBytes = await untilStill()
  assert.ok(filledBytes > MAX_WINDOW_BYTES - MIB && filledBytes < MAX_WINDOW_BYTES + 2 * MIB, `${filledBytes} bytes came`)
  reading.resolve()
  await pouring
  allowance[Symbol.dispose]()
  assert.deepEqual(warnings, [])
  assert.equal(server.isConnected(client.peer), true)
})

test('a peer that is allowed more learns of it at once, on the streams that it uses', async (context) => {
  const server = await newHost(context)
  let receivedCount = 0
  await server.handle([PROTOCOL], async (stream) => {
    for await (const _ of stream.read()) receivedCount++
  }, { maxInboundStreams: 2 })
  const { connection, peer } = await newRawPeer(context, server)
  const [used, idle] = [await connection.newStream(PROTOCOL), await connection.newStream(PROTOCOL)]
  used.send(Buffer.alloc(1))
  await until(() => receivedCount === 1)
  using _allowance = server.allowBytes(peer, MAX_PEER_BYTES + MAX_WINDOW_BYTES)
  await until(() => windowOf(used) === MAX_WINDOW_BYTES)
  assert.ok(windowOf(idle) <= MAX_WINDOW_BYTES / 4, `${windowOf(idle)} bytes on a stream on which nothing ever came`)
})

/** Bytes that may be sent on a stream of yamux now. */
function windowOf (stream: Stream): number {
  return Number(Reflect.get(stream, 'sendWindowCapacity'))
}

test('what a package holds for a peer counts with what its streams hold', async (context) => {
  const { client, server, warnings } = await newPair(context, async () => { await stalled(context) })
  using held = server.holdBytes(client.peer)
  held.add(MAX_PEER_BYTES - 2 * MIB)
  assert.equal(server.isConnected(client.peer), true)
  await using stream = await client.openStream(server.peer, [PROTOCOL])
  await assert.rejects(pour(stream, 16 * MIB), (err) => isErrorCode(err, 'UNAVAILABLE'))
  await until(() => !server.isConnected(client.peer))
  assert.equal(warnings.length, 1)
})

test('a package that would hold too much for a peer is refused, and the peer cut off', async (context) => {
  const { client, server } = await newPair(context, async () => {})
  using held = server.holdBytes(client.peer)
  assert.throws(() => { held.add(MAX_PEER_BYTES + 1) }, (err) => isErrorCode(err, 'LIMIT'))
  await until(() => !server.isConnected(client.peer))
})

test('a member of the cluster may have more', async (context) => {
  const { client, server, warnings } = await newPair(context, async () => { await stalled(context) })
  using _allowance = server.allowBytes(client.peer, MAX_MEMBER_BYTES)
  using held = server.holdBytes(client.peer)
  held.add(MAX_PEER_BYTES + 16 * MIB)
  await using stream = await client.openStream(server.peer, [PROTOCOL])
  await pour(stream, 4 * MIB)
  assert.equal(server.isConnected(client.peer), true)
  assert.deepEqual(warnings, [])
})

test('many streams at full speed to one peer wait for it and are not cut off', async (context) => {
  const total = 8 * MIB
  const counts: number[] = []
  const { client, server, warnings } = await newPair(context, async (stream) => { counts.push((await readAll(stream.read())).byteLength) })
  const streams = await Promise.all(Array.from({ length: 16 }, async () => await client.openStream(server.peer, [PROTOCOL])))
  await Promise.all(streams.map(async (stream) => {
    await pour(stream, total)
    await stream.closeWrite()
  }))
  await until(() => counts.length === streams.length, 60_000)
  assert.deepEqual(counts, streams.map(() => total))
  assert.deepEqual(warnings, [])
})

test('when a peer is gone and all was given back its account is empty', async (context) => {
  const { client, server } = await newPair(context, async (stream) => { for await (const _ of stream.read()) break })
  for (let round = 0; round < 3; round++) {
    await using stream = await client.openStream(server.peer, [PROTOCOL])
    await pour(stream, MIB).catch(() => {})
  }
  using held = server.holdBytes(client.peer)
  // All of the allowance is there again once the streams have ended.
  await until(() => server.traffic().byProtocol[PROTOCOL] !== undefined)
  await client.disconnect(server.peer)
  await until(() => !server.isConnected(client.peer))
  held.add(MAX_PEER_BYTES)
})
