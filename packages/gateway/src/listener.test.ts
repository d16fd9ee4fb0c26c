import { type BlockReader, MemoryBlockstore } from '@holdfast/blockstore'
import { Block, CODECS, encodeDagPb, HoldfastError, type Logger, silentLogger } from '@holdfast/core'
import { encodeUnixFs } from '@holdfast/dag'
import { countingBlockstore } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, createServer, type IncomingHttpHeaders, request as httpRequest } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { Body, GatewayResponse } from './exchange.ts'
import { createGateway, type Gateway } from './gateway.ts'
import { GatewayMeter } from './gateway-meter.ts'
import { conformance, readCarSections, storeOf } from './harness.test.ts'
import { gatewayListener, type ListenerLimits } from './listener.ts'

interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

interface TestServer extends AsyncDisposable {
  readonly port: number
  get(path: string, options?: { method?: string, headers?: Record<string, string>, agent?: Agent }): Promise<Reply>
  /** Sends a request line as it is and gives the socket, paused. */
  open(path: string): Promise<Socket>
}

async function serve (gateway: Gateway, { limits, log = silentLogger, meter }: { limits?: Partial<ListenerLimits>, log?: Logger, meter?: GatewayMeter } = {}): Promise<TestServer> {
  const server = createServer(gatewayListener(gateway, { log, limits, meter }))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address: string | AddressInfo | null = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : assert.fail()
  return {
    port,
    async get (path, { method = 'GET', headers = {}, agent } = {}) {
      const request = httpRequest({ host: '127.0.0.1', port, path, method, headers, ...(agent === undefined ? {} : { agent }) })
      request.end()
      const [response] = await once(request, 'response')
      // A connection that breaks later is reported by the response as well.
      request.on('error', () => {})
      return { status: response.statusCode, headers: response.headers, body: Buffer.concat(await Array.fromAsync(response)) }
    },
    async open (path) {
      const socket = connect(port, '127.0.0.1')
      await once(socket, 'connect')
      socket.pause()
      socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
      return socket
    },
    async [Symbol.asyncDispose] () {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    }
  }
}

/** A gateway that answers everything with this body. */
function answering (body: Body | undefined, headers: GatewayResponse['headers'] = []): Gateway {
  return { handle: async () => ({ status: 200, headers, body }) }
}

const LEAF_BYTES = 1024 * 1024

/** A file of 2 GiB out of three blocks: one leaf linked 1,024 times by a node that the root links twice. */
async function hugeFile (): Promise<{ store: MemoryBlockstore, path: string, byteLength: number }> {
  const store = new MemoryBlockstore()
  const node = async (child: Block, count: number, byteLength: number): Promise<Block> => {
    const data = encodeUnixFs({ type: 'file', byteLength: count * byteLength, blockByteLengths: Array.from({ length: count }, () => byteLength) })
    return await Block.of(encodeDagPb({ links: Array.from({ length: count }, () => ({ name: new Uint8Array(), cid: child.cid, tsize: 1 })), data }), { codec: CODECS.dagPb })
  }
  const leaf = await Block.of(Buffer.alloc(LEAF_BYTES, 'holdfast'))
  const inner = await node(leaf, 1024, LEAF_BYTES)
  const root = await node(inner, 2, 1024 * LEAF_BYTES)
  await store.putMany([leaf, inner, root])
  return { store, path: `/ipfs/${root.cid}?filename=huge.bin`, byteLength: 2048 * LEAF_BYTES }
}

