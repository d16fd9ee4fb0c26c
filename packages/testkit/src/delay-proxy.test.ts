import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { buffer } from 'node:stream/consumers'
import { type DelayProxyOptions, openDelayProxy } from './delay-proxy.ts'

/** How long anything of a test may take, in ms: the machine may be busy. */
const DEADLINE_MS = 20_000

/** How early a timer of Node may fire, in ms. */
const TIMER_GRAIN_MS = 1

interface Line {
  readonly client: Socket
  /** The other end, once the connection got through. */
  readonly server: Promise<Socket>
  forwardedBytes(): number
}

/** A client that is connected to a server through a proxy; all of it ends with the test. */
async function openLine (context: TestContext, options: Omit<DelayProxyOptions, 'target'>): Promise<Line> {
  const listener = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
  const server = once(listener, 'connection').then(([socket]) => watched(socket as Socket))
  await once(listener, 'listening')
  const proxy = await openDelayProxy({ ...options, target: { port: (listener.address() as AddressInfo).port } })
  context.after(async () => {
    await proxy[Symbol.asyncDispose]()
    listener.close()
  })
  return { client: await dial(proxy.port), server, forwardedBytes: () => proxy.forwardedBytes() }
}

async function dial (port: number): Promise<Socket> {
  const socket = watched(connect({ port, host: '127.0.0.1', allowHalfOpen: true }))
  await once(socket, 'connect')
  return socket
}

/** The end of a test resets what is open: that is no failure. */
function watched (socket: Socket): Socket {
  return socket.on('error', () => {})
}

/** Waits for the socket to close and tells whether it broke. Not `once` of node:events, which throws the error. */
async function closeOf (socket: Socket): Promise<boolean> {
  return await new Promise((resolve) => { socket.once('close', resolve) })
}

test('what goes in comes out on the other side, whole and in order, both ways at once', { timeout: DEADLINE_MS }, async (context) => {
  const { client, server, forwardedBytes } = await openLine(context, { delayMs: 5, bufferBytes: 256 << 10 })
  const [up, down] = [randomBytes(6_000_001), randomBytes(5_000_003)]
  client.end(up)
  const far = await server
  far.end(down)
  const [arrivedUp, arrivedDown] = await Promise.all([buffer(far), buffer(client)])
  assert.ok(arrivedUp.equals(up))
  assert.ok(arrivedDown.equals(down))
  assert.equal(forwardedBytes(), up.byteLength + down.byteLength)
})

test('a question and its answer take two delays, never less', { timeout: DEADLINE_MS }, async (context) => {
  const delayMs = 40
  const { client, server } = await openLine(context, { delayMs })
  const far = await server
  far.on('data', (bytes) => { far.write(bytes) })
  const roundTripsMs: number[] = []
  for (let count = 0; count < 5; count++) {
    const startMs = performance.now()
    client.write('?')
    await once(client, 'data')
    roundTripsMs.push(performance.now() - startMs)
  }
  assert.ok(Math.min(...roundTripsMs) >= 2 * (delayMs - TIMER_GRAIN_MS), roundTripsMs.join())
  assert.ok(Math.min(...roundTripsMs) < 4 * delayMs, roundTripsMs.join())
})

test('chunks travel side by side: many of them take one delay, not one delay each', { timeout: DEADLINE_MS }, async (context) => {
  const [delayMs, chunkCount] = [100, 50]
  const { client, server } = await openLine(context, { delayMs })
  const arrived = buffer(await server)
  const startMs = performance.now()
  for (let count = 0; count < chunkCount; count++) {
    client.write(randomBytes(1000))
    await new Promise(setImmediate)
  }
  client.end()
  assert.equal((await arrived).byteLength, chunkCount * 1000)
  assert.ok(performance.now() - startMs < delayMs * chunkCount / 4)
})

test('a full line makes the sender wait: no more than its buffer arrives in one delay', { timeout: DEADLINE_MS }, async (context) => {
  const [delayMs, bufferBytes, byteLength] = [20, 64 << 10, 4 << 20]
  const { client, server } = await openLine(context, { delayMs, bufferBytes })
  const arrived = buffer(await server)
  const startMs = performance.now()
  client.end(randomBytes(byteLength))
  assert.equal((await arrived).byteLength, byteLength)
  // A socket is read 64 KiB at a time, so the last read may go beyond the bound by nearly that.
  const leastMs = byteLength / (bufferBytes + (64 << 10)) * (delayMs - TIMER_GRAIN_MS)
  assert.ok(performance.now() - startMs >= leastMs, `${performance.now() - startMs} ms instead of ${leastMs}`)
})

test('the end of one direction leaves the other open', { timeout: DEADLINE_MS }, async (context) => {
  const { client, server } = await openLine(context, { delayMs: 10 })
  client.end('last question')
  const far = await server
  assert.equal(String(await buffer(far)), 'last question')
  far.end('answer after the end')
  assert.equal(String(await buffer(client)), 'answer after the end')
})

test('a reset reaches the other side as a reset, behind what was said before it', { timeout: DEADLINE_MS }, async (context) => {
  const { client, server } = await openLine(context, { delayMs: 20 })
  const far = await server
  const heard: Buffer[] = []
  far.on('data', (bytes) => { heard.push(bytes) })
  client.write('said')
  await once(far, 'data')
  const startMs = performance.now()
  client.resetAndDestroy()
  assert.equal(await closeOf(far), true)
  assert.ok(performance.now() - startMs >= 20 - TIMER_GRAIN_MS)
  assert.equal(String(Buffer.concat(heard)), 'said')
})

test('a side that is gone resets the one that goes on sending', { timeout: DEADLINE_MS }, async (context) => {
  const { client, server } = await openLine(context, { delayMs: 5 })
  const far = await server
  far.destroy()
  const sending = setInterval(() => { client.write(randomBytes(1000)) }, 5)
  context.after(() => { clearInterval(sending) })
  assert.equal(await closeOf(client), true)
})

test('a target that refuses resets the client', { timeout: DEADLINE_MS }, async (context) => {
  const listener = createServer().listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  listener.close()
  await once(listener, 'close')
  const proxy = await openDelayProxy({ target: { port }, delayMs: 10 })
  context.after(async () => { await proxy[Symbol.asyncDispose]() })
  assert.equal(await closeOf(await dial(proxy.port)), true)
})

test('disposing closes the port and ends what is open, also what is on its way', { timeout: DEADLINE_MS }, async (context) => {
  const listener = createServer(watched).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  context.after(() => { listener.close() })
  const proxy = await openDelayProxy({ target: { port: (listener.address() as AddressInfo).port }, delayMs: 60_000 })
  const accepted = once(listener, 'connection')
  const client = await dial(proxy.port)
  client.write('never arrives')
  await accepted
  const closed = closeOf(client)
  await proxy[Symbol.asyncDispose]()
  assert.equal(await closed, true)
  const [refused] = await once(connect(proxy.port, '127.0.0.1'), 'error') as [NodeJS.ErrnoException]
  assert.equal(refused.code, 'ECONNREFUSED')
})
