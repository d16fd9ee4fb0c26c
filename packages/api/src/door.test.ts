import { type Blockstore, MemoryBlockstore } from '@holdfast/blockstore'
import { Block, CODECS, encodeDagPb, isErrorCode } from '@holdfast/core'
import type { LeaseBook } from '@holdfast/pins'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createApiListener, MAX_ARGS_BYTES } from './api-listener.ts'
import type { ApiNode } from './api-node.ts'
import { type ApiClient, createApiClient } from './client/api-client.ts'
import { PROGRESS_INTERVAL_MS } from './exchange.ts'
import { openApiNode } from './harness.test.ts'

/** A door with real parts behind it, on a socket of its own. */
async function openDoor (context: TestContext, blocks: Blockstore = new MemoryBlockstore(), openReader: ApiNode['openReader'] = () => readerOf(blocks)): Promise<{ client: ApiClient, socketPath: string, blocks: Blockstore, leases: LeaseBook }> {
  const node = { ...await openApiNode(context, { blocks }), openReader }
  const socketPath = join(node.repository.folder, 'api.sock')
  const server = createServer(createApiListener(node)).listen(socketPath)
  await once(server, 'listening')
  context.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { client: createApiClient(socketPath), socketPath, blocks: node.blocks, leases: node.leases }
}

function readerOf (blocks: Blockstore): ReturnType<ApiNode['openReader']> {
  return { get: (cid, options) => blocks.get(cid, options), has: (cid, options) => blocks.has(cid, options), [Symbol.dispose] () {} }
}