test('a reader that stops leaves memory flat, and gets every byte when it goes on', async () => {
  const { store, path, byteLength } = await hugeFile()
  const counting = countingBlockstore(store)
  await using server = await serve(createGateway({ blocks: counting.store, log: silentLogger }))
  const socket = await server.open(path)
  await setTimeout(300)
  const before = process.memoryUsage.rss()
  const readBefore = counting.counts.get
  await setTimeout(1_500)
  assert.equal(counting.counts.get, readBefore, 'nothing is read while the client takes nothing')
  // Loopback takes some MiB by itself; the window of the reader is 4 MiB.
  assert.ok(readBefore < 40, `${readBefore} blocks were read ahead`)
  assert.ok(process.memoryUsage.rss() - before < 16 * LEAF_BYTES, `RSS grew by ${process.memoryUsage.rss() - before} bytes`)

  let received = 0
  let head = ''
  let most = 0
  for await (const chunk of socket.resume()) {
    if (!head.includes('\r\n\r\n')) {
      head += chunk.toString('latin1')
      received = head.length - head.indexOf('\r\n\r\n') - 4
    } else {
      received += chunk.byteLength
    }
    most = Math.max(most, process.memoryUsage.rss())
    if (received >= byteLength) break
  }
  assert.equal(received, byteLength)
  assert.match(head, new RegExp(`\r\ncontent-length: ${byteLength}\r\n`, 'i'))
  assert.ok(most - before < 192 * LEAF_BYTES, `RSS grew by ${most - before} bytes`)
})

test('a reader that stops for good is cut off, and reading ends', async () => {
  const { store, path } = await hugeFile()
  const counting = countingBlockstore(store)
  const lines: string[] = []
  await using server = await serve(createGateway({ blocks: counting.store, log: silentLogger }), { limits: { writeStallTimeoutMs: 200 }, log: { ...silentLogger, debug: (message) => { lines.push(message) } } })
  const socket = await server.open(path)
  await setTimeout(1_000)
  const readBefore = counting.counts.get
  const closed = new Promise<Error | undefined>((resolve) => {
    socket.once('error', resolve)
    socket.once('close', () => { resolve(undefined) })
  })
  socket.resume()
  const err = await closed
  assert.ok(err !== undefined && 'code' in err && err.code === 'ECONNRESET', String(err))
  assert.equal(counting.counts.get, readBefore)
  assert.deepEqual(lines, ['Gateway client stalled'])
})

test('a reader that is slow but goes on is not cut off', async () => {
  const { store, path } = await hugeFile()
  await using server = await serve(createGateway({ blocks: store, log: silentLogger }), { limits: { writeStallTimeoutMs: 400 } })
  const socket = await server.open(path)
  let isClosed = false
  socket.once('close', () => { isClosed = true })
  let received = 0
  socket.on('data', (chunk) => { received += chunk.byteLength })
  for (let round = 0; round < 12; round++) {
    socket.resume()
    await setTimeout(20)
    socket.pause()
    await setTimeout(130)
  }
  assert.equal(isClosed, false)
  assert.ok(received > LEAF_BYTES)
  socket.destroy()
})

test('a client that goes away ends the reading', async () => {
  const { store, path } = await hugeFile()
  const counting = countingBlockstore(store)
  await using server = await serve(createGateway({ blocks: counting.store, log: silentLogger }))
  const socket = await server.open(path)
  await once(socket.resume(), 'data')
  socket.destroy()
  await setTimeout(200)
  const readAtEnd = counting.counts.get
  await setTimeout(200)
  assert.equal(counting.counts.get, readAtEnd)
  assert.equal(counting.counts.getsInFlight, 0)
})

test('a client that goes away aborts the request while content is looked for', async () => {
  const aborted = Promise.withResolvers<unknown>()
  const blocks: BlockReader = {
    has: async () => true,
    get: async (_cid, { signal } = {}) => await new Promise((_resolve, reject) => {
      signal?.addEventListener('abort', () => {
        aborted.resolve(signal.reason)
        reject(signal.reason)
      })
    })
  }
  await using server = await serve(createGateway({ blocks, log: silentLogger }))
  const socket = await server.open('/ipfs/QmYzfKSE55XCjD1MW128RfciAf2DViABhEiXfgVFMabSjN')
  await setTimeout(50)
  socket.destroy()
  assert.match(String(await aborted.promise), /client closed/)
})

