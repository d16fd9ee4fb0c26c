import { type BlockReader, MemoryBlockstore } from '@holdfast/blockstore'
import { CODECS, isErrorCode } from '@holdfast/core'
import { countingBlockstore, faultyBlockstore } from '@holdfast/testkit'
import { MemoryBlockstore as OracleBlockstore } from 'blockstore-core/memory'
import fc from 'fast-check'
import { importer } from 'ipfs-unixfs-importer'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { copyOracle, putBytes, putDagCbor, putDirectory, putShard, putUnixFs } from '../test/hand-made.ts'
import { findEntry, listDirectory } from './directory.ts'
import { entryOf, requireBlock } from './entry.ts'
import { MAX_BARREN_SHARDS } from './hamt-reader.ts'
import { dagPbNodeOf } from './unixfs-node.ts'

const nameArbitrary = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
  .map((name) => name.replace(/[/\\]/g, '_'))
  .filter((name) => name !== '.' && name !== '..' && !name.startsWith('__proto__') && Buffer.from(name).toString() === name)

const namesArbitrary = fc.uniqueArray(nameArbitrary, { minLength: 1, maxLength: 60 })

test('lists and finds what the importer put into a directory, basic or sharded at any fanout', async () => {
  await fc.assert(fc.asyncProperty(namesArbitrary, nameArbitrary, fc.constantFrom(undefined, 3, 4, 5, 8, 10), async (names, other, fanoutBits) => {
    const { store, root } = await importNames(names, fanoutBits)
    assert.deepEqual(new Set(await namesOf(store, root)), new Set(names))
    for (const name of [...names, other]) {
      const { entry } = await findEntry(store, root, name)
      assert.equal(entry?.name, names.includes(name) ? name : undefined)
      if (entry !== undefined) assert.equal(entry.cid.toString(), (await contentOf(name)).toString())
    }
  }), { numRuns: 60 })
})

test('5,000 entries are listed once each, and each is found in as many reads as its shard is deep', async () => {
  const names = Array.from({ length: 5000 }, (_, index) => `entry ${index}`)
  const { store, root } = await importNames(names, 8)
  assert.deepEqual((await namesOf(store, root)).sort(), names.toSorted())
  for (const name of ['entry 0', 'entry 777', 'entry 4999']) {
    const { store: counting, counts } = countingBlockstore(store)
    const { entry, path } = await findEntry(counting, root, name)
    assert.equal(entry?.name, name)
    assert.equal(path[0]?.cid.toString(), root.toString())
    assert.ok(counts.get === path.length && path.length >= 2 && path.length <= 4, `${counts.get} gets, path of ${path.length}`)
  }
})

test('a listing reads shards ahead, and none of the entries', async () => {
  const { store, root } = await importNames(Array.from({ length: 2000 }, (_, index) => `entry ${index}`), 8)
  const { store: counting, counts } = countingBlockstore(faultyBlockstore(store, { delayMs: 1 }))
  assert.equal((await namesOf(counting, root)).length, 2000)
  assert.ok(counts.maxGetsInFlight > 4, `${counts.maxGetsInFlight} at once`)
  assert.ok(counts.get <= 257 + 100, `${counts.get} gets`)
})

test('a listing that is not read on asks for nothing more', async () => {
  const { store, root } = await importNames(Array.from({ length: 2000 }, (_, index) => `entry ${index}`), 8)
  const { store: counting, counts } = countingBlockstore(store)
  for await (const _ of listDirectory(counting, root)) break
  assert.ok(counts.get <= 10, `${counts.get} gets`)
})

test('of a million entries no more than a few shards are held at once', async () => {
  const store = new MemoryBlockstore()
  const child = await putBytes(store, Buffer.from('child'))
  const slots = (count: number): string[] => Array.from({ length: count }, (_, slot) => slot.toString(16).toUpperCase().padStart(2, '0'))
  // Links that repeat are followed each time: three shards describe 16 x 256 x 256 entries.
  const lowest = await putShard(store, slots(256).map((slot) => [`${slot}name`, child]))
  const middle = await putShard(store, slots(256).map((slot) => [slot, lowest]))
  const root = await putShard(store, slots(16).map((slot) => [slot, middle]))
  const { store: counting, counts } = countingBlockstore(store)
  let entryCount = 0
  let mostAhead = 0
  for await (const _ of listDirectory(counting, root)) {
    entryCount++
    const taken = 1 + Math.ceil(entryCount / 65_536) + Math.ceil(entryCount / 256)
    mostAhead = Math.max(mostAhead, counts.get - taken)
  }
  assert.equal(entryCount, 1_048_576)
  assert.ok(mostAhead <= 64, `${mostAhead} shards ahead of the entry that was told`)
})

