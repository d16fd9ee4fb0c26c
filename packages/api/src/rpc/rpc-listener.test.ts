import { MemoryBlockstore } from '@holdfast/blockstore'
import { parsePrometheus } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type RequestOptions } from 'node:http'
import { connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { ApiNode } from '../api-node.ts'
import { openApiNode } from '../harness.test.ts'
import { createBrowserGuard } from './browser-guard.ts'
import { createRpcTokens } from './rpc-tokens.ts'
import { createRpcListener, MAX_UPLOADS, type RpcListenerOptions } from './rpc-listener.ts'

interface Rpc {
  readonly node: ApiNode
  readonly port: number
  call(path: string, options?: RequestOptions & { body?: string | Buffer }): Promise<Answer>
}

interface Answer {
  readonly status: number | undefined
  readonly headers: IncomingMessage['headers']
  readonly trailers: IncomingMessage['trailers']
  readonly text: string
}

async function openRpc (context: TestContext, parts: Partial<ApiNode> = {}, options: Partial<RpcListenerOptions> = {}): Promise<Rpc> {
  const node = { ...await openApiNode(context), ...parts }
  let port = 0
  const server = createServer(createRpcListener(node, { guard: createBrowserGuard({ port: () => port }), ...options })).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  port = address.port
  context.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    node,
    port,
    async call (path, { body, ...options } = {}) {
      const sent = request({ host: '127.0.0.1', port, method: 'POST', path, ...options })
      sent.end(body)
      const [response] = await once(sent, 'response') as [IncomingMessage]
      return { status: response.statusCode, headers: response.headers, text: Buffer.concat(await Array.fromAsync(response)).toString(), trailers: response.trailers }
    }
  }
}

const MULTIPART = { 'content-type': 'multipart/form-data; boundary=b' }

function file (content: string | Buffer, name: string = 'f'): Buffer {
  return Buffer.concat([Buffer.from(`--b\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\n\r\n`), Buffer.from(content), Buffer.from('\r\n--b--\r\n')])
}

async function eventually (isSo: () => boolean, what: string): Promise<void> {
  const deadlineMs = performance.now() + 60_000
  while (!isSo()) {
    assert.ok(performance.now() < deadlineMs, what)
    await new Promise((resolve) => { setTimeout(resolve, 5) })
  }
}

test('only POST and OPTIONS are taken', async (context) => {
  const { call } = await openRpc(context)
  for (const method of ['GET', 'PUT', 'DELETE', 'PATCH']) {
    const { status, headers, text } = await call('/api/v0/id', { method })
    assert.equal(status, 405, method)
    assert.equal(headers.allow, 'OPTIONS, POST')
    assert.equal(text, '405 - Method Not Allowed\n')
  }
  const { status, headers } = await call('/api/v0/id', { method: 'OPTIONS' })
  assert.equal(status, 204)
  assert.equal(headers.allow, 'OPTIONS, POST')
})

test('what is no command is 404 in plain text, also names of objects and half a path', async (context) => {
  const { call } = await openRpc(context)
  for (const path of ['/api/v0/frobnicate', '/api/v0/', '/api/v0', '/api/v1/id', '/', '/api/v0/id/', '/api/v0/pin', '/api/v0/__proto__', '/api/v0/constructor', '/api/v0/../v0/id', '/api/v0/files/write']) {
    const { status, headers, text } = await call(path)
    assert.equal(status, 404, path)
    assert.match(headers['content-type'] ?? '', /^text\/plain/)
    assert.equal(text, '404 page not found\n')
  }
})

test('a page of another origin is refused before anything is done, and a page of ours is told that it may read', async (context) => {
  const { call, port, node } = await openRpc(context)
  const refused = await call('/api/v0/add', { headers: { ...MULTIPART, origin: 'https://evil.example' }, body: file('x') })
  assert.equal(refused.status, 403)
  assert.match(refused.text, /^403 - Forbidden/)
  assert.equal(refused.headers['access-control-allow-origin'], undefined)
  assert.equal(node.pins.count, 0)
  assert.equal((await call('/api/v0/id', { headers: { host: 'evil.example' } })).status, 403)
  const origin = `http://localhost:${port}`
  const allowed = await call('/api/v0/id', { headers: { origin } })
  assert.equal(allowed.status, 200)
  assert.equal(allowed.headers['access-control-allow-origin'], origin)
})