test('content that does not come is 504 with Retry-After, also when its source ignores the abort', async () => {
  const blocks: BlockReader = { has: async () => true, get: async () => await new Promise(() => {}) }
  await using server = await serve(createGateway({ blocks, log: silentLogger }), { limits: { retrievalTimeoutMs: 100 } })
  const { status, headers, body } = await server.get('/ipfs/QmYzfKSE55XCjD1MW128RfciAf2DViABhEiXfgVFMabSjN')
  assert.equal(status, 504)
  assert.equal(headers['retry-after'], '60')
  assert.equal(headers['cache-control'], 'no-store')
  assert.match(body.toString(), /did not arrive in time/)
})

test('content that stops coming breaks the connection', async () => {
  const body: Body = {
    async * read () {
      yield Buffer.alloc(100_000)
      await new Promise(() => {})
    }
  }
  await using server = await serve(answering(body), { limits: { retrievalTimeoutMs: 100 } })
  await assert.rejects(server.get('/'), { code: 'ECONNRESET' })
})

test('a request that outlives the deadline is ended, however well it goes', async () => {
  const body: Body = {
    async * read () {
      for (;;) {
        await setTimeout(10)
        yield Buffer.alloc(10)
      }
    }
  }
  await using server = await serve(answering(body), { limits: { maxRequestDurationMs: 200 } })
  const started = performance.now()
  await assert.rejects(server.get('/'), { code: 'ECONNRESET' })
  assert.ok(performance.now() - started < 2_000)
})

for (const [why, byteLength, pieces] of [
  ['fails', undefined, 'throw'],
  ['fails, with its length announced', 200_000, 'throw'],
  ['is shorter than announced', 200_000, 'end'],
  ['is longer than announced', 50_000, 'end']
] as const) {
  test(`a body that ${why} breaks the connection instead of ending`, async () => {
    const body: Body = {
      byteLength,
      async * read () {
        yield Buffer.alloc(100_000)
        await setTimeout(20)
        if (pieces === 'throw') throw new HoldfastError('NOT_FOUND', 'Block was not found', { reason: 'no-block' })
      }
    }
    const lines: string[] = []
    await using server = await serve(answering(body, byteLength === undefined ? [] : [['Content-Length', String(byteLength)]]), { log: { ...silentLogger, warn: (message) => { lines.push(message) } } })
    const outcome = await server.get('/').then(() => 'complete', (err: unknown) => err)
    if (why !== 'is longer than announced') assert.ok(outcome instanceof Error, 'the client sees that it broke')
    assert.deepEqual(lines, ['Gateway response broke off'])
  })
}

test('a missing block far into a CAR breaks the connection', async () => {
  const store = new MemoryBlockstore()
  const leaves = await Promise.all(Array.from({ length: 8 }, async (_, index) => await Block.of(Buffer.alloc(LEAF_BYTES, String(index)))))
  const data = encodeUnixFs({ type: 'file', byteLength: 8 * LEAF_BYTES, blockByteLengths: leaves.map(() => LEAF_BYTES) })
  const root = await Block.of(encodeDagPb({ links: leaves.map(({ cid }) => ({ name: new Uint8Array(), cid, tsize: 1 })), data }), { codec: CODECS.dagPb })
  await store.putMany([...leaves.slice(0, 7), root])
  await using server = await serve(createGateway({ blocks: store, log: silentLogger }))
  await assert.rejects(server.get(`/ipfs/${root.cid}?format=car`), { code: 'ECONNRESET' })
  await assert.rejects(server.get(`/ipfs/${root.cid}?filename=a.bin`), { code: 'ECONNRESET' })
})

test('more requests than allowed are answered with 429, and room is given back', async () => {
  const gate = Promise.withResolvers<void>()
  const gateway: Gateway = {
    async handle () {
      await gate.promise
      return { status: 200, headers: [], body: undefined }
    }
  }
  const lines: string[] = []
  await using server = await serve(gateway, { limits: { maxConcurrentRequests: 2 }, log: { ...silentLogger, warn: (message) => { lines.push(message) } } })
  const [first, second] = [server.get('/1'), server.get('/2')]
  await setTimeout(50)
  const third = await server.get('/3')
  assert.equal(third.status, 429)
  assert.equal(third.headers['retry-after'], '60')
  assert.equal(third.headers['cache-control'], 'no-store')
  assert.equal((await server.get('/3')).status, 429)
  assert.equal(lines.length, 1, 'said once')
  gate.resolve()
  assert.deepEqual([(await first).status, (await second).status], [200, 200])
  assert.equal((await server.get('/4')).status, 200)
})

