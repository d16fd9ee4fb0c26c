import { Block, CODECS, HoldfastError, isErrorCode } from '@holdfast/core'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { testBlockstore } from '../conformance.ts'
import { MemoryBlockstore } from '../memory-blockstore.ts'
import { type InPlaceBlockstore, openInPlaceBlockstore, type ReferenceDraft } from './in-place-blockstore.ts'
import type { ReferenceRecords } from './reference-log.ts'
import { REFERENCE_KINDS, type ReferenceRecord } from './reference-record.ts'

/** Records as a journal keeps them, in memory: what was appended survives, whatever becomes of the store. */
class Records implements ReferenceRecords {
  records: ReferenceRecord[] = [{ kind: 'pin', value: { id: 'of somebody else' } }]
  compactions = 0
  failure: HoldfastError | undefined

  async append (records: readonly ReferenceRecord[]): Promise<void> {
    await delay(0)
    if (this.failure !== undefined) throw this.failure
    this.records.push(...structuredClone(records))
  }

  async * replay (): AsyncGenerator<ReferenceRecord> {
    yield * structuredClone(this.records)
  }

  async compact (records: Iterable<ReferenceRecord>): Promise<void> {
    const replaced = this.records
    this.records = []
    await delay(0)
    const appended = this.records
    this.records = [...replaced.filter(({ kind }) => !(REFERENCE_KINDS as readonly string[]).includes(kind)), ...structuredClone([...records]), ...appended]
    this.compactions++
  }
}

/** The records as a process has them that is killed by and by: what it would append then is nothing. */
function untilKilled (records: Records): { readonly process: ReferenceRecords, kill(): void } {
  let isKilled = false
  const process: ReferenceRecords = {
    append: async (appended) => { if (!isKilled) await records.append(appended) },
    replay: () => records.replay(),
    compact: async (compacted) => { if (!isKilled) await records.compact(compacted) }
  }
  return { process, kill: () => { isKilled = true } }
}

testBlockstore('in place, over memory', async () => await openInPlaceBlockstore({ blocks: new MemoryBlockstore(), records: new Records() }))

const CHUNK_BYTES = 1000

interface Referred {
  readonly store: InPlaceBlockstore
  readonly stored: MemoryBlockstore
  readonly records: Records
  readonly path: string
  readonly blocks: readonly Block[]
  readonly drafts: readonly ReferenceDraft[]
}

/** A file of some chunks, each of them referred to. */
async function openReferred (context: TestContext, chunkCount = 4): Promise<Referred> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-'))
  context.after(async () => { await rm(folder, { recursive: true, force: true }) })
  const path = join(folder, 'file')
  const content = Uint8Array.from({ length: chunkCount * CHUNK_BYTES }, (_, index) => (index * 7 + Math.floor(index / CHUNK_BYTES)) % 251)
  await writeFile(path, content)
  const blocks = await Promise.all(Array.from({ length: chunkCount }, (_, index) => Block.of(content.slice(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES))))
  const drafts = blocks.map(({ cid }, index) => ({ cid, path, offset: index * CHUNK_BYTES, byteLength: CHUNK_BYTES }))
  const stored = new MemoryBlockstore()
  const records = new Records()
  const store = await openInPlaceBlockstore({ blocks: stored, records })
  context.after(async () => { await store[Symbol.asyncDispose]() })
  await store.refer(drafts)
  return { store, stored, records, path, blocks, drafts }
}

test('what is referred to is there as every block, and takes nothing in the store', async (context) => {
  const { store, stored, blocks } = await openReferred(context)
  for (const block of blocks) {
    assert.deepEqual((await store.get(block.cid))?.bytes, block.bytes)
    assert.deepEqual([await store.has(block.cid), await store.byteLengthOf(block.cid)], [true, CHUNK_BYTES])
  }
  assert.deepEqual(await store.usage(), { blockCount: 4, byteLength: 4 * CHUNK_BYTES })
  assert.deepEqual(store.references, { blockCount: 4, byteLength: 4 * CHUNK_BYTES, fileCount: 1 })
  assert.deepEqual(await stored.usage(), { blockCount: 0, byteLength: 0 })
  assert.deepEqual((await Array.fromAsync(store.list())).map(String).toSorted(), blocks.map(({ cid }) => cid.toString()).toSorted())
  const stranger = await Block.of(Uint8Array.of(1))
  assert.deepEqual([await store.has(stranger.cid), await store.get(stranger.cid)], [false, undefined])
})

test('references outlive the process from the moment that refer resolves, and a kill brings none back that were deleted together', async (context) => {
  const { stored, records, store, blocks } = await openReferred(context)
  const [first, second] = blocks
  assert.ok(first !== undefined && second !== undefined)
  await store.deleteMany([first.cid])
  const again = await openInPlaceBlockstore({ blocks: stored, records })
  assert.equal(await again.has(first.cid), false)
  assert.deepEqual((await again.get(second.cid))?.bytes, second.bytes)
})