test('sub-shards hold entries that their own root can list and find', async () => {
  const names = Array.from({ length: 3000 }, (_, index) => `entry ${index}`)
  const { store, root } = await importNames(names, 8)
  let checkedCount = 0
  for (const { cid } of dagPbNodeOf(await requireBlock(store, root)).links.slice(0, 20)) {
    if (entryOf(await requireBlock(store, cid)).kind !== 'directory') continue
    for (const name of await namesOf(store, cid)) {
      assert.equal((await findEntry(store, cid, name)).entry?.name, name)
      checkedCount++
    }
    assert.equal((await findEntry(store, cid, 'not there')).entry, undefined)
  }
  assert.ok(checkedCount > 100)
})

test('a miss in a whole directory costs no read beyond the shards on its way', async () => {
  const { store, root } = await importNames(Array.from({ length: 300 }, (_, index) => `entry ${index}`), 8)
  const { store: counting, counts } = countingBlockstore(store)
  const { entry, path } = await findEntry(counting, root, 'not there')
  assert.equal(entry, undefined)
  assert.equal(counts.get, path.length)
})

test('names are compared as bytes', async () => {
  const store = new MemoryBlockstore()
  const [one, other] = [await putBytes(store, Buffer.from('1')), await putBytes(store, Buffer.from('2'))]
  const latin1 = Buffer.from('ä', 'latin1')
  const root = await putDirectory(store, [[latin1, one], ['\ufffd', other], ['\u00e4', one], ['a\u0308', other]])
  assert.equal((await findEntry(store, root, '\ufffd')).entry?.cid.toString(), other.toString())
  assert.equal((await findEntry(store, root, '\u00e4')).entry?.cid.toString(), one.toString())
  assert.equal((await findEntry(store, root, 'a\u0308')).entry?.cid.toString(), other.toString())
  const [first] = await Array.fromAsync(listDirectory(store, root))
  assert.equal(first?.name, '\ufffd')
  assert.deepEqual(Buffer.from(first?.nameBytes ?? []), latin1)
})

test('a basic directory is listed in the order of its links, with what they claim', async () => {
  const store = new MemoryBlockstore()
  const cid = await putBytes(store, Buffer.from('x'))
  const root = await putDirectory(store, [['b', cid], ['a', cid], ['a', cid]])
  assert.deepEqual(await namesOf(store, root), ['b', 'a', 'a'])
  assert.equal((await Array.fromAsync(listDirectory(store, root)))[0]?.tsize, 0)
})

test('what is not a directory is refused', async () => {
  const store = new MemoryBlockstore()
  for (const cid of [await putBytes(store, Buffer.from('x')), await putDagCbor(store, {}), await putUnixFs(store, { type: 'file' }), await putBytes(store, Buffer.from(''), CODECS.dagPb)]) {
    await assert.rejects(namesOf(store, cid), (err) => isErrorCode(err, 'INVALID') && /is not a directory/.test(err.message))
    await assert.rejects(findEntry(store, cid, 'a'), (err) => isErrorCode(err, 'INVALID'))
  }
})

test('a fanout that is no power of two from 8 to 1,024 is refused before anything is done with it', async () => {
  const store = new MemoryBlockstore()
  for (const fanout of [undefined, 0, 1, 4, 7, 9, 255, 257, 2048, 2 ** 31, 2 ** 32 + 8, 2 ** 52]) {
    const cid = await putShard(store, [], { fanout })
    await assert.rejects(namesOf(store, cid), (err) => isErrorCode(err, 'INVALID'), `${fanout}`)
    await assert.rejects(findEntry(store, cid, 'a'), (err) => isErrorCode(err, 'INVALID'), `${fanout}`)
  }
  await assert.rejects(namesOf(store, await putShard(store, [], { hashType: 0x12 })), (err) => isErrorCode(err, 'UNSUPPORTED'))
})

