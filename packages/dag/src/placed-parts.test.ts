import { MemoryBlockstore } from '@holdfast/blockstore'
import { PLACED_BLOCKS_AHEAD } from '@holdfast/blockstore/places'
import { HoldfastError, isErrorCode } from '@holdfast/core'
import { countingBlockstore } from '@holdfast/testkit'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, open, readdir, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { putBytes, putFileNode } from '../test/hand-made.ts'
import { placeFile } from '../test/placed-file.ts'
import { MIN_PLACED_BYTES, type PlaceOf } from './placed-parts.ts'
import { readFile, type ReadFileOptions } from './read-file.ts'

const folder = await mkdtemp(join(tmpdir(), 'placed-'))
after(async () => await rm(folder, { recursive: true, force: true }))

const FILE_BYTES: number = 2 * MIN_PLACED_BYTES + 54_321
const CONTENT = randomBytes(FILE_BYTES)

for (const [name, recipe] of Object.entries({ 'raw leaves': {}, 'leaves of dag-pb': { rawLeaves: false, cidVersion: 0 }, 'a trickle': { trickle: true }, 'a hash that is not looked for in files': { hash: 'sha2-512' } })) {
  test(`content that lies in files is what went in, in every range: ${name}`, async () => {
    const { store, cid, placeOf } = await placeFile(join(folder, name), CONTENT, { chunker: 'size-300000', maxFileLinks: 5, ...recipe })
    const { store: counting, counts } = countingBlockstore(store)
    await fc.assert(fc.asyncProperty(fc.nat(FILE_BYTES), fc.nat(FILE_BYTES), async (offset, byteLength) => {
      assert.ok((await readAll(counting, cid, { placeOf, offset, byteLength })).equals(CONTENT.subarray(offset, offset + byteLength)))
    }), { numRuns: 25 })
    counts.get = 0
    assert.ok((await readAll(counting, cid, { placeOf })).equals(CONTENT))
    if (name !== 'a hash that is not looked for in files') assert.ok(counts.get < 15, `${counts.get} blocks were read through the store, of 29 leaves`)
  })
}

test('what is not right where it should lie comes from the store, and what is missing there is told as ever', async () => {
  const { store, cid, placeOf, places } = await placeFile(join(folder, 'damaged'), CONTENT, { chunker: 'size-1048576' })
  const [, , third] = [...places.values()].filter(({ byteLength }) => byteLength === 1048576)
  assert.ok(third !== undefined)
  const wrongs: readonly PlaceOf[] = [
    () => undefined,
    (each) => { const place = placeOf(each); return place && { ...place, path: join(folder, 'absent') } },
    (each) => { const place = placeOf(each); return place && { ...place, offset: place.offset + 1 } },
    (each) => { const place = placeOf(each); return place?.offset === third.offset ? undefined : place },
    (each) => { const place = placeOf(each); return place && { ...place, offset: 2 ** 40 } }
  ]
  for (const wrong of wrongs) assert.ok((await readAll(store, cid, { placeOf: wrong })).equals(CONTENT))
  await using file = await open(third.path, 'r+')
  await file.write(Buffer.from('rot'), 0, 3, third.offset + 77)
  assert.ok((await readAll(store, cid, { placeOf })).equals(CONTENT))

  const leaf = await findLeaf(store, third.byteLength)
  await store.delete(leaf)
  await assert.rejects(readAll(store, cid, { placeOf: (each) => each.equals(leaf) ? undefined : placeOf(each) }), (err) => isErrorCode(err, 'NOT_FOUND') && err instanceof HoldfastError && err.details['cid'] === leaf.toString())
})

test('a stalled reader of 10 GiB that lies in a file holds four blocks, and asks for no more', async () => {
  const path = join(folder, 'repeated')
  const bytes = randomBytes(1 << 20)
  await writeFile(path, bytes)
  const store = new MemoryBlockstore()
  const chunk = { cid: await putBytes(store, bytes), byteLength: bytes.byteLength }
  const inner = await putFileNode(store, Array.from({ length: 1024 }, () => chunk))
  const root = await putFileNode(store, Array.from({ length: 10 }, () => inner))
  await store.delete(chunk.cid)
  let placedCount = 0
  const placeOf: PlaceOf = (cid) => {
    if (!cid.equals(chunk.cid)) return { path, offset: 0, byteLength: 10 } // A node, shorter than what is below it.
    placedCount++
    return { path, offset: 0, byteLength: bytes.byteLength }
  }
  const pieces = readFile(store, root.cid, { placeOf })[Symbol.asyncIterator]()
  const memories = new Set<ArrayBufferLike>()
  for (let taken = 1; taken <= 1100; taken++) {
    const { value } = await pieces.next()
    memories.add(value.buffer)
    assert.ok(placedCount <= taken + PLACED_BLOCKS_AHEAD + 1, `${placedCount} blocks for ${taken} pieces`)
  }
  assert.ok(memories.size <= PLACED_BLOCKS_AHEAD + 2, `${memories.size} buffers of 1 MiB`)
  const before = placedCount
  for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => { setImmediate(resolve) })
  assert.equal(placedCount, before)
  await pieces.return?.()
})

test('many readers of one file take one descriptor, which is closed behind the last', { skip: process.platform !== 'linux' && 'descriptors are counted in /proc' }, async () => {
  const path = join(folder, 'shared')
  const { store, cid, placeOf } = await placeFile(path, CONTENT, { chunker: 'size-1048576' })
  const readers = Array.from({ length: 50 }, () => readFile(store, cid, { placeOf })[Symbol.asyncIterator]())
  for (const reader of readers) assert.equal((await reader.next()).done, false)
  assert.equal(await descriptorsOf(path), 1)
  for (const reader of readers) await reader.return?.()
  assert.equal(await descriptorsOf(path), 0)
})

test('an abort ends a reading by places with the reason given', async () => {
  const { store, cid, placeOf } = await placeFile(join(folder, 'aborted'), CONTENT, { chunker: 'size-1048576' })
  const leaving = new AbortController()
  const reason = new Error('changed my mind')
  await assert.rejects(async () => {
    for await (const _ of readFile(store, cid, { placeOf, signal: leaving.signal })) leaving.abort(reason)
  }, (err) => err === reason)
})

async function descriptorsOf (path: string): Promise<number> {
  const targets = await Promise.all((await readdir('/proc/self/fd')).map(async (fd) => await readlink(`/proc/self/fd/${fd}`).catch(() => '')))
  return targets.filter((target) => target === path).length
}

async function findLeaf (store: MemoryBlockstore, byteLength: number): Promise<Awaited<ReturnType<typeof putBytes>>> {
  for await (const cid of store.list()) if ((await store.get(cid))?.bytes.byteLength === byteLength) return cid
  throw new Error('There is no such leaf')
}

/** Copies each piece, as whoever keeps one must. */
async function readAll (...args: [Parameters<typeof readFile>[0], Parameters<typeof readFile>[1], ReadFileOptions]): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of readFile(...args)) pieces.push(Buffer.from(piece))
  return Buffer.concat(pieces)
}