test('a block that is stored is not referred to, and one that is put takes the place of its reference', async (context) => {
  const { store, stored, records, blocks, drafts } = await openReferred(context)
  const [first] = blocks
  assert.ok(first !== undefined)
  await store.put(first)
  assert.equal(store.references.blockCount, 3)
  assert.equal(await stored.has(first.cid), true)
  await store.refer(drafts)
  assert.equal(store.references.blockCount, 3)
  await store[Symbol.asyncDispose]()
  const again = await openInPlaceBlockstore({ blocks: stored, records })
  assert.equal(again.references.blockCount, 3)
})

const DAMAGES: Readonly<Record<string, { readonly damage: (path: string) => Promise<unknown>, readonly state: string, readonly words: RegExp }>> = {
  'other bytes': { damage: async (path) => { await writeFile(path, new Uint8Array(4 * CHUNK_BYTES)) }, state: 'changed', words: /are others now/ },
  'a shorter file': { damage: async (path) => { await truncate(path, CHUNK_BYTES + 1) }, state: 'changed', words: /it ends before byte 2000/ },
  'no file': { damage: async (path) => { await rm(path) }, state: 'no-file', words: /there is no such file/ },
  'a symlink, even to the same bytes': { damage: async (path) => { await rename(path, `${path}.moved`); await symlink(`${path}.moved`, path) }, state: 'changed', words: /it is a symlink now/ },
  'a pipe that nobody writes to': { damage: async (path) => { await rm(path); execFileSync('mkfifo', [path]) }, state: 'changed', words: /it ends before/ }
}

for (const [name, { damage, state, words }] of Object.entries(DAMAGES)) {
  test(`${name} in place of the file is told with path and place and never served`, { skip: process.platform === 'win32' }, async (context) => {
    const { store, path, blocks, drafts } = await openReferred(context)
    const second = blocks[1]
    assert.ok(second !== undefined)
    await damage(path)
    await assert.rejects(store.get(second.cid), (err) => {
      assert.ok(isErrorCode(err, 'CORRUPT'), String(err))
      assert.deepEqual([err.details['path'], err.details['byteOffset'], err.details['state']], [path, CHUNK_BYTES, state])
      assert.match(err.message, words)
      assert.match(err.message, /add it again/)
      return true
    })
    assert.equal(await store.has(second.cid), true, 'the reference is there')
    const told = drafts[1]
    assert.ok(told !== undefined)
    assert.equal((await store.check(told)).state, state)

    await rm(path, { force: true })
    await writeFile(path, Buffer.concat(blocks.map(({ bytes }) => bytes)))
    assert.deepEqual((await store.get(second.cid))?.bytes, second.bytes, 'a file that was put back serves again')
    assert.equal((await store.check(told)).state, 'ok')
  })
}

test('what was put because the file had changed is served from then on', async (context) => {
  const { store, path, blocks } = await openReferred(context)
  const [first] = blocks
  assert.ok(first !== undefined)
  await rm(path)
  await store.put(await Block.verify(first.cid, first.bytes))
  assert.deepEqual((await store.get(first.cid))?.bytes, first.bytes)
})

test('deleting asks first, and once more for what was put since', async (context) => {
  const { store, blocks } = await openReferred(context)
  const [first, second] = blocks
  assert.ok(first !== undefined && second !== undefined)
  assert.equal(await store.delete(first.cid, { when: () => false }), false)
  assert.equal(await store.has(first.cid), true)
  assert.deepEqual(await store.deleteMany([first.cid, second.cid], { when: (cid) => cid.equals(second.cid) }), [undefined, CHUNK_BYTES])
  assert.deepEqual([await store.has(first.cid), await store.has(second.cid)], [true, false])
  assert.equal(await store.delete(first.cid), true)
  assert.equal(await store.delete(first.cid), false)
})

test('a full disk refuses references and keeps nothing from being deleted', async (context) => {
  const { store, records, blocks, drafts } = await openReferred(context)
  const [first] = blocks
  assert.ok(first !== undefined)
  records.failure = new HoldfastError('LIMIT', 'The disk is full')
  await store.deleteMany([first.cid])
  assert.equal(await store.has(first.cid), false)
  await assert.rejects(store.refer(drafts), (err) => err === records.failure)
  assert.equal(await store.has(first.cid), false)
  records.failure = undefined
  await store.refer(drafts)
  assert.deepEqual((await store.get(first.cid))?.bytes, first.bytes)
})

test('identity blocks, and what is referred to already, are passed over', async (context) => {
  const { store, records, drafts } = await openReferred(context)
  const before = records.records.length
  const inline = await Block.of(Uint8Array.of(1, 2), { hash: 0 })
  await store.refer([...drafts, { cid: inline.cid, path: '/nowhere', offset: 0, byteLength: 2 }])
  assert.equal(records.records.length, before)
})

