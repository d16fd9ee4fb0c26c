import { MemoryBlockstore } from '@holdfast/blockstore'
import { type Block, decodeDagPb, HoldfastError, isErrorCode } from '@holdfast/core'
import { MemoryBlockstore as OracleBlockstore } from 'blockstore-core/memory'
import fc from 'fast-check'
import { importer } from 'ipfs-unixfs-importer'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ImportRecipe, recipeOf } from '../profile.ts'
import { BATCH_BYTES, BATCHES_IN_FLIGHT } from './block-sink.ts'
import { importBytes, type ImportedEntry, importSources } from './import-tree.ts'
import { decodeUnixFs } from '../unixfs.ts'
import type { ImportSource } from './source.ts'

/** A tree as plain values: bytes are a file, a map is a directory. */
interface Tree { readonly [name: string]: Uint8Array | Tree }

const nameArbitrary = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
  .map((name) => name.replace(/[/\0\\]/g, '_'))
  .filter((name) => name !== '.' && name !== '..' && Buffer.byteLength(name) <= 255 && Buffer.from(name).toString() === name && !name.startsWith('__proto__'))

const { tree: treeArbitrary } = fc.letrec<{ tree: Tree, entry: Uint8Array | Tree }>((tie) => ({
  entry: fc.oneof({ maxDepth: 3 }, fc.uint8Array({ maxLength: 3000 }), tie('tree')),
  tree: fc.dictionary(nameArbitrary, tie('entry'), { maxKeys: 6, noNullPrototype: true })
}))

for (const profile of ['unixfs-v0-2015', 'unixfs-v1-2025'] as const) {
  test(`random trees get the CIDs that ipfs-unixfs-importer gives with ${profile}`, async () => {
    await fc.assert(fc.asyncProperty(treeArbitrary, fc.constantFrom(7, 256, 1024), async (tree, chunkBytes) => {
      // The oracle leaves empty directories out, so every directory of the comparison holds a file.
      const filled = fill(tree)
      const recipe: ImportRecipe = { ...recipeOf({ profile }), chunking: { kind: 'size', chunkBytes } }
      const [root] = await importSources(new MemoryBlockstore(), [sourceOf('root', filled)], recipe)
      assert.equal(root?.cid.toString(), await oracleCid(filled, profile, chunkBytes))
    }), { numRuns: 150 })
  })
}

test('chunks come out the same however the content is cut into pieces', async () => {
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 5000 }), fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1 }), fc.integer({ min: 1, max: 700 }), async (bytes, cuts, chunkBytes) => {
    const recipe: ImportRecipe = { ...recipeOf(), chunking: { kind: 'size', chunkBytes } }
    const whole = await importBytes(new MemoryBlockstore(), pieces(bytes, [bytes.byteLength + 1]), recipe)
    const cut = await importBytes(new MemoryBlockstore(), pieces(bytes, cuts), recipe)
    assert.equal(cut.cid.toString(), whole.cid.toString())
    assert.equal(cut.byteLength, bytes.byteLength)
  }))
})

test('an aborted import rejects with the reason before anything is written', async () => {
  const store = new MemoryBlockstore()
  const reason = new Error('changed my mind')
  await assert.rejects(importSources(store, [sourceOf('root', { a: Buffer.from('a') })], recipeOf(), { signal: AbortSignal.abort(reason) }), (err) => err === reason)
  assert.equal((await store.usage()).blockCount, 0)
})

test('an import that is aborted half-way stops reading', async () => {
  const controller = new AbortController()
  const reason = new Error('enough')
  let read = 0
  async function * endless (): AsyncIterable<Uint8Array> {
    for (;;) {
      if (++read === 50) controller.abort(reason)
      yield new Uint8Array(1 << 20).fill(read)
    }
  }
  await assert.rejects(importBytes(new MemoryBlockstore(), endless(), recipeOf(), { signal: controller.signal }), (err) => err === reason)
  assert.ok(read <= 52, `${read} pieces read`)
})

test('the failure of one file ends the import with that failure, and nothing runs on', async () => {
  const store = new MemoryBlockstore()
  const failure = new HoldfastError('UNAVAILABLE', 'Cannot read b')
  let open = 0
  const file = (name: string, content: () => AsyncIterable<Uint8Array>): ImportSource => ({ kind: 'file', name: Buffer.from(name), open: content })
  async function * slow (): AsyncIterable<Uint8Array> {
    open++
    try {
      for (let index = 0; index < 100; index++) {
        await new Promise((resolve) => setTimeout(resolve, 1))
        yield new Uint8Array(10)
      }
    } finally {
      open--
    }
  }
  async function * broken (): AsyncIterable<Uint8Array> {
    yield new Uint8Array(10)
    throw failure
  }
  const tree: ImportSource = {
    kind: 'directory',
    name: Buffer.from('root'),
    async * entries () {
      for (let index = 0; index < 30; index++) yield file(`a${index}`, slow)
      yield file('b', broken)
      for (let index = 0; index < 30; index++) yield file(`c${index}`, slow)
    }
  }
  await assert.rejects(importSources(store, [tree], recipeOf()), (err) => err === failure)
  assert.equal(open, 0)
})

