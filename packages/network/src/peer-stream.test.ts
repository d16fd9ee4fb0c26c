import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { addressOf, newHost, readAll, until } from '../test/harness.ts'
import type { PeerStream } from './host.ts'
import { MAX_INBOUND_STREAMS, READ_QUEUE_BYTES, WRITE_QUEUE_BYTES } from './limits.ts'

const PROTOCOL = '/holdfast/test/1.0.0'

/** Both ends of one stream; the far end does what `serve` says. */
async function newStream (context: TestContext, serve: (stream: PeerStream) => Promise<void>): Promise<PeerStream> {
  const [client, server] = [await newHost(context), await newHost(context)]
  await server.handle([PROTOCOL], serve)
  await client.connect(addressOf(server))
  return await client.openStream(server.peer, [PROTOCOL])
}

test('a writer waits for a reader that does not read, and nothing is lost when it does', async (context) => {
  const reading = Promise.withResolvers<void>()
  const received = Promise.withResolvers<number>()
  const stream = await newStream(context, async (far) => {
    await reading.promise
    let count = 0
    for await (const { byteLength } of far.read()) count += byteLength
    received.resolve(count)
  })
  const piece = Buffer.alloc(64 << 10)
  let writtenBytes = 0
  const writing = (async () => {
    for (let round = 0; round < 1600; round++) {
      await stream.write([piece])
      writtenBytes += piece.byteLength
    }
    await stream.closeWrite()
  })()

  await until(() => writtenBytes > READ_QUEUE_BYTES)
  let before = -1
  while (before !== writtenBytes) {
    before = writtenBytes
    await new Promise((resolve) => { setTimeout(resolve, 300) })
  }
  // A window on its way, the queue of the reader, the queue of the writer, one frame in each layer between.
  assert.ok(writtenBytes <= (4 << 20) + READ_QUEUE_BYTES + WRITE_QUEUE_BYTES + (1 << 20), `${writtenBytes} bytes went out`)
  reading.resolve()
  await writing
  assert.equal(await received.promise, 1600 * piece.byteLength)
})

test('a reader that pauses again and again loses nothing', async (context) => {
  const total = 24 << 20
  const stream = await newStream(context, async (far) => {
    for (let sent = 0; sent < total; sent += 1 << 20) await far.write([Buffer.alloc(1 << 20, sent >> 20)])
    await far.closeWrite()
  })
  let at = 0
  let rounds = 0
  for await (const bytes of stream.read()) {
    for (const index of [0, bytes.byteLength - 1]) assert.equal(bytes[index], (at + index) >> 20)
    at += bytes.byteLength
    if (rounds++ % 20 === 0) await new Promise((resolve) => { setTimeout(resolve, 5) })
  }
  assert.equal(at, total)
})

test('a stream that the peer resets ends with an error, for the reader and the writer', async (context) => {
  const stream = await newStream(context, async (far) => { for await (const _ of far.read()) throw new Error('no') })
  await stream.write([Buffer.alloc(10)])
  await assert.rejects(readAll(stream.read()), (err) => isErrorCode(err, 'UNAVAILABLE') && err.message.includes('reset'))
  await assert.rejects(stream.write([Buffer.alloc(10)]), (err) => isErrorCode(err, 'UNAVAILABLE'))
})

test('half of what was sent is no end: a lost connection is an error', async (context) => {
  const [client, server] = [await newHost(context), await newHost(context)]
  await server.handle([PROTOCOL], async (far) => {
    for await (const _ of far.read()) break
    await far.write([Buffer.alloc(100)])
    await server.disconnect(client.peer)
  })
  await client.connect(addressOf(server))
  const stream = await client.openStream(server.peer, [PROTOCOL])
  await stream.write([Buffer.alloc(1)])
  await assert.rejects(readAll(stream.read()), (err) => isErrorCode(err, 'UNAVAILABLE'))
})

test('a write that waits ends when the peer goes, and the process lives', async (context) => {
  const far = Promise.withResolvers<PeerStream>()
  const never = Promise.withResolvers<void>()
  context.after(() => { never.resolve() })
  const stream = await newStream(context, async (given) => {
    far.resolve(given)
    await never.promise
  })
  const waiting = stream.write([Buffer.alloc(8 << 20)])
  const outcome = assert.rejects(waiting, (err) => isErrorCode(err, 'UNAVAILABLE'))
  await new Promise((resolve) => { setTimeout(resolve, 100) });
  (await far.promise).abort(new Error('gone'))
  await outcome
})

test('a write that waits ends with the reason of its signal', async (context) => {
  const never = Promise.withResolvers<void>()
  context.after(() => { never.resolve() })
  const stream = await newStream(context, async () => { await never.promise })
  const reason = new Error('changed my mind')
  const controller = new AbortController()
  setTimeout(() => { controller.abort(reason) }, 100)
  await assert.rejects(stream.write([Buffer.alloc(7 << 20)], { signal: controller.signal }), (err) => err === reason)
})

test('a message that comes together with the end is read before the end', async (context) => {
  const stream = await newStream(context, async (far) => {
    await far.write([Buffer.from('last words')])
    await far.closeWrite()
  })
  await new Promise((resolve) => { setTimeout(resolve, 100) })
  assert.equal((await readAll(stream.read())).toString(), 'last words')
})

test('streams beyond the limit of their protocol are refused, and the others go on', async (context) => {
  const [client, server] = [await newHost(context), await newHost(context)]
  const never = Promise.withResolvers<void>()
  context.after(() => { never.resolve() })
  let liveCount = 0
  await server.handle([PROTOCOL], async () => { liveCount++; await never.promise }, { maxInboundStreams: 8 })
  await client.handle([PROTOCOL], async () => {}, { maxOutboundStreams: 1000 })
  await client.connect(addressOf(server))
  for (let count = 0; count < 20; count++) await client.openStream(server.peer, [PROTOCOL]).catch(() => {})
  await until(() => liveCount === 8)
  assert.ok(client.isConnected(server.peer))
  assert.ok(MAX_INBOUND_STREAMS > 20)
})

test('a peer that sends crumbs to a reader that stalls costs no more than their bytes', async (context) => {
  const far = Promise.withResolvers<PeerStream>()
  const never = Promise.withResolvers<void>()
  context.after(() => { never.resolve() })
  const stream = await newStream(context, async (given) => { far.resolve(given); await never.promise })
  await far.promise
  const before = heldBytes()
  for (let count = 0; count < CRUMB_COUNT; count++) {
    await stream.write([Buffer.of(1)])
    if (count % 1000 === 0) await new Promise((resolve) => { setImmediate(resolve) })
  }
  await new Promise((resolve) => { setTimeout(resolve, 500) })
  const grownBytes = heldBytes() - before
  assert.ok(grownBytes < 5 << 20, `${grownBytes} bytes for ${CRUMB_COUNT}`)
})

/** Each kept as it came takes some 150 bytes: 15 MB. */
const CRUMB_COUNT = 100_000

setFlagsFromString('--expose-gc')
const collect: unknown = runInNewContext('gc')

function heldBytes (): number {
  assert.ok(typeof collect === 'function')
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
