import { encodeCarHeader, encodeCarSection, readCar } from '@holdfast/car'
import { Block, CODECS, encodeDagPb, HoldfastError, isErrorCode } from '@holdfast/core'
import { DEFAULT_PROFILE, importBytes, recipeOf, walkDag } from '@holdfast/dag'
import { MemoryBlockstore } from '@holdfast/blockstore'
import fc from 'fast-check'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { ApiNode } from '../api-node.ts'
import { openApiNode } from '../harness.test.ts'
import type { ArgsOf, EventOf } from '../operations.ts'
import { dagExport, dagImport } from './car.ts'

const { signal } = new AbortController()

async function * inPieces (bytes: Uint8Array, pieceByteLength = 1000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += pieceByteLength) yield bytes.subarray(at, at + pieceByteLength)
}

/** A file of a few leaves, as the blocks below its root in the order of a CAR. */
async function smallDag (seed: number): Promise<{ root: CID, blocks: Block[] }> {
  const store = new MemoryBlockstore()
  const { cid: root } = await importBytes(store, inPieces(new Uint8Array(1000).map((_, index) => (index * seed) % 251)), recipeOf({ profile: DEFAULT_PROFILE, chunker: 'size-200' }))
  return { root, blocks: await Array.fromAsync(walkDag(store, [root])) }
}

function carOf (roots: readonly CID[], blocks: readonly Block[]): Uint8Array {
  return Buffer.concat([encodeCarHeader(roots), ...blocks.flatMap((block) => encodeCarSection(block))])
}

type Imported = Extract<EventOf<'dag-import'>, { imported: unknown }>['imported']

/** Imports by the handler of the door, from a body or from files, and returns what it told. */
async function run (node: ApiNode, from: Uint8Array | readonly string[], args: Partial<ArgsOf<'dag-import'>> = {}): Promise<{ told: Imported[], failure?: unknown }> {
  const told: Imported[] = []
  const isBody = from instanceof Uint8Array
  const exchange = {
    signal,
    body: inPieces(isBody ? from : new Uint8Array()),
    emit: async (event: EventOf<'dag-import'>) => { if ('imported' in event) told.push(event.imported) },
    send: async () => {}
  }
  try {
    await dagImport(node, { paths: isBody ? [] : from, ...args }, exchange)
    return { told }
  } catch (failure) {
    return { told, failure }
  }
}

async function archives (context: TestContext, ...cars: readonly Uint8Array[]): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  context.after(async () => { await rm(folder, { recursive: true, force: true }) })
  return await Promise.all(cars.map(async (car, index) => {
    const path = join(folder, `${index}.car`)
    await writeFile(path, car)
    return path
  }))
}

async function empty (store: MemoryBlockstore): Promise<void> {
  for (const cid of await Array.fromAsync(store.list())) await store.delete(cid)
}

function pinnedCids (node: ApiNode): string[] {
  return [...node.pins.list()].map(({ cid }) => cid.toString())
}

test('T2.7-a: an archive that is cut at any byte pins nothing, keeps the blocks before the cut, and says where and after how many', async (context) => {
  const { root, blocks } = await smallDag(7)
  const car = carOf([root], blocks)
  const ends = blocks.keys().map((index) => carOf([root], blocks.slice(0, index + 1)).byteLength).toArray()
  const store = new MemoryBlockstore()
  const node = await openApiNode(context, { blocks: store })
  for (let cut = 0; cut < car.byteLength; cut++) {
    await empty(store)
    const { told, failure } = await run(node, car.subarray(0, cut))
    const wholeCount = ends.filter((end) => end <= cut).length
    assert.equal((await store.usage()).blockCount, wholeCount, `blocks of an archive cut at ${cut}`)
    assert.deepEqual(pinnedCids(node), [], `pins of an archive cut at ${cut}`)
    assert.ok(failure instanceof HoldfastError, `cut at ${cut}: ${String(failure)}`)
    // Between two sections it is an archive with fewer blocks: then a block below the root is missing.
    const isBetween = cut === encodeCarHeader([root]).byteLength || ends.includes(cut)
    assert.equal(failure.code, isBetween ? 'NOT_FOUND' : 'INVALID')
    assert.equal(told.length, isBetween ? 1 : 0)
    if (isBetween || cut < encodeCarHeader([root]).byteLength) continue
    assert.equal(failure.details['byteOffset'], ends[wholeCount - 1] ?? encodeCarHeader([root]).byteLength)
    assert.match(failure.message, new RegExp(`at byte ${String(failure.details['byteOffset'])} .*\\b${wholeCount} blocks before that are stored, and nothing is pinned`))
  }
})

test('T2.7-b, -f and -g: whatever byte of an archive is damaged, no wrong block is stored and no root is pinned that is not whole', async (context) => {
  const { root, blocks } = await smallDag(11)
  const car = carOf([root], blocks)
  const known = new Set(blocks.map(({ cid }) => cid.toString()))
  const store = new MemoryBlockstore()
  const node = await openApiNode(context, { blocks: store })
  await fc.assert(fc.asyncProperty(fc.nat(car.byteLength - 1), fc.integer({ min: 1, max: 255 }), async (at, mask) => {
    await empty(store)
    for (const { cid } of Array.from(node.pins.list())) await node.pins.remove({ cid })
    const damaged = Uint8Array.from(car)
    damaged[at] = (damaged[at] ?? 0) ^ mask
    const { failure } = await run(node, damaged)
    assert.ok(failure === undefined || failure instanceof HoldfastError, String(failure))
    for await (const cid of store.list()) await store.get(cid)
    for (const pinned of pinnedCids(node)) assert.ok(known.has(pinned) && (await Array.fromAsync(walkDag(store, [root]))).length === blocks.length, `${pinned} is pinned`)
  }), { numRuns: 500 })
})