test('a failing store ends the import with its error', async () => {
  const full = new HoldfastError('LIMIT', 'The disk is full')
  const store = { async put () { throw full }, async putMany () { throw full } }
  await assert.rejects(importBytes(store, pieces(new Uint8Array(1000), [100]), recipeOf()), (err) => err === full)
})

test('blocks wait in at most a few batches while the store is slow', async () => {
  let inFlight = 0
  let most = 0
  const store = {
    async put () {},
    async putMany (blocks: readonly Block[]) {
      inFlight += blocks.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
      most = Math.max(most, inFlight)
      await new Promise((resolve) => setTimeout(resolve, 5))
      inFlight -= blocks.reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
    }
  }
  async function * content (): AsyncIterable<Uint8Array> {
    for (let index = 0; index < 100; index++) yield new Uint8Array(1 << 20).fill(index)
  }
  await importBytes(store, content(), recipeOf())
  assert.ok(most <= BATCH_BYTES * BATCHES_IN_FLIGHT, `${most} bytes in flight`)
})

test('entries are reported with their paths, children before their directory', async () => {
  const entries: ImportedEntry[] = []
  const tree = sourceOf('root', { a: Buffer.from('aa'), sub: { b: Buffer.from('b') } })
  await importSources(new MemoryBlockstore(), [tree], recipeOf(), { wrap: true, onEntry: async (entry) => { entries.push(entry) } })
  const paths = entries.map(({ path, kind, byteLength }) => `${kind} ${path} ${byteLength}`)
  assert.deepEqual(paths.toSorted(), ['directory  3', 'directory root 3', 'directory root/sub 1', 'file root/a 2', 'file root/sub/b 1'])
  assert.ok(paths.indexOf('file root/sub/b 1') < paths.indexOf('directory root/sub 1'))
})

const BAD_NAMES = ['', '.', '..', 'a/b', 'a\0b', 'x'.repeat(256)]

test('names that no directory can hold are refused', async () => {
  for (const name of BAD_NAMES) {
    const tree = sourceOf('root', { [name]: Buffer.from('a') })
    await assert.rejects(importSources(new MemoryBlockstore(), [tree], recipeOf()), (err) => isErrorCode(err, 'INVALID'), JSON.stringify(name))
  }
})

test('two sources of one name cannot be wrapped into one directory', async () => {
  const sources = [sourceOf('same', { a: Buffer.from('a') }), sourceOf('same', { b: Buffer.from('b') })]
  await assert.rejects(importSources(new MemoryBlockstore(), sources, recipeOf(), { wrap: true }), (err) => isErrorCode(err, 'INVALID'))
})

test('recipes refuse what contradicts itself or is out of range', () => {
  const refused = [{ profile: 'unixfs-v9' }, { chunker: 'size-0' }, { chunker: 'size-2096897' }, { chunker: 'size' }, { cidVersion: 2 }, { cidVersion: 0, hash: 'sha2-512' }, { maxFileLinks: 1 }, { maxFileLinks: 2.5 },
    { chunker: 'rabin-30' }, { chunker: 'rabin-15-32-64' }, { chunker: 'rabin-64-32-128' }, { chunker: 'rabin-16-32-32' }, { chunker: 'rabin-16-32-2096897' }, { chunker: 'buzhash-1' }, { chunker: 'avg' },
    { maxDirectoryLinks: -1 }, { maxHamtFanout: 4 }, { maxHamtFanout: 24 }, { maxHamtFanout: 2048 }, { inline: true, inlineLimit: 129 }, { inline: true, inlineLimit: -1 },
    { hash: 'identity' }, { rawLeaves: true, keepsAttributes: true }, { profile: 'constructor' }]
  for (const options of refused) assert.throws(() => recipeOf(options), (err) => isErrorCode(err, 'INVALID'), JSON.stringify(options))
  assert.throws(() => recipeOf({ hash: 'md5' }), (err) => isErrorCode(err, 'UNSUPPORTED'))
  assert.deepEqual(recipeOf({ profile: 'unixfs-v0-2015', hash: 'blake3' }).cidVersion, 1)
})

