import { openPackBlockstore, type PackBlockstore } from '@holdfast/blockstore/pack'
import { isErrorCode } from '@holdfast/core'
import { importBytes, type RecipeOptions, recipeOf } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { open, rename, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createApiListener } from '../api-listener.ts'
import type { ApiNode } from '../api-node.ts'
import { MIN_PLACED_BYTES } from '../handlers/places.ts'
import { openApiNode } from '../harness.test.ts'
import type { PlacedBlock } from '../operations.ts'
import { type ApiClient, createApiClient } from './api-client.ts'
import { PlacedContent } from './placed-content.ts'
import { readContent } from './read-content.ts'

const FILE_BYTES = 2 * MIN_PLACED_BYTES + 12_345

/** Bytes without a pattern that repeats within a block. */
const CONTENT = Buffer.from(Uint32Array.from({ length: FILE_BYTES / 4 + 1 }, (_, index) => Math.imul(index + 1, 2_654_435_761)).buffer, 0, FILE_BYTES)

const RECIPES: Readonly<Record<string, RecipeOptions>> = {
  'raw leaves': { chunker: 'size-262144', maxFileLinks: 5 },
  'leaves of dag-pb': { chunker: 'size-262144', rawLeaves: false, cidVersion: 0 },
  'another hash': { chunker: 'size-1048576', hash: 'blake2b-256' }
}

for (const [name, recipe] of Object.entries(RECIPES)) {
  test(`content and every range of it come out as they went in: ${name}`, async (context) => {
    const { client, sent, add } = await openNode(context)
    const path = String(await add(recipe))
    assert.ok((await contentOf(client, { path })).equals(CONTENT))
    for (const [offset, length] of [[1, undefined], [262_143, MIN_PLACED_BYTES + 3], [FILE_BYTES - 5, 100], [FILE_BYTES + 5, 100], [7, 0]] as const) {
      assert.ok((await contentOf(client, { path, offset, length })).equals(CONTENT.subarray(offset, length === undefined ? undefined : offset + length)), `${offset} ${length}`)
    }
    sent.bytes = 0
    await contentOf(client, { path })
    assert.equal(sent.bytes, name === 'another hash' ? FILE_BYTES : 0, 'bytes that went through the door')
  })
}

test('a block that is damaged where it lies is never given out, and the daemon says which', async (context) => {
  const { client, add, store } = await openNode(context)
  const path = String(await add(RECIPES['raw leaves'] ?? {}))
  const third = [...await leavesOf(client, path)][2]
  assert.ok(third !== undefined)
  await overwrite(third.path, third.offset + 100, Buffer.from('rot'))
  const pieces: Uint8Array[] = []
  await assert.rejects(async () => {
    for await (const answer of readContent(client, { path })) if (answer.type === 'bytes') pieces.push(Buffer.from(answer.bytes))
  }, (err) => isErrorCode(err, 'CORRUPT'))
  assert.ok(Buffer.concat(pieces).equals(CONTENT.subarray(0, 2 * 262_144)), 'all before it, and nothing of it')
  assert.equal((await Array.fromAsync(store.quarantined())).length, 1, 'the daemon has looked at it too')
})

test('blocks that were moved away meanwhile come from the daemon, from where the reading stopped', async (context) => {
  const { client, add, sent } = await openNode(context)
  const path = String(await add(RECIPES['raw leaves'] ?? {}))
  const places = [...await leavesOf(client, path)]
  const [first] = places
  assert.ok(first !== undefined)
  // The daemon keeps the pack open; whoever comes later finds no file of this name.
  await contentThrough(client, { path })
  await rename(first.path, `${first.path}.away`)
  sent.bytes = 0
  assert.ok((await contentOf(client, { path })).equals(CONTENT))
  assert.equal(sent.bytes, FILE_BYTES)
  await rename(`${first.path}.away`, first.path)
})

test('a caller that stops in the middle closes what it opened, and an abort rejects with its reason', async (context) => {
  const { client, add } = await openNode(context)
  const path = String(await add(RECIPES['raw leaves'] ?? {}))
  for await (const answer of readContent(client, { path })) if (answer.type === 'bytes') break
  const leaving = new AbortController()
  const reason = new Error('changed my mind')
  await assert.rejects(async () => {
    for await (const answer of readContent(client, { path }, { signal: leaving.signal })) if (answer.type === 'bytes') leaving.abort(reason)
  }, (err) => err === reason)
})

test('what another version might name is refused before memory is taken for it', async (context) => {
  const { client, add } = await openNode(context)
  const [place] = await leavesOf(client, String(await add(RECIPES['raw leaves'] ?? {})))
  assert.ok(place !== undefined)
  const wrong: ReadonlyArray<Partial<PlacedBlock>> = [{ byteLength: 2 ** 40 }, { byteLength: place.byteLength - 1 }, { sha256: '' }, { head: 'AA==' }, { to: place.byteLength + 1 }, { path: join(place.path, 'absent') }, { offset: 2 ** 40 }]
  for (const change of wrong) {
    await using placed = new PlacedContent()
    await assert.rejects(Array.fromAsync(placed.read([{ ...place, ...change }])), JSON.stringify(change))
  }
})

interface OpenNode {
  readonly client: ApiClient
  readonly store: PackBlockstore
  /** Content that went through the door. */
  readonly sent: { bytes: number }
  add(recipe: RecipeOptions): Promise<CID>
}

/** A door before a store of packs. */
async function openNode (context: TestContext): Promise<OpenNode> {
  const parts = await openApiNode(context)
  const { folder } = parts.repository
  const store = await openPackBlockstore(join(folder, 'store'), { durability: 'os' })
  context.after(async () => {
    await store[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })
  const node: ApiNode = {
    ...parts,
    blocks: store,
    engine: { name: 'pack', durability: 'os', figures: async () => ({}), placeOf: (cid) => store.placeOf(cid) },
    openReader: () => ({ get: (cid, options) => store.get(cid, options), has: (cid, options) => store.has(cid, options), [Symbol.dispose] () {} })
  }
  const socketPath = join(folder, 'api.sock')
  const server = createServer(createApiListener(node)).listen(socketPath)
  await once(server, 'listening')
  context.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const sent = { bytes: 0 }
  const client = createApiClient(socketPath)
  const counting: ApiClient = {
    async * call (name, args, options) {
      for await (const answer of client.call(name, args, options)) {
        if (answer.type === 'bytes') sent.bytes += answer.bytes.byteLength
        yield answer
      }
    }
  }
  const add = async (recipe: RecipeOptions): Promise<CID> => {
    const { cid } = await importBytes(store, piecesOf(CONTENT), recipeOf(recipe))
    await store.flush()
    return cid
  }
  return { client: counting, store, sent, add }
}

async function * piecesOf (bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes
}

async function contentOf (client: ApiClient, range: Parameters<typeof readContent>[1]): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const answer of readContent(client, range)) if (answer.type === 'bytes') pieces.push(Buffer.from(answer.bytes))
  return Buffer.concat(pieces)
}

/** All of it as bytes, as a caller without files asks. */
async function contentThrough (client: ApiClient, args: { readonly path: string }): Promise<void> {
  for await (const _ of client.call('cat', args));
}

async function leavesOf (client: ApiClient, path: string): Promise<PlacedBlock[]> {
  const places: PlacedBlock[] = []
  for await (const answer of client.call('cat', { path, places: true })) if (answer.type === 'event' && 'places' in answer.event) places.push(...answer.event.places)
  return places
}

async function overwrite (path: string, at: number, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, 'r+')
  await file.write(bytes, 0, bytes.byteLength, at)
}