test('a preflight of another origin gets no leave', async (context) => {
  const { call } = await openRpc(context)
  const { headers } = await call('/api/v0/add', { method: 'OPTIONS', headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' } })
  assert.deepEqual(Object.keys(headers).filter((name) => name.startsWith('access-control')), [])
})

test('mistakes in the query are 400 in plain text, failures of a command JSON of Kubo', async (context) => {
  const { call } = await openRpc(context)
  const missing = await call('/api/v0/cat')
  assert.equal(missing.status, 400)
  assert.equal(missing.text, 'argument "ipfs-path" is required\n')

  const mistaken = await call('/api/v0/cat?arg=nonsense')
  assert.equal(mistaken.status, 400)
  assert.deepEqual(JSON.parse(mistaken.text), { Message: 'Not a CID: "nonsense"', Code: 1, Type: 'error' })

  const absent = await call('/api/v0/cat?arg=bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy')
  assert.equal(absent.status, 500)
  assert.equal(absent.headers['content-type'], 'application/json')
  assert.deepEqual(JSON.parse(absent.text), { Message: 'Block bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy was not found', Code: 0, Type: 'error' })
})

test('an answer of one value, of several values and of bytes each have their headers', async (context) => {
  const { call } = await openRpc(context)
  const { headers: one } = await call('/api/v0/version')
  assert.equal(one['content-type'], 'application/json')
  assert.equal(one['x-chunked-output'], undefined)
  assert.equal(one.trailer, 'X-Stream-Error')
  assert.equal(one.server, 'holdfast/1.2.3')

  const added = await call('/api/v0/add', { headers: MULTIPART, body: file('hello') })
  assert.equal(added.headers['x-chunked-output'], '1')
  const { Hash, Name, Size } = JSON.parse(added.text) as { Hash: string, Name: string, Size: string }
  assert.deepEqual([Name, Size], ['f', '5'])

  const { headers: bytes, text } = await call(`/api/v0/cat?arg=${Hash}`)
  assert.equal(text, 'hello')
  assert.equal(bytes['content-type'], 'text/plain')
  assert.equal(bytes['x-stream-output'], '1')
  assert.equal(bytes['x-content-length'], '5')
  assert.equal(bytes['x-content-type-options'], 'nosniff')
})

test('a failure in the middle of an answer is a trailer', async (context) => {
  const blocks = new MemoryBlockstore()
  const { call } = await openRpc(context, { blocks, storedBlocks: blocks, openReader: () => ({ get: (cid, options) => blocks.get(cid, options), has: (cid, options) => blocks.has(cid, options), [Symbol.dispose] () {} }) })
  const { text } = await call('/api/v0/add?chunker=size-100000', { headers: MULTIPART, body: file(Buffer.concat([Buffer.alloc(100_000, 'a'), Buffer.alloc(100_000, 'b')])) })
  const { Hash } = JSON.parse(text) as { Hash: string }
  for await (const cid of blocks.list()) {
    if ((await blocks.get(cid))?.bytes[0] === 'b'.charCodeAt(0)) await blocks.delete(cid)
  }
  const answer = await call(`/api/v0/cat?arg=${Hash}`)
  assert.equal(answer.status, 200)
  assert.ok(answer.text.length < 200_000)
  assert.match(String(answer.trailers['x-stream-error']), /^Block bafkrei\w+ was not found \(at byte 100000 of the file bafybei\w+\)$/)
})

test('an old client, which knows no trailers, sees the answer break off', async (context) => {
  const blocks = new MemoryBlockstore()
  const { call, port } = await openRpc(context, { openReader: () => ({ get: async (cid) => { if (cid.code === 0x55) throw new Error('the disk is gone'); return await blocks.get(cid) }, has: async () => true, [Symbol.dispose] () {} }), blocks, storedBlocks: blocks })
  const { text } = await call('/api/v0/add?wrap-with-directory=true', { headers: MULTIPART, body: file('x') })
  const wrapper = (JSON.parse(text.trim().split('\n').at(-1) ?? '') as { Hash: string }).Hash
  const socket = connect(port, '127.0.0.1')
  socket.end(`POST /api/v0/get?arg=${wrapper} HTTP/1.0\r\nHost: localhost\r\n\r\n`)
  let received = ''
  socket.on('data', (bytes) => { received += bytes.toString('latin1') })
  await once(socket, 'close')
  assert.ok(!/x-stream-error/i.test(received))
  assert.ok(!received.includes('\0'.repeat(1024)), 'the archive has no end')
})

test('timeout ends a call with the words that clients know', async (context) => {
  const { call } = await openRpc(context, { openReader: (_, { signal }) => ({ get: async () => await new Promise((_resolve, reject) => { signal.addEventListener('abort', () => { reject(signal.reason) }) }), has: async () => false, [Symbol.dispose] () {} }) })
  const { status, text } = await call('/api/v0/cat?arg=bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy&timeout=50ms')
  assert.equal(status, 500)
  assert.deepEqual(JSON.parse(text), { Message: 'context deadline exceeded', Code: 0, Type: 'error' })
})

test('offline asks no other peer', async (context) => {
  const { call } = await openRpc(context, { openReader: () => assert.fail('a peer was asked') })
  const { status, text } = await call('/api/v0/cat?arg=bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy&offline=true')
  assert.equal(status, 500)
  assert.match(text, /was not found/)
})

test('an unforeseen failure is a 500 with its message and no stack, and the next call is answered', async (context) => {
  const { call } = await openRpc(context, { describe: undefined as never })
  const { status } = await call('/api/v0/id')
  assert.equal(status, 500)
  assert.equal((await call('/api/v0/id')).status, 500)
})

test('an upload whose sender goes away ends its call, lets go of what it protected and pins nothing', async (context) => {
  const { node, port } = await openRpc(context)
  const sent = request({ host: '127.0.0.1', port, method: 'POST', path: '/api/v0/add', headers: MULTIPART })
  sent.on('error', () => {})
  sent.write(file(Buffer.alloc(3 << 20)).subarray(0, 2 << 20))
  await eventually(() => node.leases.list().length > 0, 'the add has begun')
  sent.destroy()
  await eventually(() => node.leases.list().length === 0, 'the lease is released')
  assert.equal(node.pins.count, 0)
})

test('an upload without an end is answered and cut off when its command fails', async (context) => {
  const { port } = await openRpc(context)
  const sent = request({ host: '127.0.0.1', port, method: 'POST', path: '/api/v0/add?cid-version=7', headers: MULTIPART })
  sent.on('error', () => {})
  const closed = new Promise((resolve) => { sent.once('close', resolve) })
  const feeding = setInterval(() => { sent.write(Buffer.alloc(1 << 16)) }, 5)
  context.after(() => { clearInterval(feeding) })
  const [response] = await once(sent, 'response') as [IncomingMessage]
  assert.equal(response.statusCode, 400)
  assert.match(Buffer.concat(await Array.fromAsync(response)).toString(), /CID version 7 does not exist/)
  await closed
})

test('an upload that ends too early pins nothing', async (context) => {
  const { call, node } = await openRpc(context)
  const whole = file('half of it')
  const { status, text } = await call('/api/v0/add', { headers: MULTIPART, body: whole.subarray(0, whole.byteLength - 8) })
  assert.equal(status, 400)
  assert.match(text, /ended before its last boundary/)
  assert.equal(node.pins.count, 0)
  assert.equal(node.leases.list().length, 0)
})

test('calls beyond the limit are turned away, and uploads beyond theirs wait for a place', async (context) => {
  const { port, call, node } = await openRpc(context, {}, { maxCalls: MAX_UPLOADS + 2 })
  const open = Array.from({ length: MAX_UPLOADS + 1 }, () => {
    const sent = request({ host: '127.0.0.1', port, method: 'POST', path: '/api/v0/add', headers: MULTIPART })
    sent.on('error', () => {})
    sent.write(file('abc').subarray(0, 40))
    return sent
  })
  await eventually(() => node.leases.list().length === MAX_UPLOADS, 'as many uploads as there are places')
  assert.equal((await call('/api/v0/version')).status, 200)
  const last = request({ host: '127.0.0.1', port, method: 'POST', path: '/api/v0/add', headers: MULTIPART })
  last.on('error', () => {})
  last.write(file('abc').subarray(0, 40))
  let status: number | undefined
  await (async () => {
    for (let tries = 0; status !== 429; tries++) {
      assert.ok(tries < 1000, 'one call too many is refused')
      status = (await call('/api/v0/version')).status
    }
  })()
  for (const sent of [...open, last]) sent.destroy()
  await eventually(() => node.leases.list().length === 0, 'every place is free again')
  assert.equal((await call('/api/v0/version')).status, 200)
})

test('a reader that stands still holds back what is read for it', async (context) => {
  const blocks = new MemoryBlockstore()
  let readByteLength = 0
  const { call, port } = await openRpc(context, {
    blocks,
    storedBlocks: blocks,
    openReader: () => ({
      get: async (cid) => {
        const block = await blocks.get(cid)
        readByteLength += block?.bytes.byteLength ?? 0
        return block
      },
      has: (cid) => blocks.has(cid),
      [Symbol.dispose] () {}
    })
  })
  // Every chunk differs, so that none is stored once for all.
  const content = Buffer.concat(Array.from({ length: 64 }, (_, index) => Buffer.alloc(1 << 20, index)))
  const { Hash } = JSON.parse((await call('/api/v0/add', { headers: MULTIPART, body: file(content) })).text) as { Hash: string }
  const sent = request({ host: '127.0.0.1', port, method: 'POST', path: `/api/v0/cat?arg=${Hash}` }).end()
  const [response] = await once(sent, 'response') as [IncomingMessage]
  response.pause()
  let before = -1
  await eventually(() => {
    const isStill = readByteLength === before && readByteLength > 0
    before = readByteLength
    return isStill
  }, 'reading stops')
  assert.ok(readByteLength < 32 << 20, `${readByteLength} bytes were read ahead`)
  response.resume()
  await once(response, 'end')
})

test('a caller that stands still is let go, whether it sends or takes', async (context) => {
  const blocks = new MemoryBlockstore()
  const { call, port, node } = await openRpc(context, { blocks, storedBlocks: blocks, openReader: () => ({ get: (cid) => blocks.get(cid), has: (cid) => blocks.has(cid), [Symbol.dispose] () {} }) }, { callerStallMs: 200 })
  const { Hash } = JSON.parse((await call('/api/v0/add', { headers: MULTIPART, body: file(Buffer.alloc(64 << 20)) })).text) as { Hash: string }

  const sender = request({ host: '127.0.0.1', port, method: 'POST', path: '/api/v0/add', headers: MULTIPART })
  sender.on('error', () => {})
  sender.write(file('abc').subarray(0, 40))
  const [answer] = await once(sender, 'response') as [IncomingMessage]
  assert.equal(answer.statusCode, 500)
  assert.match(Buffer.concat(await Array.fromAsync(answer)).toString(), /neither sent nor took anything/)
  assert.equal(node.leases.list().length, 0)

  const taker = request({ host: '127.0.0.1', port, method: 'POST', path: `/api/v0/cat?arg=${Hash}` }).end()
  const [response] = await once(taker, 'response') as [IncomingMessage]
  response.pause()
  let counted = ''
  for (let tries = 0; !/command="cat",status="(499|500)"/.test(counted); tries++) {
    assert.ok(tries < 500, counted)
    counted = (await call('/debug/metrics/prometheus', { method: 'GET' })).text
    await new Promise((resolve) => { setTimeout(resolve, 10) })
  }
  response.on('error', () => {})
  response.destroy()
})

test('probes are answered to everybody, and tell a node that stops from one that runs', async (context) => {
  let isReady = true
  const { call } = await openRpc(context, { isReady: () => isReady }, { tokens: createRpcTokens([]) })
  assert.equal((await call('/healthz', { method: 'GET' })).status, 200)
  assert.equal((await call('/readyz', { method: 'GET' })).text, 'ok\n')
  isReady = false
  assert.equal((await call('/readyz', { method: 'GET' })).status, 503)
  assert.equal((await call('/healthz', { method: 'HEAD' })).status, 200)
  assert.equal((await call('/healthz')).status, 405)
  assert.equal((await call('/healthz', { method: 'GET', headers: { host: 'evil.example' } })).status, 403)
})

test('metrics count blocks, pins and calls', async (context) => {
  const { call } = await openRpc(context)
  await call('/api/v0/add', { headers: MULTIPART, body: file('hello') })
  await call('/api/v0/cat?arg=nonsense')
  await call('/api/v0/no-such-command')
  let text = ''
  for (let tries = 0; !text.includes('holdfast_blocks ') || !text.includes('statistic="max"'); tries++) {
    assert.ok(tries < 500, 'the blocks are counted and the lag is measured')
    await new Promise((resolve) => { setTimeout(resolve, 10) })
    const answer = await call('/debug/metrics/prometheus', { method: 'GET' })
    assert.equal(answer.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
    text = answer.text
  }
  const families = parsePrometheus(text)
  for (const name of ['blocks', 'block_bytes', 'cache_bytes', 'pins', 'journal_bytes', 'peers', 'network_sent_bytes_total', 'bitswap_open_wants', 'announcements_waiting', 'cluster_pins', 'copies_bytes', 'gateway_open_requests', 'gateway_cut_responses_total', 'gateway_header_duration_seconds', 'rpc_calls_total']) {
    assert.ok(families.has(`holdfast_${name}`), name)
  }
  const lines = ['holdfast_blocks 1', 'holdfast_block_bytes 5', 'holdfast_pins 1', 'holdfast_peers{direction="inbound"} 0', 'holdfast_cluster_members{state="gone"} 0', 'holdfast_copies_max_bytes 1099511627776', 'holdfast_bitswap_sent_blocks_total 4', 'holdfast_bitswap_duplicate_blocks_total 3', 'holdfast_rpc_calls_total{command="add",status="200"} 1', 'holdfast_rpc_calls_total{command="cat",status="400"} 1', 'holdfast_rpc_calls_total{command="",status="404"} 1', 'holdfast_rpc_open_calls 1']
  for (const line of lines) assert.ok(text.split('\n').includes(line), `${line}\n${text}`)
  assert.match(text, /^process_resident_memory_bytes \d+$/m)
  assert.match(text, /^nodejs_eventloop_lag_seconds\{statistic="max"\} \d/m)
  assert.equal((await call('/debug/metrics/prometheus')).status, 405)
})

test('with tokens only their bearers come in, each to its paths', async (context) => {
  const { call } = await openRpc(context, {}, { tokens: createRpcTokens([{ secret: 'bearer:for-the-pins', allowedPaths: ['/api/v0/pin'] }]) })
  const refused = await call('/api/v0/pin/ls')
  assert.equal(refused.status, 403)
  assert.match(refused.text, /^RPC Access Denied/)
  const headers = { authorization: 'Bearer for-the-pins' }
  assert.equal((await call('/api/v0/pin/ls', { headers })).status, 200)
  assert.equal((await call('/api/v0/id', { headers })).status, 403)
  assert.equal((await call('/api/v0/version', { headers })).status, 200)
  assert.equal((await call('/debug/metrics/prometheus', { method: 'GET', headers })).status, 403)
})

test('events come as they happen, and end with the caller', async (context) => {
  const { call, port, node } = await openRpc(context)
  const sent = request({ host: '127.0.0.1', port, method: 'POST', path: '/api/v0/events' }).end()
  const [response] = await once(sent, 'response') as [IncomingMessage]
  assert.equal(response.headers['x-chunked-output'], '1')
  const { text } = await call('/api/v0/add?pin-name=mine', { headers: MULTIPART, body: file('hello') })
  const { Hash } = JSON.parse(text) as { Hash: string }
  let lines = ''
  for await (const bytes of response) {
    lines += String(bytes)
    if (lines.split('\n').length > 2) break
  }
  const [added, pinned] = lines.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as object)
  assert.deepEqual({ ...added, atMs: 0 }, { type: 'added', cid: Hash, atMs: 0 })
  assert.deepEqual({ ...pinned, atMs: 0 }, { type: 'pinned', cid: Hash, kind: 'recursive', name: 'mine', atMs: 0 })
  await eventually(() => node.events.listenerCount === 0, 'the listener is forgotten')
})

test('a listener that takes nothing is cut off, and does not hold up the node', async (context) => {
  const { port, node } = await openRpc(context)
  const sent = request({ host: '127.0.0.1', port, method: 'POST', path: '/api/v0/events' }).end()
  const [response] = await once(sent, 'response') as [IncomingMessage]
  response.pause()
  response.on('error', () => {})
  await eventually(() => {
    for (let index = 0; index < 1000; index++) node.events.tell({ type: 'added', cid: 'x'.repeat(1000) })
    return node.events.listenerCount === 0
  }, 'the listener is cut off')
})