test('a recipe takes what is named on top of its profile, and the rest from the profile', () => {
  const named = recipeOf({ profile: 'unixfs-v0-2015', chunker: 'rabin-100000', trickle: true, maxDirectoryLinks: 9, maxHamtFanout: 64, inline: true })
  assert.deepEqual(named, { ...recipeOf({ profile: 'unixfs-v0-2015' }), chunking: { kind: 'rabin', minBytes: 33_333, avgBytes: 100_000, maxBytes: 150_000 }, layout: 'trickle', maxDirectoryLinks: 9, hamtFanout: 64, inlineBytes: 32 })
  assert.deepEqual(recipeOf({ inlineLimit: 64 }), recipeOf(), 'a limit alone puts nothing into a CID')
  assert.deepEqual(recipeOf({ chunker: 'rabin-min:16-avg:32-max:64' }).chunking, recipeOf({ chunker: 'rabin-16-32-64' }).chunking)
  assert.equal(recipeOf({ keepsAttributes: true }).rawLeaves, false)
})

test('a directory becomes a HAMT with one link more than it may have, and at the top only when its widths hold there', async () => {
  const recipe = recipeOf({ maxDirectoryLinks: 4, maxHamtFanout: 8 })
  const treeOf = (count: number): Tree => ({ sub: Object.fromEntries(Array.from({ length: count }, (_, index) => [`f${index}`, Buffer.from('x')])) })
  const typesOf = async (tree: Tree, ignoreWidthsAtTop: boolean): Promise<Array<string | undefined>> => {
    const store = new MemoryBlockstore()
    const roots = await importSources(store, [sourceOf('top', treeOf(5).sub as Tree), sourceOf('top', tree)], recipe, { ignoreWidthsAtTop })
    const cids = [roots[0]?.cid, decodeDagPb(bytesOf(await store.get(roots[1]?.cid ?? assert.fail()))).links[0]?.cid]
    return await Promise.all(cids.map(async (cid) => decodeUnixFs(decodeDagPb(bytesOf(await store.get(cid ?? assert.fail()))).data ?? assert.fail()).type))
  }
  assert.deepEqual(await typesOf(treeOf(4), false), ['hamt-sharded-directory', 'directory'])
  assert.deepEqual(await typesOf(treeOf(5), false), ['hamt-sharded-directory', 'hamt-sharded-directory'])
  assert.deepEqual(await typesOf(treeOf(5), true), ['directory', 'hamt-sharded-directory'])
})

test('a block of at most the inline limit is in its CID and nowhere else', async () => {
  const store = new MemoryBlockstore()
  const [root] = await importSources(store, [sourceOf('top', { small: Buffer.alloc(16, 1), large: Buffer.alloc(17, 1) })], recipeOf({ inline: true, inlineLimit: 16 }))
  const { links } = decodeDagPb(bytesOf(await store.get(root?.cid ?? assert.fail())))
  assert.deepEqual(links.map(({ cid }) => cid.multihash.code), [0x12, 0x00])
  assert.deepEqual(links[1]?.cid.multihash.digest, new Uint8Array(16).fill(1))
  assert.equal((await store.usage()).blockCount, 2)
})

test('with inline blocks also an empty file is in its CID', async () => {
  const { cid } = await importBytes(new MemoryBlockstore(), pieces(new Uint8Array(), [1]), recipeOf({ inline: true }))
  assert.equal(cid.toString(), 'bafkqaaa')
})

test('what cannot be read is told by path and left out, and everything else is imported', async () => {
  const gone = new HoldfastError('NOT_FOUND', 'gone')
  const failing: ImportSource = { kind: 'file', name: Buffer.from('failing'), async * open () { yield Buffer.from('x'); throw gone } }
  const unreadable: ImportSource = { kind: 'unreadable', name: Buffer.from('unreadable'), reason: gone }
  const unlisted: ImportSource = { kind: 'directory', name: Buffer.from('unlisted'), async * entries () { yield sourceOf('seen', { a: Buffer.from('a') }); throw gone } }
  const top: ImportSource = { kind: 'directory', name: Buffer.from('top'), async * entries () { yield * [failing, unreadable, unlisted, sourceOf('good', { b: Buffer.from('b') })] } }
  const told: string[] = []
  const [root] = await importSources(new MemoryBlockstore(), [top], recipeOf(), { onUnreadable: async (path, reason) => { told.push(path); assert.equal(reason, gone) } })
  const [without] = await importSources(new MemoryBlockstore(), [sourceOf('top', { good: { b: Buffer.from('b') } })], recipeOf())
  assert.deepEqual(told.toSorted(), ['top/failing', 'top/unlisted', 'top/unreadable'])
  assert.equal(root?.cid.toString(), without?.cid.toString())
  await assert.rejects(importSources(new MemoryBlockstore(), [top], recipeOf()), (err) => err === gone)
})

