import { type BlockReader, MemoryBlockstore } from '@holdfast/blockstore'
import { Block, CODECS, type HoldfastError, isErrorCode, isHoldfastError } from '@holdfast/core'
import { countingBlockstore, faultyBlockstore } from '@holdfast/testkit'
import { MemoryBlockstore as OracleBlockstore } from 'blockstore-core/memory'
import fc from 'fast-check'
import { importer } from 'ipfs-unixfs-importer'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced, trickle } from 'ipfs-unixfs-importer/layout'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Child, copyOracle, linkTo, patternBytes, putBytes, putDagCbor, putDirectory, putFileNode, putUnixFs } from '../test/hand-made.ts'
import { FIRST_BLOCKS_AHEAD, MAX_BLOCKS_AHEAD, MAX_FILE_LEVELS } from './file-window.ts'
import { readFile, type ReadFileOptions } from './read-file.ts'

const CHUNK_BYTES = 64
const MAX_CHILDREN = 3

/** Around the places where a tree of 64-byte leaves, three to a node, changes its shape. */
const FILE_LENGTHS = [0, 1, 63, 64, 65, 127, 128, 129, 191, 192, 193, 575, 576, 577, 1727, 1728, 1729, 5000]

const LAYOUTS = {
  'balanced with raw leaves': { rawLeaves: true, layout: balanced({ maxChildrenPerNode: MAX_CHILDREN }) },
  'balanced with file leaves': { rawLeaves: false, layout: balanced({ maxChildrenPerNode: MAX_CHILDREN }) },
  'trickle with raw-type leaves': { rawLeaves: false, leafType: 'raw', layout: trickle({ maxChildrenPerNode: MAX_CHILDREN }) }
} as const

for (const [layout, options] of Object.entries(LAYOUTS)) {
  test(`every range of a file is what the importer was given: ${layout}`, async () => {
    const files = await Promise.all(FILE_LENGTHS.map(async (byteLength) => await importOracle(patternBytes(byteLength), options)))
    await fc.assert(fc.asyncProperty(fc.constantFrom(...files), fc.nat(6000), fc.option(fc.nat(6000), { nil: undefined }), fc.constantFrom(0, 1, 100, 4096), async ({ store, cid, bytes }, offset, byteLength, windowBytes) => {
      const read = await readAll(store, cid, { offset, byteLength, windowBytes })
      assert.deepEqual(read, Buffer.from(bytes.subarray(offset, byteLength === undefined ? undefined : offset + byteLength)))
    }), { numRuns: 400 })
    for (const { store, cid, bytes } of files) assert.deepEqual(await readAll(store, cid), Buffer.from(bytes), `${bytes.byteLength} bytes`)
  })
}

test('an inner node may hold bytes of its own before those of its links', async () => {
  const store = new MemoryBlockstore()
  const inner = await putFileNode(store, [await leaf(store, 'cd'), await leaf(store, 'ef')], { data: Buffer.from('ab') })
  const root = await putFileNode(store, [inner, await leaf(store, 'gh')], { type: 'raw' })
  assert.equal((await readAll(store, root.cid)).toString(), 'abcdefgh')
  assert.equal((await readAll(store, root.cid, { offset: 1, byteLength: 5 })).toString(), 'bcdef')
})

test('a leaf may be carried by its link as an identity CID', async () => {
  const store = new MemoryBlockstore()
  const inline = { cid: CID.createV1(CODECS.raw, createDigest(0, Buffer.from('inline'))), byteLength: 6 }
  const root = await putFileNode(store, [await leaf(store, 'not '), inline])
  assert.equal((await readAll(store, root.cid)).toString(), 'not inline')
})

test('only the blocks of the range and the nodes above them are read', async () => {
  const { store, root } = await wideFile(64)
  const { store: counting, counts } = countingBlockstore(store)
  assert.equal((await readAll(counting, root.cid, { offset: 10 * 1000 + 500, byteLength: 1000 })).byteLength, 1000)
  assert.equal(counts.get, 3, 'the root and two leaves')
})