test('a CID of another codec finds the same bytes', async (context) => {
  const { store, blocks } = await openReferred(context)
  const [first] = blocks
  assert.ok(first !== undefined)
  const { cid } = await Block.of(first.bytes, { codec: CODECS.dagCbor })
  assert.deepEqual((await store.get(cid))?.cid.toString(), cid.toString())
})

test('a record of ours that is malformed is CORRUPT, and others are passed over', async () => {
  const good = { path: '/file', entries: Uint8Array.of(3, 0x12, 1, 9, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0) }
  const malformed: ReferenceRecord[] = [
    { kind: 'in-place', value: null },
    { kind: 'in-place', value: [] },
    { kind: 'in-place', value: { ...good, path: 'relative' } },
    { kind: 'in-place', value: { ...good, path: 7 } },
    { kind: 'in-place', value: { path: '/file' } },
    { kind: 'in-place', value: { ...good, entries: good.entries.subarray(0, -1) } },
    { kind: 'in-place', value: { ...good, entries: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) } },
    { kind: 'in-place', value: { ...good, entries: Uint8Array.of(3, 0x12, 1, 9, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff) } },
    { kind: 'in-place-rm', value: { multihashes: 'x' } },
    { kind: 'in-place-rm', value: { multihashes: Uint8Array.of(200) } }
  ]
  for (const record of malformed) {
    const records = new Records()
    records.records = [record]
    await assert.rejects(openInPlaceBlockstore({ blocks: new MemoryBlockstore(), records }), (err) => isErrorCode(err, 'CORRUPT'), JSON.stringify(record))
  }
  const records = new Records()
  records.records.push({ kind: 'in-place', value: good })
  assert.equal((await openInPlaceBlockstore({ blocks: new MemoryBlockstore(), records })).references.blockCount, 1)
})

test('records are written anew when most of what they say is of no effect, and say the same', async (context) => {
  const { store, stored, records, path, blocks } = await openReferred(context)
  const others = await Promise.all(Array.from({ length: 6000 }, async (_, index) => (await Block.of(Buffer.from(`${index}`))).cid))
  await store.refer(others.map((cid, index) => ({ cid, path: `${path}-${index % 10}`, offset: index, byteLength: 4 })))
  await store.deleteMany(others.slice(1))
  await store[Symbol.asyncDispose]()
  assert.equal(records.compactions, 1)
  assert.ok(records.records.some(({ kind }) => kind === 'pin'))
  assert.ok(records.records.length < 6, `${records.records.length} records`)
  const again = await openInPlaceBlockstore({ blocks: stored, records })
  assert.deepEqual((await Array.fromAsync(again.list())).map(String).toSorted(), [...blocks.map(({ cid }) => cid), ...others.slice(0, 1)].map(String).toSorted())
})

test('whatever comes and goes, a store that is killed and opened again has every reference that was acknowledged and not deleted', async () => {
  const cids = await Promise.all(Array.from({ length: 8 }, async (_, index) => await Block.of(Uint8Array.of(index))))
  const step = fc.record({ kind: fc.constantFrom('refer', 'put', 'delete', 'deleteMany', 'kill', 'close'), index: fc.nat(7), offset: fc.nat(3) })
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
    const stored = new MemoryBlockstore()
    const records = new Records()
    const present = new Set<number>()
    /** Went by `delete` and have perhaps no record yet: a kill may bring them back. */
    const doubtful = new Set<number>()
    let alive = untilKilled(records)
    let store = await openInPlaceBlockstore({ blocks: stored, records: alive.process })
    for (const { kind, index, offset } of steps) {
      const block = cids[index]
      assert.ok(block !== undefined)
      if (kind === 'refer') await store.refer([{ cid: block.cid, path: `/file-${offset}`, offset, byteLength: 1 }])
      if (kind === 'put') await store.put(block)
      if (kind === 'delete') await store.delete(block.cid)
      if (kind === 'deleteMany') await store.deleteMany([block.cid])
      if (kind === 'refer' || kind === 'put') present.add(index)
      if (kind === 'delete' || kind === 'deleteMany') present.delete(index)
      if (kind === 'delete') doubtful.add(index)
      if (kind === 'close') await store[Symbol.asyncDispose]()
      if (kind === 'kill' || kind === 'close') {
        alive.kill()
        alive = untilKilled(records)
        store = await openInPlaceBlockstore({ blocks: stored, records: alive.process })
      }
      if (kind === 'close') doubtful.clear()
      for (const [other, { cid }] of cids.entries()) {
        const isThere = await store.has(cid)
        if (present.has(other)) assert.ok(isThere, `${other} is lost after ${kind}`)
        else if (isThere) assert.ok(doubtful.has(other), `${other} is back after ${kind}`)
      }
    }
    await store[Symbol.asyncDispose]()
  }), { numRuns: 100 })
})