test('T2.7-c: a block that is there a thousand times is stored once and counted as often as it came', async (context) => {
  const store = new MemoryBlockstore()
  const node = await openApiNode(context, { blocks: store })
  const block = await Block.of(Buffer.from('again'))
  const { told, failure } = await run(node, carOf([block.cid], Array.from({ length: 1000 }, () => block)))
  assert.equal(failure, undefined)
  assert.deepEqual(told.map(({ blockCount, byteLength }) => [blockCount, byteLength]), [[1000, 5000]])
  assert.equal((await store.usage()).blockCount, 1)
})

test('T2.7-e: a root that is not here is not pinned and says so, and the other roots are pinned', async (context) => {
  const node = await openApiNode(context)
  const absent = await Block.of(Buffer.from('nowhere'))
  const lone = await Block.of(Buffer.from('lone'))
  const { told, failure } = await run(node, carOf([absent.cid, lone.cid], [lone]), { name: 'from an archive' })
  assert.ok(isErrorCode(failure, 'NOT_FOUND'), String(failure))
  assert.deepEqual(told.map(({ roots, pinned }) => ({ roots, pinned })), [{ roots: [absent.cid.toString(), lone.cid.toString()], pinned: [lone.cid.toString()] }])
  assert.deepEqual([...node.pins.list()].map(({ cid, name }) => [cid.toString(), name]), [[lone.cid.toString(), 'from an archive']])
})

test('several roots that cannot be pinned are one error that counts them', async (context) => {
  const node = await openApiNode(context)
  const [first, second] = await Promise.all(['one', 'two'].map(async (text) => await Block.of(Buffer.from(text))))
  assert.ok(first !== undefined && second !== undefined)
  const { failure } = await run(node, carOf([first.cid, second.cid], []))
  assert.ok(isErrorCode(failure, 'NOT_FOUND'))
  assert.match(failure.message, /^2 roots could not be pinned, the first is /)
})

test('a DAG that is spread over archives is pinned when all of them are read', async (context) => {
  const node = await openApiNode(context)
  const { root, blocks } = await smallDag(13)
  const paths = await archives(context, carOf([root], blocks.slice(0, 2)), carOf([], blocks.slice(2)))
  const { told, failure } = await run(node, paths)
  assert.equal(failure, undefined)
  assert.deepEqual(told.map(({ source, blockCount, pinned }) => [source, blockCount, pinned]), [[paths[0], 2, [root.toString()]], [paths[1], blocks.length - 2, []]])
})

test('a broken archive keeps the roots of those before it from being pinned, and is named', async (context) => {
  const store = new MemoryBlockstore()
  const node = await openApiNode(context, { blocks: store })
  const { root, blocks } = await smallDag(17)
  const car = carOf([root], blocks)
  const paths = await archives(context, car, car.subarray(0, -1))
  const { told, failure } = await run(node, paths)
  assert.ok(isErrorCode(failure, 'INVALID') && failure.message.includes(paths[1] ?? '?'), String(failure))
  assert.equal(failure.details['source'], paths[1])
  assert.deepEqual([told, pinnedCids(node), (await store.usage()).blockCount], [[], [], blocks.length])
})

test('without pins a part of a DAG is imported, and what only identity CIDs name is no block to store', async (context) => {
  const store = new MemoryBlockstore()
  const node = await openApiNode(context, { blocks: store })
  const inline = await Block.of(Buffer.from('inline'), { hash: 0 })
  const parent = await Block.of(encodeDagPb({ links: [{ cid: inline.cid, name: new Uint8Array(), tsize: 6 }], data: Buffer.from([8, 1]) }), { codec: CODECS.dagPb })
  const { told, failure } = await run(node, carOf([parent.cid], [parent, inline]), { pinRoots: false })
  assert.equal(failure, undefined)
  assert.deepEqual([told[0]?.pinned, told[0]?.blockCount, pinnedCids(node), (await store.usage()).blockCount], [[], 2, [], 1])
})

test('with localOnly an export holds what is here and names the same root; without it a missing block ends it', async (context) => {
  const { root, blocks } = await smallDag(19)
  const store = new MemoryBlockstore()
  await store.putMany(blocks.filter((_, index) => index !== 2))
  const node = await openApiNode(context, { blocks: store })
  const exported = async (localOnly: boolean): Promise<Uint8Array> => {
    const pieces: Uint8Array[] = []
    await dagExport(node, { path: root.toString(), localOnly }, { signal, body: inPieces(new Uint8Array()), emit: async () => {}, send: async (bytes) => { pieces.push(Uint8Array.from(bytes)) } })
    return Buffer.concat(pieces)
  }
  const reader = await readCar(inPieces(await exported(true)))
  assert.deepEqual(reader.roots.map(String), [root.toString()])
  assert.deepEqual((await Array.fromAsync(reader.blocks)).map(({ cid }) => cid.toString()), blocks.filter((_, index) => index !== 2).map(({ cid }) => cid.toString()))
  await assert.rejects(exported(false), (err) => isErrorCode(err, 'NOT_FOUND') && err.message.includes(blocks[2]?.cid.toString() ?? '?'))
})