test('a block that is absent outside of the range is not missed', async () => {
  const { store, root, leaves } = await wideFile(64)
  for (const index of [0, 9, 12, 63]) await removeLeaf(store, leaves, index)
  assert.equal((await readAll(store, root.cid, { offset: 10_000, byteLength: 2000 })).byteLength, 2000)
})

test('a block that is absent fails the read when its turn comes, not before', async () => {
  const { store, root, leaves } = await wideFile(8)
  const absent = await removeLeaf(store, leaves, 3)
  const pieces: Uint8Array[] = []
  await assert.rejects(async () => {
    for await (const piece of readFile(store, root.cid)) pieces.push(piece)
  }, (err) => isNoBlock(err, absent))
  assert.equal(pieces.length, 3)
})

test('a consumer that stops early never hears of failures ahead of it', async () => {
  const { store, root, leaves } = await wideFile(8)
  await removeLeaf(store, leaves, 1)
  for await (const piece of readFile(store, root.cid)) {
    assert.equal(piece.byteLength, 1000)
    break
  }
})

test('a stalled consumer holds no more than the window, and nothing more is asked for', async () => {
  const { store, root } = await wideFile(400)
  const { store: counting, counts } = countingBlockstore(store)
  const pieces = readFile(counting, root.cid)[Symbol.asyncIterator]()
  await pieces.next()
  assert.ok(counts.get <= 1 + FIRST_BLOCKS_AHEAD * 2, `${counts.get} gets for the first piece`)
  for (let taken = 1; taken < 100; taken++) await pieces.next()
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.ok(counts.get <= 1 + 100 + MAX_BLOCKS_AHEAD, `${counts.get} gets for 100 pieces`)
  await pieces.return?.()
})

test('a stalled reader of a file of 10 GiB holds less than 8 MiB, and asks for nothing more', async () => {
  const store = new MemoryBlockstore()
  const chunk = { cid: await putBytes(store, Buffer.alloc(1 << 20)), byteLength: 1 << 20 }
  const inner = await putFileNode(store, Array.from({ length: 1024 }, () => chunk))
  const root = await putFileNode(store, Array.from({ length: 10 }, () => inner))
  assert.equal(root.byteLength, 10 * 2 ** 30)
  const { store: counting, counts } = countingBlockstore(store)
  const pieces = readFile(counting, root.cid)[Symbol.asyncIterator]()
  for (let taken = 1; taken <= 1500; taken++) {
    const { value } = await pieces.next()
    assert.equal(value.byteLength, 1 << 20)
    const nodeCount = 1 + Math.ceil((taken + MAX_BLOCKS_AHEAD) / 1024)
    // Content that was asked for and not taken: blocks that wait, with the nodes among them counted as content too.
    assert.ok((counts.get - taken - nodeCount) << 20 <= 8 << 20, `${counts.get} blocks for ${taken} pieces`)
  }
  const before = counts.get
  for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => { setImmediate(resolve) })
  assert.equal(counts.get, before, 'nothing is read while nobody takes anything')
  await pieces.return?.()
})

test('a block that is missing or damaged in the middle is told with its place in the file', async () => {
  const { store, root, leaves } = await wideFile(8)
  const absent = await removeLeaf(store, leaves, 3)
  await assert.rejects(readAll(store, root.cid), (err) => isNoBlock(err, absent) && err.details['fileOffset'] === 3000 && err.message === `Block ${absent} was not found (at byte 3000 of the file ${root.cid})`)
  const wrong = await putFileNode(store, [...leaves.slice(0, 2), { cid: leaves[2]?.cid ?? root.cid, byteLength: 999 }])
  await assert.rejects(readAll(store, wrong.cid), (err) => isErrorCode(err, 'CORRUPT') && isHoldfastError(err) && err.details['fileOffset'] === 2000 && err.details['file'] === wrong.cid.toString())
})

test('the window is bounded in bytes, whatever the number of blocks', async () => {
  const { store, root } = await wideFile(64)
  const { store: counting, counts } = countingBlockstore(faultyBlockstore(store, { delayMs: 1 }))
  assert.equal((await readAll(counting, root.cid, { windowBytes: 3500 })).byteLength, 64_000)
  assert.equal(counts.maxGetsInFlight, 3)
})