async function add (client: ApiClient, body: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<string> {
  let cid = ''
  for await (const answer of client.call('add', { paths: [] }, { body, signal })) {
    if (answer.type === 'event' && 'entry' in answer.event && answer.event.isRoot) cid = answer.event.entry.cid
  }
  return cid
}

async function * repeat (piece: Uint8Array, count: number): AsyncIterable<Uint8Array> {
  for (let index = 0; index < count; index++) yield piece
}

test('content goes through the door whole and without a stop, however its ends take turns', async (context) => {
  const { client } = await openDoor(context)
  const cid = await add(client, repeat(new Uint8Array(1 << 20).fill(7), 32))
  // A full buffer that is taken at once must not be waited for: with corked writes one of some thousand waits never ended.
  for (let turn = 0; turn < 40; turn++) {
    let byteLength = 0
    for await (const answer of client.call('cat', { path: cid }, { signal: AbortSignal.timeout(20_000) })) {
      if (answer.type === 'bytes') byteLength += answer.bytes.byteLength
      if (turn % 3 === 0) await new Promise((resolve) => { setImmediate(resolve) })
    }
    assert.equal(byteLength, 32 << 20)
  }
})

test('an add whose caller goes away ends, and lets go of what it protected', async (context) => {
  const { client, leases } = await openDoor(context)
  const leaving = new AbortController()
  const reason = new Error('changed my mind')
  async function * body (): AsyncIterable<Uint8Array> {
    yield new Uint8Array(1 << 20)
    leaving.abort(reason)
    await new Promise((resolve) => { setTimeout(resolve, 20) })
    yield new Uint8Array(1 << 20)
  }
  await assert.rejects(add(client, body(), leaving.signal), (err) => err === reason)
  for (let tries = 0; leases.list().length > 0; tries++) {
    assert.ok(tries < 200, 'the lease is released')
    await new Promise((resolve) => { setTimeout(resolve, 10) })
  }
})

test('a source that fails ends the call with its own error', async (context) => {
  const { client } = await openDoor(context)
  const failure = new Error('the tape is torn')
  async function * body (): AsyncIterable<Uint8Array> {
    yield new Uint8Array(10)
    throw failure
  }
  await assert.rejects(add(client, body()), (err) => err === failure)
})

test('arguments are checked before anything is done, and each mistake is named', async (context) => {
  const { client } = await openDoor(context)
  const wrong = { path: '', offset: -1, colour: 'red' }
  await assert.rejects(Array.fromAsync(client.call('cat', wrong)), (err) => {
    assert.ok(isErrorCode(err, 'INVALID'))
    for (const word of ['path', 'offset', 'colour']) assert.ok(err.message.includes(word), err.message)
    return true
  })
})

test('what is no operation is 404, and nothing but POST is answered', async (context) => {
  const { socketPath } = await openDoor(context)
  for (const [method, path] of [['GET', '/v1/id'], ['POST', '/v1/'], ['POST', '/v1/constructor'], ['POST', '/v1/__proto__'], ['POST', '/v2/id'], ['POST', '/v1/id/x']]) {
    const sent = request({ socketPath, method, path }).end()
    const [response] = await once(sent, 'response') as [{ statusCode: number, resume(): void }]
    response.resume()
    assert.equal(response.statusCode, 404, `${method} ${path}`)
  }
})

test('arguments without an end are refused before they fill the memory', async (context) => {
  const { socketPath } = await openDoor(context)
  const sent = request({ socketPath, method: 'POST', path: '/v1/id' })
  sent.on('error', () => {})
  const piece = Buffer.alloc(1 << 20, 'x')
  const answered = once(sent, 'response') as Promise<[AsyncIterable<Buffer>]>
  for (let written = 0; written <= MAX_ARGS_BYTES + piece.byteLength; written += piece.byteLength) sent.write(piece)
  const [response] = await answered
  let text = ''
  for await (const bytes of response) text += bytes.toString()
  assert.match(text, /"code":"LIMIT"/)
  sent.destroy()
})

test('an unforeseen failure arrives as one, and the door stays open', async (context) => {
  const blocks = new MemoryBlockstore()
  blocks.usage = async () => { throw new TypeError('x is not a function') }
  const { client } = await openDoor(context, blocks)
  await assert.rejects(Array.fromAsync(client.call('repo-stat', {})), /x is not a function/)
  assert.equal((await Array.fromAsync(client.call('id', {}))).length, 1)
})

test('a door that nobody listens at is UNAVAILABLE and says how to start a node', async () => {
  await assert.rejects(Array.fromAsync(createApiClient('/nonexistent/api.sock').call('id', {})), (err) => isErrorCode(err, 'UNAVAILABLE') && err.details.reason === 'no-daemon')
})

test('whatever reads a whole DAG says so when it opens its reader, and only for what the path names', async (context) => {
  const blocks = new MemoryBlockstore()
  const opened: boolean[] = []
  const { client } = await openDoor(context, blocks, (_root, { walk = false }) => {
    opened.push(walk)
    return readerOf(blocks)
  })
  const cid = await add(client, repeat(new Uint8Array(10), 1))
  const folder = await Block.of(encodeDagPb({ links: [{ cid: CID.parse(cid), name: Buffer.from('file'), tsize: 10 }], data: Uint8Array.of(8, 1) }), { codec: CODECS.dagPb })
  await blocks.put(folder)
  const below = `${folder.cid}/file`
  const rows: ReadonlyArray<[walks: boolean[], answers: AsyncIterable<unknown>]> = [
    [[true], client.call('cat', { path: cid }, {})],
    [[false], client.call('cat', { path: cid, offset: 1 }, {})],
    [[false], client.call('cat', { path: cid, length: 1 }, {})],
    [[false, true], client.call('cat', { path: below }, {})],
    [[true], client.call('get', { path: folder.cid.toString() }, {})],
    [[false], client.call('ls', { path: folder.cid.toString() }, {})],
    [[true], client.call('stat', { path: cid }, {})],
    [[false], client.call('stat', { path: cid, dag: false }, {})],
    [[false, true], client.call('dag-export', { path: below }, {})],
    [[false, true], client.call('pin-add', { path: below, kind: 'recursive' }, {})],
    [[false], client.call('pin-add', { path: below, kind: 'direct', name: 'alone' }, {})]
  ]
  for (const [index, [walks, answers]] of rows.entries()) {
    opened.length = 0
    await Array.fromAsync(answers)
    assert.deepEqual(opened, walks, `row ${index}`)
  }
})

test('what is fetched is told as events with blocks, bytes and peers, in all of both readers', async (context) => {
  const blocks = new MemoryBlockstore()
  let readerCount = 0
  const { client } = await openDoor(context, blocks, (_root, { onProgress }) => {
    const byteLength = ++readerCount === 1 ? 100 : 5000
    return {
      ...readerOf(blocks),
      get: async (cid, options) => {
        onProgress?.({ blockCount: 1, byteLength, peerCount: 2 })
        await new Promise((resolve) => { setTimeout(resolve, 2 * PROGRESS_INTERVAL_MS) })
        return await blocks.get(cid, options)
      }
    }
  })
  const cid = await add(client, repeat(new Uint8Array(10), 1))
  const folder = await Block.of(encodeDagPb({ links: [{ cid: CID.parse(cid), name: Buffer.from('file'), tsize: 10 }], data: Uint8Array.of(8, 1) }), { codec: CODECS.dagPb })
  await blocks.put(folder)
  const events: unknown[] = []
  for await (const answer of client.call('cat', { path: `${folder.cid}/file` }, {})) {
    if (answer.type === 'event' && 'progress' in answer.event && answer.event.progress.peerCount !== undefined) events.push(answer.event.progress)
  }
  assert.deepEqual(events[0], { phase: 'fetching', blockCount: 1, byteLength: 100, peerCount: 2 })
  assert.deepEqual(events.at(-1), { phase: 'fetching', blockCount: 2, byteLength: 5100, peerCount: 2 })
})