test('a shard with links that no builder makes is refused', async () => {
  const store = new MemoryBlockstore()
  const leaf = await putBytes(store, Buffer.from('x'))
  const other = await putShard(store, [], { fanout: 16 })
  const shards = {
    'no prefix': await putShard(store, [['', leaf]]),
    'a short prefix': await putShard(store, [['A', leaf]]),
    'lower case': await putShard(store, [['aax', leaf]]),
    'no hexadecimal': await putShard(store, [['zzx', leaf]]),
    'a slot beyond the fanout': await putShard(store, [['9x', leaf]], { fanout: 8 }),
    'more links than slots': await putShard(store, Array.from({ length: 9 }, () => ['0x', leaf]), { fanout: 8 }),
    'a sub-shard that is a file': await putShard(store, [['00', leaf]]),
    'a sub-shard of another fanout': await putShard(store, [['00', other]])
  }
  for (const [fault, cid] of Object.entries(shards)) await assert.rejects(namesOf(store, cid), (err) => isErrorCode(err, 'INVALID'), fault)
})

test('shards nested deeper than the hash has bits end at the limit', async () => {
  const store = new MemoryBlockstore()
  for (const [fanout, maxLevels] of [[8, 21], [256, 8], [1024, 6]] as const) {
    const slots = Array.from({ length: fanout }, (_, slot) => slot.toString(16).toUpperCase().padStart((fanout - 1).toString(16).length, '0'))
    let cid = await putShard(store, [], { fanout })
    for (let level = 0; level < 100; level++) {
      const below = cid
      cid = await putShard(store, slots.map((slot) => [slot, below]), { fanout })
    }
    const { store: counting, counts } = countingBlockstore(store)
    await assert.rejects(findEntry(counting, cid, 'a'), (err) => isErrorCode(err, 'LIMIT'))
    await assert.rejects(namesOf(counting, cid), (err) => isErrorCode(err, 'LIMIT'))
    assert.ok(counts.get <= maxLevels * 4 * 9, `${counts.get} gets at fanout ${fanout}`)
  }
})

test('shards that link to each other 256 times without an entry are given up', async () => {
  const store = new MemoryBlockstore()
  let cid = await putShard(store, [])
  for (let level = 0; level < 7; level++) {
    const below = cid
    cid = await putShard(store, Array.from({ length: 256 }, (_, slot) => [slot.toString(16).toUpperCase().padStart(2, '0'), below]))
  }
  const { store: counting, counts } = countingBlockstore(store)
  await assert.rejects(namesOf(counting, cid), (err) => isErrorCode(err, 'LIMIT'))
  assert.ok(counts.get < MAX_BARREN_SHARDS * 2, `${counts.get} gets`)
})

test('an absent shard is not found, and an abort gives its reason', async () => {
  const { store, root } = await importNames(Array.from({ length: 1000 }, (_, index) => `entry ${index}`), 8)
  const reason = new Error('changed my mind')
  const controller = new AbortController()
  const listing = listDirectory(faultyBlockstore(store, { delayMs: 5 }), root, { signal: controller.signal })[Symbol.asyncIterator]()
  await listing.next()
  controller.abort(reason)
  await assert.rejects(async () => { for (;;) if ((await listing.next()).done === true) return }, (err) => err === reason)

  const shard = dagPbNodeOf(await requireBlock(store, root)).links.find(({ name }) => name.byteLength === 2)
  assert.ok(shard !== undefined && await store.delete(shard.cid))
  await assert.rejects(namesOf(store, root), (err) => isErrorCode(err, 'NOT_FOUND') && err.details['reason'] === 'no-block')
})

/** A directory of small files, each with its name as content; a basic one without fanout. */
async function importNames (names: readonly string[], fanoutBits: number | undefined): Promise<{ store: MemoryBlockstore, root: CID }> {
  const oracle = new OracleBlockstore()
  const options = fanoutBits === undefined ? {} : { shardSplitThresholdBytes: 0, shardFanoutBits: fanoutBits }
  const imported = await Array.fromAsync(importer(names.map((name) => ({ path: name, content: Buffer.from(name) })), oracle, { ...options, wrapWithDirectory: true, rawLeaves: true }))
  const root = imported.at(-1)
  assert.ok(root !== undefined)
  return { store: await copyOracle(oracle), root: root.cid }
}

async function contentOf (name: string): Promise<CID> {
  return await putBytes(new MemoryBlockstore(), Buffer.from(name))
}

async function namesOf (blocks: BlockReader, directory: CID): Promise<string[]> {
  return (await Array.fromAsync(listDirectory(blocks, directory))).map(({ name }) => name)
}