test('a window smaller than a block reads one block after the other', async () => {
  const { store, root } = await wideFile(5)
  const { store: counting, counts } = countingBlockstore(faultyBlockstore(store, { delayMs: 1 }))
  assert.equal((await readAll(counting, root.cid, { windowBytes: 0 })).byteLength, 5000)
  assert.equal(counts.maxGetsInFlight, 1)
})

test('reading ahead goes on where a subtree ends', async () => {
  const store = new MemoryBlockstore()
  const subtrees = await Promise.all(Array.from({ length: 30 }, async (_, index) => await putFileNode(store, [await leaf(store, `a${index}`), await leaf(store, `b${index}`)])))
  const root = await putFileNode(store, subtrees)
  const { store: counting, counts } = countingBlockstore(faultyBlockstore(store, { delayMs: 2 }))
  await readAll(counting, root.cid)
  assert.equal(counts.get, 91)
  assert.ok(counts.maxGetsInFlight > 6, `${counts.maxGetsInFlight} gets at once, though each subtree has two leaves`)
})

test('an inner node that arrives ahead is opened while the reader waits for what comes before it', async () => {
  const store = new MemoryBlockstore()
  const slow = await leaf(store, 'slow')
  const root = await putFileNode(store, [slow, await putFileNode(store, [await leaf(store, 'quick')])])
  const asked: string[] = []
  const { promise: arrival, resolve: arrive } = Promise.withResolvers<void>()
  const blocks: BlockReader = {
    has: async (cid) => await store.has(cid),
    get: async (cid) => {
      const block = await store.get(cid)
      asked.push(Buffer.from(block?.bytes ?? []).toString())
      if (cid.equals(slow.cid)) await arrival
      if (asked.at(-1) === 'quick') arrive()
      return block
    }
  }
  assert.equal((await readAll(blocks, root.cid)).toString(), 'slowquick')
  assert.equal(asked.length, 4)
})

test('return() aborts what was asked for', async () => {
  const { store, root } = await wideFile(64)
  const aborted: string[] = []
  const slow: BlockReader = {
    has: async (cid) => await store.has(cid),
    get: async (cid, { signal } = {}) => {
      if (aborted.length === 0 && (await store.get(cid))?.bytes[0] !== 3) return await store.get(cid)
      return await new Promise((_resolve, reject) => signal?.addEventListener('abort', () => {
        aborted.push(cid.toString())
        reject(signal.reason)
      }))
    }
  }
  const pieces = readFile(slow, root.cid)[Symbol.asyncIterator]()
  for (let index = 0; index < 3; index++) await pieces.next()
  await pieces.return?.()
  assert.equal(aborted.length, 1, 'the fourth leaf was under way')
})

test('an abort between two pieces rejects the next with the reason given', async () => {
  const { store, root } = await wideFile(64)
  const controller = new AbortController()
  const pieces = readFile(store, root.cid, { signal: controller.signal })[Symbol.asyncIterator]()
  await pieces.next()
  const reason = new Error('changed my mind')
  controller.abort(reason)
  await assert.rejects(async () => await pieces.next(), (err) => err === reason)
})

test('an abort ends the wait for a block with the reason given', async () => {
  const { store, root } = await wideFile(64)
  const controller = new AbortController()
  const reason = new Error('changed my mind')
  const slow = lagAfterRoot(store, root.cid, 60_000)
  setImmediate(() => controller.abort(reason))
  await assert.rejects(readAll(slow, root.cid, { signal: controller.signal }), (err) => err === reason)
})

test('an aborted signal is seen before the first read', async () => {
  const { store, root } = await wideFile(2)
  const reason = new Error('changed my mind')
  await assert.rejects(readAll(store, root.cid, { signal: AbortSignal.abort(reason) }), (err) => err === reason)
})

test('what is not a file is refused', async () => {
  const store = new MemoryBlockstore()
  for (const cid of [await putDirectory(store, []), await putUnixFs(store, { type: 'symlink', data: Buffer.from('a') }), await putDagCbor(store, { a: 1 }), await putBytes(store, Buffer.from('?'), 0x99)]) {
    await assert.rejects(readAll(store, cid), (err) => isErrorCode(err, 'INVALID') && /is not a file/.test(err.message))
  }
})