test('a header that HTTP cannot carry is 400, and the server lives on', async () => {
  const discarded = Promise.withResolvers<void>()
  const body: Body = { read: () => ({ [Symbol.asyncIterator]: () => ({ next: async () => ({ done: true, value: undefined }), async return () { discarded.resolve(); return { done: true, value: undefined } } }) }) }
  await using server = await serve(answering(body, [['X-Evil', 'a\r\nb']]))
  const { status } = await server.get('/')
  assert.equal(status, 400)
  await discarded.promise
  assert.equal((await server.get('/')).status, 400)
})

test('a gateway that rejects unforeseen is 500', async () => {
  const lines: string[] = []
  await using server = await serve({ handle: async () => { throw new TypeError('x is not a function') } }, { log: { ...silentLogger, error: (message) => { lines.push(message) } } })
  const { status, body } = await server.get('/')
  assert.equal(status, 500)
  assert.doesNotMatch(body.toString(), /x is not a function/)
  assert.deepEqual(lines, ['Gateway request failed'])
})

const ASCII = '/ipfs/bafybeihchr7vmgjaasntayyatmp5sv6xza57iy2h4xj7g46bpjij6yhrmy/ascii.txt'

test('small bodies, HEAD, 304 and ranges go over one kept connection as they are', async () => {
  await using server = await serve(createGateway({ blocks: await storeOf(conformance('path_gateway_unixfs/dir-with-files')), log: silentLogger }))
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  try {
    const whole = await server.get(ASCII, { agent })
    assert.deepEqual([whole.status, whole.headers['content-length'], whole.body.toString()], [200, '31', 'hello application/vnd.ipld.car\n'])
    assert.equal(whole.headers['transfer-encoding'], undefined)
    const head = await server.get(ASCII, { agent, method: 'HEAD' })
    assert.deepEqual([head.status, head.headers['content-length'], head.body.byteLength], [200, '31', 0])
    const unchanged = await server.get(ASCII, { agent, headers: { 'If-None-Match': whole.headers.etag ?? '' } })
    assert.deepEqual([unchanged.status, unchanged.headers.etag, unchanged.body.byteLength], [304, whole.headers.etag, 0])
    const part = await server.get(ASCII, { agent, headers: { Range: 'bytes=6-16' } })
    assert.deepEqual([part.status, part.headers['content-range'], part.body.toString()], [206, 'bytes 6-16/31', 'application'])
    const options = await server.get(ASCII, { agent, method: 'OPTIONS' })
    assert.deepEqual([options.status, options.headers.allow], [200, 'GET, HEAD, OPTIONS'])
    const post = await server.get(ASCII, { agent, method: 'POST' })
    assert.deepEqual([post.status, post.headers.allow], [405, 'GET, HEAD, OPTIONS'])
    const car = await server.get(`${ASCII}?format=car`, { agent })
    assert.equal(readCarSections(car.body).length, 2)
  } finally {
    agent.destroy()
  }
})

for (const [path, status] of [
  [`${ASCII.replace('/ascii.txt', '')}/x/%2e%2e/ascii.txt`, 200],
  [`${ASCII.replace('/ascii.txt', '')}/x\\..\\ascii.txt`, 404],
  [`//ipfs${ASCII.slice('/ipfs'.length)}`, 200],
  [`http://example.org${ASCII}`, 200],
  ['/ipfs/%00', 400],
  ['/ipfs/bafkqaaa/%ff', 400],
  [`/ipfs/bafkqaaa/${'a'.repeat(8200)}`, 400],
  ['/../../etc/passwd', 404],
  ['/', 404]
] as const) {
  test(`a raw request target reaches the gateway untouched: ${path.slice(0, 60)}`, async () => {
    await using server = await serve(createGateway({ blocks: await storeOf(conformance('path_gateway_unixfs/dir-with-files')), log: silentLogger }))
    assert.equal((await server.get(path)).status, status)
  })
}