test('a store that fails ends the import, also when unreadable files would not', async () => {
  const full = new HoldfastError('LIMIT', 'full')
  const writer = { put: async () => { throw full }, putMany: async () => { throw full } }
  await assert.rejects(importSources(writer, [sourceOf('top', { a: Buffer.from('a') })], recipeOf(), { onUnreadable: async () => { assert.fail('nothing was unreadable') } }), (err) => err === full)
})

test('a directory of empty directories is left out with them, and the one at the top stays', async () => {
  const [root] = await importSources(new MemoryBlockstore(), [sourceOf('top', { hollow: { empty: {} } })], recipeOf(), { emptyDirectories: false })
  assert.equal(root?.cid.toString(), 'bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354')
})

test('a directory is one block exactly at the threshold and sharded one byte above it', async () => {
  // Links estimation counts name and CID: 4,096 times (28 + 36) bytes are 262,144.
  const recipe = { ...recipeOf({ profile: 'unixfs-v0-2015' }), rawLeaves: true }
  const names = Array.from({ length: 4096 }, (_, index) => String(index).padStart(28, '0'))
  const treeOf = (all: readonly string[]): Tree => Object.fromEntries(all.map((name) => [name, Buffer.alloc(0)]))
  assert.equal(await blockCount(treeOf(names), recipe), 2)
  assert.ok(await blockCount(treeOf([...names.slice(1), 'x'.repeat(29)]), recipe) > 200)
})

/** Number of distinct blocks of a directory of empty files: 2 is one leaf and one directory block. */
async function blockCount (tree: Tree, recipe: ImportRecipe): Promise<number> {
  const store = new MemoryBlockstore()
  await importSources(store, [sourceOf('root', tree)], recipe)
  return (await store.usage()).blockCount
}

function fill (tree: Tree): Tree {
  const entries = Object.entries(tree).map(([name, value]) => [name, value instanceof Uint8Array ? value : fill(value)] as const)
  return entries.length === 0 ? { filler: Buffer.from('filler') } : Object.fromEntries(entries)
}

function sourceOf (name: string, value: Uint8Array | Tree): ImportSource {
  const bytes = Buffer.from(name)
  if (value instanceof Uint8Array) return { kind: 'file', name: bytes, open: () => pieces(value, [1000]) }
  return { kind: 'directory', name: bytes, async * entries () { for (const [child, below] of Object.entries(value)) yield sourceOf(child, below) } }
}

async function * pieces (bytes: Uint8Array, cuts: readonly number[]): AsyncIterable<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.byteLength; turn++) {
    const length = cuts[turn % cuts.length] ?? 1
    yield bytes.subarray(at, at += length)
  }
}

function * flatten (path: string, tree: Tree): Generator<{ path: string, content: Uint8Array }> {
  for (const [name, value] of Object.entries(tree)) {
    const below = `${path}/${name}`
    if (value instanceof Uint8Array) yield { path: below, content: value }
    else yield * flatten(below, value)
  }
}

async function oracleCid (tree: Tree, profile: 'unixfs-v0-2015' | 'unixfs-v1-2025', chunkBytes: number): Promise<string> {
  const { fixedSize } = await import('ipfs-unixfs-importer/chunker')
  let last = ''
  const options = { profile, chunker: fixedSize({ chunkSize: chunkBytes }) }
  for await (const { cid } of importer(flatten('root', tree), new OracleBlockstore(), options)) last = cid.toString()
  return last
}

function bytesOf (block: Block | undefined): Uint8Array {
  return block?.bytes ?? assert.fail('The block was stored')
}

test('an import that is aborted while it builds a large HAMT ends at once', async () => {
  const controller = new AbortController()
  const reason = new Error('enough')
  async function * entries (): AsyncIterable<ImportSource> {
    for (let index = 0; index < 60_000; index++) yield { kind: 'symlink', name: Buffer.from(`name-${index}`), target: Buffer.from('x') }
    // The last entry is out: what follows is the work on the directory alone.
    setImmediate(() => { controller.abort(reason) })
  }
  let afterAbort = 0
  const writer = { put: async () => {}, putMany: async () => { if (controller.signal.aborted) afterAbort++ } }
  await assert.rejects(importSources(writer, [{ kind: 'directory', name: Buffer.from('d'), entries }], recipeOf(), { signal: controller.signal }), (err) => err === reason)
  assert.ok(afterAbort <= 1, `${afterAbort} batches were written after the abort`)
})