test('offsets and lengths that are no whole numbers of bytes are refused', async () => {
  const { store, root } = await wideFile(1)
  for (const options of [{ offset: -1 }, { offset: 0.5 }, { byteLength: -1 }, { byteLength: Number.NaN }, { windowBytes: -1 }]) {
    await assert.rejects(readAll(store, root.cid, options), (err) => isErrorCode(err, 'INVALID'), JSON.stringify(options))
  }
})

test('a root whose lengths do not add up is corrupt', async () => {
  const store = new MemoryBlockstore()
  const { cid, byteLength } = await leaf(store, 'abc')
  const lies: Record<string, Parameters<typeof putUnixFs>> = {
    'filesize too large': [store, { type: 'file', byteLength: byteLength + 1, blockByteLengths: [byteLength] }, [linkTo(cid)]],
    'filesize too small': [store, { type: 'file', byteLength: byteLength - 1, blockByteLengths: [byteLength] }, [linkTo(cid)]],
    'a link without a length': [store, { type: 'file', byteLength, blockByteLengths: [byteLength] }, [linkTo(cid), linkTo(cid)]],
    'a length without a link': [store, { type: 'file', byteLength: 2 * byteLength, blockByteLengths: [byteLength, byteLength] }, [linkTo(cid)]],
    'a leaf with more than it declares': [store, { type: 'file', byteLength: 1, data: Buffer.from('ab') }],
    'a sum beyond safe integers': [store, { type: 'file', blockByteLengths: [2 ** 53 - 1, 2 ** 53 - 1] }, [linkTo(cid), linkTo(cid)]]
  }
  for (const [lie, node] of Object.entries(lies)) {
    await assert.rejects(readAll(store, await putUnixFs(...node)), (err) => isErrorCode(err, 'CORRUPT'), lie)
  }
})

test('a child that does not deliver what its parent declares is corrupt', async () => {
  const store = new MemoryBlockstore()
  const children = { 'raw': await leaf(store, 'abc'), 'file leaf': { cid: await putUnixFs(store, { type: 'file', data: Buffer.from('abc'), byteLength: 3 }), byteLength: 3 }, 'inner node': await putFileNode(store, [await leaf(store, 'abc')]) }
  for (const [kind, { cid }] of Object.entries(children)) {
    for (const byteLength of [2, 4]) {
      const root = await putFileNode(store, [{ cid, byteLength }, await leaf(store, 'z')])
      await assert.rejects(readAll(store, root.cid), (err) => isErrorCode(err, 'CORRUPT') && err.details['found'] === 3, `${kind} declared as ${byteLength}`)
    }
  }
})

test('a child that cannot be a part of a file is refused', async () => {
  const store = new MemoryBlockstore()
  for (const cid of [await putDirectory(store, []), await putDagCbor(store, 1), await putBytes(store, Buffer.from([0xff]), CODECS.dagPb)]) {
    const root = await putFileNode(store, [{ cid, byteLength: 1 }])
    await assert.rejects(readAll(store, root.cid), (err) => isErrorCode(err, 'INVALID'))
  }
})

test('links that repeat on 31 levels describe terabytes, of which any range is read at once', async () => {
  const store = new MemoryBlockstore()
  let child: Child = { cid: await putBytes(store, patternBytes(1024)), byteLength: 1024 }
  for (let level = 0; level < MAX_FILE_LEVELS - 1; level++) child = await putFileNode(store, [child, child])
  const { store: counting, counts } = countingBlockstore(store)
  assert.equal(child.byteLength, 2 ** 41)
  const read = await readAll(counting, child.cid, { offset: 2 ** 40 - 512, byteLength: 1024 })
  assert.deepEqual(read, Buffer.concat([patternBytes(1024).subarray(512), patternBytes(1024).subarray(0, 512)]))
  assert.ok(counts.get < 100, `${counts.get} gets`)
})

