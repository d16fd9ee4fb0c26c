import { MemoryBlockstore } from '@holdfast/blockstore'
import type { BlockPlace } from '@holdfast/blockstore/places'
import { silentLogger } from '@holdfast/core'
import { importBytes, recipeOf } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createGateway } from './gateway.ts'
import { gatewayListener } from './listener.ts'

const FILE_BYTES: number = 24 * 1024 * 1024 + 321
const CHUNK_BYTES = 1_000_000

test('a client that takes its time gets every byte as it was, though memory is used again behind it', async (context) => {
  const { url, content, readCount } = await serve(context)
  const answers = await Promise.all([1, 3, 7].map(async (pauseAfter) => await bytesOf(await get(url), pauseAfter)))
  for (const bytes of answers) assert.ok(bytes.equals(content))
  assert.ok(readCount() < 20, `${readCount()} blocks came through the store, of 26 leaves for each of three clients`)
})

test('ranges that begin and end anywhere are right, one and several', async (context) => {
  const { url, content } = await serve(context)
  for (const [start, end] of [[0, FILE_BYTES - 1], [CHUNK_BYTES - 10, 9 * CHUNK_BYTES + 3], [CHUNK_BYTES * 3 - 60_000, FILE_BYTES - 2], [5, 6]] as const) {
    const bytes = await bytesOf(await get(url, { range: `bytes=${start}-${end}` }), 5)
    assert.ok(bytes.equals(content.subarray(start, end + 1)), `${start}-${end}`)
  }
  const parts = await bytesOf(await get(url, { range: `bytes=10-${5 * CHUNK_BYTES},${6 * CHUNK_BYTES}-${11 * CHUNK_BYTES}` }), 5)
  assert.ok(parts.includes(content.subarray(10, 5 * CHUNK_BYTES + 1)) && parts.includes(content.subarray(6 * CHUNK_BYTES, 11 * CHUNK_BYTES + 1)))
})

test('a client that goes away in the middle harms nobody else', async (context) => {
  const { url, content } = await serve(context)
  const leaving = await get(url)
  await once(leaving, 'data')
  leaving.destroy()
  assert.ok((await bytesOf(await get(url), 5)).equals(content))
})

interface Served {
  readonly url: string
  readonly content: Buffer
  /** Blocks that were asked of the store. */
  readCount(): number
}

/** A gateway over a file whose blocks also lie behind each other in one file of the disk. */
async function serve (context: TestContext): Promise<Served> {
  const folder = await mkdtemp(join(tmpdir(), 'borrowed-'))
  context.after(async () => { await rm(folder, { recursive: true, force: true }) })
  const content = randomBytes(FILE_BYTES)
  const store = new MemoryBlockstore()
  const { cid } = await importBytes(store, (async function * () { yield content })(), recipeOf({ chunker: `size-${CHUNK_BYTES}` }))
  const places = await placesOf(store, join(folder, 'blocks'))
  let readCount = 0
  const blocks = {
    get: async (...args: Parameters<MemoryBlockstore['get']>) => {
      readCount++
      return await store.get(...args)
    },
    has: async (each: CID) => await store.has(each)
  }
  const gateway = createGateway({ blocks, placeOf: (each) => places.get(keyOf(each)), log: silentLogger })
  const server = createServer(gatewayListener(gateway, { log: silentLogger })).listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/ipfs/${cid}`, content, readCount: () => readCount }
}

async function placesOf (store: MemoryBlockstore, path: string): Promise<ReadonlyMap<string, BlockPlace>> {
  const places = new Map<string, BlockPlace>()
  await using file = await open(path, 'w')
  let offset = 0
  for await (const cid of store.list()) {
    const bytes = (await store.get(cid))?.bytes ?? new Uint8Array()
    await file.write(bytes, 0, bytes.byteLength, offset)
    places.set(keyOf(cid), { path, offset, byteLength: bytes.byteLength })
    offset += bytes.byteLength
  }
  return places
}

function keyOf ({ multihash }: CID): string {
  return Buffer.from(multihash.bytes).toString('hex')
}

async function get (url: string, headers: Readonly<Record<string, string>> = {}): Promise<IncomingMessage> {
  const sent = request(url, { headers: { accept: 'application/octet-stream', ...headers } }).end()
  const [response] = await once(sent, 'response') as [IncomingMessage]
  return response
}

/** Reads a response to its end, and lets the event loop go round after every so many pieces. */
async function bytesOf (response: IncomingMessage, pauseAfter: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of response as AsyncIterable<Buffer>) {
    pieces.push(piece)
    if (pieces.length % pauseAfter === 0) await new Promise((resolve) => { setTimeout(resolve, 1) })
  }
  return Buffer.concat(pieces)
}
