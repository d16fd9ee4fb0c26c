import { MemoryBlockstore } from '@holdfast/blockstore'
import { Block, HoldfastError, isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { recipeOf, type RecipeOptions } from '../profile.ts'
import { walkDag } from '../walk.ts'
import { openDiskSource } from './disk-source.ts'
import { importBytes, importSources } from './import-tree.ts'
import { type LeafKeeper, LEAVES_AT_ONCE, type PlacedLeaf } from './leaf-references.ts'

/** Keeps what it is told, and the order of it. */
class Keeper implements LeafKeeper {
  readonly leaves: PlacedLeaf[] = []
  readonly synced: string[] = []
  largestBatch = 0

  async refer (leaves: readonly PlacedLeaf[]): Promise<void> {
    this.leaves.push(...leaves)
    this.largestBatch = Math.max(this.largestBatch, leaves.length)
  }

  async syncFile (path: string): Promise<void> {
    this.synced.push(path)
  }
}

async function makeTree (context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  context.after(async () => { await rm(folder, { recursive: true, force: true }) })
  await mkdir(join(folder, 'below'))
  for (const [name, byteLength] of [['empty', 0], ['short', 20], ['below/long', 300_001]] as const) {
    await writeFile(join(folder, name), Uint8Array.from({ length: byteLength }, (_, index) => (index * 31 + (index >> 8)) % 251))
  }
  return folder
}

const RECIPES: Readonly<Record<string, RecipeOptions>> = {
  'chunks of their own memory': { chunker: 'size-65536' },
  'short chunks': { chunker: 'size-100' },
  'chunks by content': { chunker: 'rabin-256-512-1024' },
  trickle: { chunker: 'size-1000', trickle: true },
  'inline blocks': { chunker: 'size-30', inline: true, inlineLimit: 30 }
}

for (const [name, options] of Object.entries(RECIPES)) {
  test(`each leaf is told with the place of its bytes, and everything else is stored: ${name}`, async (context) => {
    const folder = await makeTree(context)
    const recipe = recipeOf({ ...options, rawLeaves: true })
    const [copied, stored, keeper] = [new MemoryBlockstore(), new MemoryBlockstore(), new Keeper()]
    const [expected] = await importSources(copied, [await openDiskSource(folder)], recipe)
    const [root] = await importSources(stored, [await openDiskSource(folder)], recipe, { leaves: keeper })
    assert.ok(root !== undefined)
    assert.equal(root.cid.toString(), expected?.cid.toString())
    const contents = new Map(await Promise.all(keeper.synced.map(async (path) => [path, await readFile(path)] as const)))
    for (const { cid, path, offset, byteLength } of keeper.leaves) await Block.verify(cid, contents.get(path)?.subarray(offset, offset + byteLength) ?? new Uint8Array())
    assert.ok(keeper.largestBatch <= LEAVES_AT_ONCE)
    assert.deepEqual(keeper.synced.toSorted(), ['below/long', 'empty', 'short'].map((file) => join(folder, file)).toSorted())

    const told = new Set(keeper.leaves.map(({ cid }) => cid.toString()))
    for await (const { cid } of walkDag(copied, [root.cid])) {
      const isStored = await stored.has(cid)
      assert.equal(isStored && cid.multihash.code !== 0, !told.has(cid.toString()) && cid.multihash.code !== 0, `${cid} is stored or told, not both`)
    }
  })
}

test('an import ends with the failure of whoever keeps the references, and content that lies in no file is refused', async (context) => {
  const folder = await makeTree(context)
  const failure = new HoldfastError('LIMIT', 'The disk is full')
  const recipe = recipeOf({ rawLeaves: true })
  const refusing: LeafKeeper = { refer: async () => { throw failure }, syncFile: async () => {} }
  await assert.rejects(importSources(new MemoryBlockstore(), [await openDiskSource(folder)], recipe, { leaves: refusing }), (err) => err === failure)
  const unsynced: LeafKeeper = { refer: async () => {}, syncFile: async () => { throw failure } }
  await assert.rejects(importSources(new MemoryBlockstore(), [await openDiskSource(folder)], recipe, { leaves: unsynced }), (err) => err === failure)
  async function * content (): AsyncGenerator<Uint8Array> { yield Uint8Array.of(1) }
  await assert.rejects(importBytes(new MemoryBlockstore(), content(), recipe, { leaves: new Keeper() }), (err) => isErrorCode(err, 'INVALID'))
})