test('seven blocks that claim millions of terabytes are corrupt, not followed', async () => {
  const store = new MemoryBlockstore()
  let child: Child = await leaf(store, 'x')
  await assert.rejects(async () => {
    for (let level = 0; level < 7; level++) {
      child = await putFileNode(store, Array.from({ length: 6000 }, () => child))
      await readAll(store, child.cid, { byteLength: 1 })
    }
  }, (err) => isErrorCode(err, 'CORRUPT') || isErrorCode(err, 'INVALID'))
})

test('a file nested 5,000 levels deep ends at the limit', async () => {
  const store = new MemoryBlockstore()
  let child: Child = await leaf(store, 'x')
  for (let level = 0; level < 5000; level++) child = await putFileNode(store, [child])
  const { store: counting, counts } = countingBlockstore(store)
  await assert.rejects(readAll(counting, child.cid), (err) => isErrorCode(err, 'LIMIT'))
  assert.ok(counts.get <= MAX_FILE_LEVELS + 1, `${counts.get} gets`)
})

test('inner nodes of 65,536 links on every level end at the limit of links held', async () => {
  const store = new MemoryBlockstore()
  let child: Child = await leaf(store, 'x')
  const { byteLength } = child
  const filler = Array.from({ length: 40_000 }, () => ({ cid: child.cid, byteLength }))
  for (let level = 0; level < 10; level++) child = await putFileNode(store, [child, ...filler])
  await assert.rejects(readAll(store, child.cid), (err) => isErrorCode(err, 'LIMIT'))
})

test('a child without bytes is never read', async () => {
  const store = new MemoryBlockstore()
  const absent = await Block.of(Buffer.from('absent'))
  const nothing = { cid: absent.cid, byteLength: 0 }
  const root = await putFileNode(store, [nothing, await leaf(store, 'abc'), nothing, await leaf(store, 'def'), nothing])
  assert.equal((await readAll(store, root.cid)).toString(), 'abcdef')
})

async function importOracle (bytes: Uint8Array, options: Parameters<typeof importer>[2]): Promise<{ store: MemoryBlockstore, cid: CID, bytes: Uint8Array }> {
  const oracle = new OracleBlockstore()
  const [root] = await Array.fromAsync(importer([{ path: 'file', content: bytes }], oracle, { ...options, chunker: fixedSize({ chunkSize: CHUNK_BYTES }) }))
  assert.ok(root !== undefined)
  return { store: await copyOracle(oracle), cid: root.cid, bytes }
}

async function leaf (store: MemoryBlockstore, text: string): Promise<Child> {
  return { cid: await putBytes(store, Buffer.from(text)), byteLength: Buffer.byteLength(text) }
}

/** A root over leaves of 1,000 bytes; the first byte of a leaf is its index. */
async function wideFile (leafCount: number): Promise<{ store: MemoryBlockstore, root: Child, leaves: Child[] }> {
  const store = new MemoryBlockstore()
  const leaves = await Promise.all(Array.from({ length: leafCount }, async (_, index) => ({ cid: await putBytes(store, Buffer.alloc(1000, Uint8Array.of(index & 0xff, index >> 8))), byteLength: 1000 })))
  return { store, root: await putFileNode(store, leaves), leaves }
}

async function removeLeaf (store: MemoryBlockstore, leaves: readonly Child[], index: number): Promise<CID> {
  const removed = leaves[index]
  assert.ok(removed !== undefined && await store.delete(removed.cid))
  return removed.cid
}

function lagAfterRoot (store: MemoryBlockstore, root: CID, delayMs: number): BlockReader {
  const slow = faultyBlockstore(store, { delayMs })
  return { has: async (cid) => await store.has(cid), get: async (cid, options) => await (cid.equals(root) ? store : slow).get(cid, options) }
}

function isNoBlock (err: unknown, cid: CID): err is HoldfastError {
  return isHoldfastError(err) && err.code === 'NOT_FOUND' && err.details['reason'] === 'no-block' && err.details['cid'] === cid.toString()
}

async function readAll (blocks: BlockReader, cid: CID, options?: ReadFileOptions): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(readFile(blocks, cid, options)))
}
