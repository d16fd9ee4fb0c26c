import { writeCar } from '@holdfast/car'
import { openPackBlockstore, type PackBlockstore } from '@holdfast/blockstore/pack'
import { Block, isErrorCode } from '@holdfast/core'
import { importBytes, recipeOf, type RecipeOptions, walkDag } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { createApiListener } from '../api-listener.ts'
import type { ApiNode } from '../api-node.ts'
import { openApiNode } from '../harness.test.ts'
import type { PlacedSection } from '../operations.ts'
import { type ApiClient, createApiClient } from './api-client.ts'
import { readArchive } from './read-archive.ts'

const CONTENT = Buffer.from(Uint32Array.from({ length: 500_000 }, (_, index) => Math.imul(index + 1, 2_654_435_761)).buffer)

interface OpenNode {
  readonly client: ApiClient
  readonly store: PackBlockstore
  /** Bytes that came through the socket, and places that were told. */
  readonly came: { bytes: number, sections: PlacedSection[] }
  /** Called with each answer before it is looked at. */
  readonly between: { run: (count: number) => Promise<void> }
  add(recipe: RecipeOptions): Promise<CID>
  expected(root: CID): Promise<Buffer>
}

async function openNode (context: TestContext): Promise<OpenNode> {
  const parts = await openApiNode(context)
  const { folder } = parts.repository
  const store = await openPackBlockstore(join(folder, 'store'), { durability: 'os' })
  context.after(async () => { await store[Symbol.asyncDispose]() })
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
  const client = createApiClient(socketPath)
  const came: OpenNode['came'] = { bytes: 0, sections: [] }
  const between: OpenNode['between'] = { run: async () => {} }
  const watching: ApiClient = {
    async * call (name, args, options) {
      let count = 0
      for await (const answer of client.call(name, args, options)) {
        if (answer.type === 'bytes') came.bytes += answer.bytes.byteLength
        else if (typeof answer.event === 'object' && 'sections' in answer.event) came.sections.push(...answer.event.sections)
        await between.run(count++)
        yield answer
      }
    }
  }
  return {
    client: watching,
    store,
    came,
    between,
    add: async (recipe) => {
      const { cid } = await importBytes(store, (async function * () { yield CONTENT })(), recipeOf(recipe))
      await store.flush()
      return cid
    },
    expected: async (root) => Buffer.concat(await Array.fromAsync(writeCar([root], walkDag(store, [root]))))
  }
}

async function archiveOf (client: ApiClient, root: CID): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const answer of readArchive(client, { path: root.toString() })) if (answer.type === 'bytes') pieces.push(Buffer.from(answer.bytes))
  return Buffer.concat(pieces)
}

async function overwrite (path: string, at: number, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, 'r+')
  await file.write(bytes, 0, bytes.byteLength, at)
}

const RECIPES: Readonly<Record<string, { readonly recipe: RecipeOptions, readonly isPlaced: boolean }>> = {
  'long raw leaves': { recipe: { chunker: 'size-262144', maxFileLinks: 3 }, isPlaced: true },
  'short raw leaves': { recipe: { chunker: 'size-4096' }, isPlaced: false },
  'leaves of dag-pb': { recipe: { chunker: 'size-262144', rawLeaves: false, cidVersion: 0 }, isPlaced: false },
  'another hash': { recipe: { chunker: 'size-262144', hash: 'blake2b-256' }, isPlaced: false },
  'one raw block': { recipe: { chunker: 'size-2000000' }, isPlaced: true }
}

for (const [name, { recipe, isPlaced }] of Object.entries(RECIPES)) {
  test(`an archive is the same, byte for byte, whether blocks are read where they lie or come through the socket: ${name}`, async (context) => {
    const { client, came, add, expected } = await openNode(context)
    const root = await add(recipe)
    const archive = await archiveOf(client, root)
    assert.equal(Buffer.compare(archive, await expected(root)), 0)
    if (isPlaced) assert.ok(came.bytes < 2000, `${came.bytes} bytes came through the socket`)
    else assert.equal(came.bytes, archive.byteLength)
  })
}

test('blocks that are no longer where they were told to be are asked for, in their place', async (context) => {
  const { client, store, came, between, add, expected } = await openNode(context)
  const root = await add({ chunker: 'size-262144' })
  const wanted = await expected(root)
  const blocks = new Map<string, Uint8Array>()
  for await (const { cid, bytes } of walkDag(store, [root])) blocks.set(cid.toString(), Uint8Array.from(bytes))
  let brokenCount = 0
  between.run = async () => {
    // After they were told, and before they are read: two beside each other, and the last one.
    for (const index of [1, 2, 7]) {
      const section = came.sections[index]
      if (section === undefined || brokenCount >= 3) continue
      brokenCount++
      const bytes = blocks.get(section.cid)
      assert.ok(bytes !== undefined)
      await overwrite(section.path, section.offset, Buffer.from('elsewhere'))
      // The daemon notices, and has it again elsewhere.
      await assert.rejects(Array.fromAsync(walkDag(store, [root])), (err) => isErrorCode(err, 'CORRUPT') || isErrorCode(err, 'NOT_FOUND'))
      for await (const cid of store.quarantined()) await store.put(await Block.of(blocks.get(cid.toString()) ?? bytes))
    }
  }
  assert.equal(Buffer.compare(await archiveOf(client, root), wanted), 0)
  assert.equal(brokenCount, 3)
  assert.ok(came.bytes > 3 * 200_000, 'they came through the socket')
})

test('a block that is damaged ends the archive with what is wrong, after all that was before it', async (context) => {
  const { client, came, between, add, expected } = await openNode(context)
  const root = await add({ chunker: 'size-262144' })
  const wanted = await expected(root)
  between.run = async () => {
    const section = came.sections[3]
    if (section !== undefined) await overwrite(section.path, section.offset + 10, Buffer.from('rot'))
  }
  const pieces: Buffer[] = []
  await assert.rejects(async () => {
    for await (const answer of readArchive(client, { path: root.toString() })) if (answer.type === 'bytes') pieces.push(Buffer.from(answer.bytes))
  }, (err) => isErrorCode(err, 'CORRUPT'))
  const written = Buffer.concat(pieces)
  assert.ok(written.byteLength > 3 * 262_144 && written.equals(wanted.subarray(0, written.byteLength)))
})

test('an archive that nobody wants any more ends with the reason given', async (context) => {
  const { client, add } = await openNode(context)
  const root = await add({ chunker: 'size-262144' })
  const aborting = new AbortController()
  const reason = new Error('changed my mind')
  await assert.rejects(async () => {
    for await (const answer of readArchive(client, { path: root.toString() }, aborting)) if (answer.type === 'bytes') aborting.abort(reason)
  }, (err) => err === reason)
})