test('raw bytes beyond ASCII in a target are refused by the parser of Node', async () => {
  await using server = await serve(answering(undefined))
  const socket = await server.open(Buffer.from('/ipfs/bafkqaaa/é').toString('latin1'))
  const [reply] = await once(socket.resume(), 'data')
  assert.match(String(reply), /^HTTP\/1\.1 400 /)
})

test('pipelined requests are answered in order, and a stalled one does not cut off the next', async () => {
  const gateway: Gateway = {
    async handle ({ target }) {
      if (target === '/slow') await setTimeout(300)
      return { status: 200, headers: [['X-Target', target]], body: { async * read () { yield Buffer.alloc(400_000) } } }
    }
  }
  await using server = await serve(gateway, { limits: { writeStallTimeoutMs: 100 } })
  const socket = await server.open('/slow')
  socket.write('GET /next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  const text = Buffer.concat(await Array.fromAsync(socket.resume())).toString('latin1')
  assert.deepEqual([...text.matchAll(/X-Target: (\S+)/g)].map(([, target]) => target), ['/slow', '/next'])
})

test('requests are counted by what was asked for and what became of it, and caches by what they had', async () => {
  const blocks = new MemoryBlockstore()
  const leaf = await Block.of(Buffer.alloc(1000))
  await blocks.put(leaf)
  const meter = new GatewayMeter()
  const gateway = createGateway({ blocks, log: silentLogger })
  await using server = await serve(gateway, { meter })
  const statuses: number[] = []
  for (const [path, method] of [[`/ipfs/${leaf.cid}`, 'GET'], [`/ipfs/${leaf.cid}`, 'HEAD'], [`/ipfs/${leaf.cid}?format=raw`, 'GET'], [`/ipfs/${leaf.cid}?format=car`, 'GET'], ['/ipfs/nonsense', 'GET'], ['/elsewhere', 'POST']] as const) {
    statuses.push((await server.get(path, { method })).status)
  }
  assert.deepEqual(statuses, [200, 200, 200, 200, 400, 405])
  const figures = (): ReturnType<GatewayMeter['figures']> => meter.figures()
  await allEnded(meter)
  assert.deepEqual(figures().requests, [
    { format: 'default', status: '2xx', count: 2 },
    { format: 'raw', status: '2xx', count: 1 },
    { format: 'car', status: '2xx', count: 1 },
    { format: 'none', status: '4xx', count: 2 }
  ])
  const { sentByteLengthByFormat: sent, headerDurations, cutCount } = figures()
  assert.deepEqual([sent['default'], sent['raw'], cutCount], [1000, 1000, 0])
  assert.ok((sent['car'] ?? 0) > 1000)
  assert.equal(headerDurations.counts.reduce((sum, count) => sum + count), 6)
  const { targets, entries } = gateway.cacheCounts()
  assert.deepEqual(targets, { hitCount: 1, missCount: 4 })
  assert.deepEqual(entries, { hitCount: 0, missCount: 1 })
})

test('an answer that breaks off is counted as one, with the status that went out', async () => {
  const meter = new GatewayMeter()
  const body = { async * read () {
    yield Buffer.alloc(10)
    throw new Error('broken')
  } }
  await using server = await serve(answering(body), { meter })
  await assert.rejects(server.get('/'))
  await allEnded(meter)
  assert.deepEqual([meter.figures().cutCount, meter.figures().requests], [1, [{ format: 'none', status: '2xx', count: 1 }]])
})

/** A response is closed a moment after its client has all of it. */
async function allEnded (meter: GatewayMeter): Promise<void> {
  for (let tries = 0; meter.figures().openCount > 0; tries++) {
    assert.ok(tries < 5_000, 'every response is closed')
    await setTimeout(1)
  }
}
