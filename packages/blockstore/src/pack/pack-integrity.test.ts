import { Block, CODECS, isErrorCode, multihashKey } from '@holdfast/core'
import { CarReader } from '@ipld/car'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { copyFile, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { openPackBlockstore, openPackBlockstoreOn, type PackBlockstoreOptions } from './open-pack-blockstore.ts'
import type { PackBlockstore } from './pack-blockstore.ts'
import { lmdbIndexAt } from './lmdb-index.ts'
import { INDEX_FILE } from './pack-names.ts'
import { nodePackOperations, type PackOperations } from './pack-operations.ts'

const folders: string[] = []
after(async () => { for (const folder of folders) await rm(folder, { recursive: true, force: true }) })

async function newFolder (): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-pack-'))
  folders.push(folder)
  return folder
}

const OPTIONS: PackBlockstoreOptions = { packBytes: 64 * 1024, reserveBytes: 0, compaction: false }

async function blocksOf (count: number, byteLength = 1000): Promise<Block[]> {
  return await Promise.all(Array.from({ length: count }, async (_, index) => {
    const bytes = new Uint8Array(byteLength).fill(index % 251)
    new DataView(bytes.buffer).setUint32(0, index)
    return await Block.of(bytes, index % 3 === 0 ? { codec: CODECS.dagPb, version: 0 } : {})
  }))
}

/** Opens, lets `use` work, and closes. */
async function using <T> (folder: string, use: (store: PackBlockstore) => Promise<T>, options: PackBlockstoreOptions = OPTIONS): Promise<T> {
  await using store = await openPackBlockstore(folder, options)
  return await use(store)
}

async function packsOf (folder: string): Promise<string[]> {
  return (await readdir(join(folder, 'packs'))).filter((name) => name.endsWith('.car')).sort().map((name) => join(folder, 'packs', name))
}

async function assertAll (store: PackBlockstore, blocks: readonly Block[]): Promise<void> {
  for (const { cid, bytes } of blocks) assert.ok(Buffer.compare((await store.get(cid))?.bytes ?? new Uint8Array(), bytes) === 0, `${cid} is there`)
}

/** Flips one bit of the block in the one pack file that has its bytes. */
async function rot (folder: string, block: Block): Promise<void> {
  for (const path of await packsOf(folder)) {
    const bytes = await readFile(path)
    const at = bytes.indexOf(block.bytes)
    if (at === -1) continue
    bytes[at + 20] = (bytes[at + 20] ?? 0) ^ 4
    await writeFile(path, bytes)
    return
  }
  assert.fail('no pack has the block')
}

test('other tools read the packs as CARs, in which each block has the CID under which it was put', async () => {
  const folder = await newFolder()
  const blocks = await blocksOf(200)
  await using(folder, async (store) => {
    for (let at = 0; at < blocks.length; at += 10) await store.putMany(blocks.slice(at, at + 10))
  })
  const found = new Map<string, Uint8Array>()
  const paths = await packsOf(folder)
  assert.ok(paths.length >= 3)
  for (const path of paths) {
    const reader = await CarReader.fromBytes(await readFile(path))
    assert.equal((await reader.getRoots()).length, 1)
    for await (const { cid, bytes } of reader.blocks()) found.set(cid.toString(), bytes)
  }
  assert.deepEqual([...found.keys()].sort(), blocks.map(({ cid }) => cid.toString()).sort())
})

test('a block that rotted is refused once, is absent then, and is there again when it is put again', async () => {
  const folder = await newFolder()
  const [first, rotten] = await blocksOf(2)
  assert.ok(first !== undefined && rotten !== undefined)
  await using(folder, async (store) => { await store.putMany([first, rotten]) })
  await rot(folder, rotten)

  await using(folder, async (store) => {
    await assert.rejects(store.get(rotten.cid), (err) => isErrorCode(err, 'CORRUPT'))
    assert.equal(await store.get(rotten.cid), undefined)
    assert.equal(await store.has(rotten.cid), false)
    assert.equal(await store.byteLengthOf(rotten.cid), undefined)
    assert.deepEqual((await Array.fromAsync(store.list())).map(multihashKey), [multihashKey(first.cid)])
    assert.deepEqual((await Array.fromAsync(store.quarantined())).map(multihashKey), [multihashKey(rotten.cid)])
  })
  await using(folder, async (store) => {
    assert.equal(await store.has(rotten.cid), false, 'after closing and opening')
  })
  await using(folder, async (store) => {
    assert.equal(await store.has(rotten.cid), false, 'with an index made anew')
    assert.equal(store.stats().quarantinedCount, 1)
    await store.put(rotten)
    await assertAll(store, [first, rotten])
    assert.equal(store.stats().quarantinedCount, 0)
  }, { ...OPTIONS, rebuildIndex: true })
})

test('a put of a block that rotted unnoticed replaces it', async () => {
  const folder = await newFolder()
  const blocks = await blocksOf(3)
  const rotten = blocks[1]
  assert.ok(rotten !== undefined)
  await using(folder, async (store) => { await store.putMany(blocks) })
  await rot(folder, rotten)
  await using(folder, async (store) => {
    await store.putMany(blocks)
    await assertAll(store, blocks)
    assert.deepEqual((await store.verify()).damaged, [])
  })
})

test('verify finds every block that rotted, whatever bit it was, and none is given out', async () => {
  const folder = await newFolder()
  const blocks = await blocksOf(300)
  await using(folder, async (store) => {
    for (let at = 0; at < blocks.length; at += 20) await store.putMany(blocks.slice(at, at + 20))
  })
  let damagedBytes = 0
  for (const [index, path] of (await packsOf(folder)).entries()) {
    const bytes = await readFile(path)
    for (let at = 70 + index; at < bytes.byteLength; at += 4801) {
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8))
      damagedBytes++
    }
    await writeFile(path, bytes)
  }
  await using(folder, async (store) => {
    const { damaged } = await store.verify()
    assert.ok(damaged.length > damagedBytes / 2, `${damaged.length} blocks of ${damagedBytes} bytes`)
    const isDamaged = new Set(damaged.map(multihashKey))
    for (const block of blocks) {
      const found = await store.get(block.cid)
      assert.equal(found === undefined, isDamaged.has(multihashKey(block.cid)))
      if (found !== undefined) assert.ok(Buffer.compare(found.bytes, block.bytes) === 0)
    }
    await store.putMany(blocks)
    await assertAll(store, blocks)
    await store.compact()
    assert.deepEqual((await store.verify()).damaged, [])
    await assertAll(store, blocks)
  })
  for (const path of await packsOf(folder)) await assert.doesNotReject(Array.fromAsync((await CarReader.fromBytes(await readFile(path))).blocks()))
})

test('blocks of a pack that was cut short or removed are reported and not forgotten', async () => {
  const folder = await newFolder()
  const blocks = await blocksOf(200)
  await using(folder, async (store) => {
    for (const block of blocks) await store.put(block)
  })
  const [first = '', second = ''] = await packsOf(folder)
  await truncate(first, 30_000)
  await rm(second)
  await using(folder, async (store) => {
    const lost = await Array.fromAsync(store.quarantined())
    assert.ok(lost.length > 60, `${lost.length} blocks`)
    assert.equal((await store.usage()).blockCount, blocks.length - lost.length)
    for (const cid of lost) assert.equal(await store.has(cid), false)
    await store.putMany(blocks)
    await assertAll(store, blocks)
  })
  await using(folder, async (store) => { await assertAll(store, blocks) })
})

for (const [what, spoil] of Object.entries<(index: string, older: string) => Promise<void>>({
  missing: async (index) => { await rm(index) },
  'of no bytes': async (index) => { await truncate(index, 0) },
  'not of LMDB': async (index) => { await writeFile(index, 'something else entirely'.repeat(1000)) },
  'older than the packs': async (index, older) => { await copyFile(older, index) },
  'of another store': async (index) => {
    const other = await newFolder()
    await using(other, async (store) => { await store.putMany(await blocksOf(500)) })
    await copyFile(join(other, INDEX_FILE), index)
  }
})) {
  test(`an index that is ${what} is noticed when the store is opened, and made right`, async () => {
    const folder = await newFolder()
    const blocks = await blocksOf(200)
    const index = join(folder, INDEX_FILE)
    const older = join(folder, 'older')
    await using(folder, async (store) => { await store.putMany(blocks.slice(0, 80)) })
    await copyFile(index, older)
    await using(folder, async (store) => {
      for (const block of blocks.slice(80)) await store.put(block)
      for (const { cid } of blocks.slice(0, 150)) await store.delete(cid)
      await store.compact()
    })
    await rm(`${index}-lock`)
    await spoil(index, older)

    await using(folder, async (store) => {
      await assertAll(store, blocks.slice(150))
      for (const { cid } of blocks.slice(0, 150)) assert.equal(await store.has(cid), false)
      assert.equal((await store.usage()).blockCount, 50)
      assert.equal((await Array.fromAsync(store.list())).length, 50)
    })
  })
}

test('an index with wrong entries harms no block, and verify puts it right', async () => {
  const folder = await newFolder()
  const blocks = await blocksOf(120)
  await using(folder, async (store) => { await store.putMany(blocks) })
  {
    await using index = await lmdbIndexAt(join(folder, INDEX_FILE)).open()
    const [[keyA, placeA] = [], [keyB, placeB] = [], [keyC, placeC] = [], [keyD] = [], [keyE, placeE] = []] = index.entriesAfter(undefined, 5)
    assert.ok(keyA !== undefined && keyB !== undefined && keyC !== undefined && keyD !== undefined && keyE !== undefined)
    assert.ok(placeA !== undefined && placeB !== undefined && placeC !== undefined && placeE !== undefined)
    const storeId = index.state()?.storeId
    assert.ok(storeId !== undefined)
    const text = (key: Buffer): string => key.toString('latin1')
    const changes = [
      [text(keyA), placeB], [text(keyB), placeA], // Each other's.
      [text(keyC), { ...placeC, byteLength: placeC.byteLength - 1 }],
      [text(keyD), undefined],
      [text(keyE), { ...placeE, pack: 4711 }],
      [`${text(keyE).slice(0, -1)}x`, placeE] // Of a block that never was.
    ] as const
    await index.commit({ changes, packs: [], removedPacks: [] }, storeId)
  }
  await using(folder, async (store) => {
    for (const { cid, bytes } of blocks) {
      const found = await store.get(cid).catch((err: unknown) => { assert.ok(isErrorCode(err, 'CORRUPT')) })
      if (found !== undefined) assert.ok(Buffer.compare(found.bytes, bytes) === 0)
    }
    assert.equal(store.isIndexSuspect, true)
    const { indexRepairs } = await store.verify()
    assert.ok(indexRepairs >= 5, `${indexRepairs} repairs`)
    assert.equal(store.isIndexSuspect, true)
    await assertAll(store, blocks)
    assert.deepEqual(await store.usage(), { blockCount: 120, byteLength: 120_000 })
    const again = await store.verify()
    assert.deepEqual([again.indexRepairs, again.damaged.length, again.blockCount], [0, 0, 120])
  })
  await using(folder, async (store) => {
    assert.equal(store.isIndexNew, true, 'what was wrong once is not trusted again')
    await assertAll(store, blocks)
  })
})

for (const finder of ['a read', 'verify']) {
  test(`a block whose bytes and whose header rotted is quarantined by ${finder} and reported, and not taken for a mistake of the index`, async () => {
    const folder = await newFolder()
    const blocks = await blocksOf(10)
    const [lost] = blocks
    assert.ok(lost !== undefined)
    await using(folder, async (store) => { await store.putMany(blocks) })
    await rot(folder, lost)
    const [path = ''] = await packsOf(folder)
    const bytes = await readFile(path)
    const at = bytes.indexOf(Buffer.from(lost.cid.multihash.digest))
    bytes[at] = (bytes[at] ?? 0) ^ 1
    await writeFile(path, bytes)
    await using(folder, async (store) => {
      if (finder === 'a read') await assert.rejects(store.get(lost.cid), (err) => isErrorCode(err, 'CORRUPT'))
      else await store.verify()
      assert.deepEqual((await Array.fromAsync(store.quarantined())).map(({ multihash }) => multihash.bytes), [lost.cid.multihash.bytes])
    })
  })
}

test('verify takes a sample when asked, and goes on at a pack', async () => {
  const folder = await newFolder()
  const blocks = await blocksOf(300)
  await using(folder, async (store) => {
    for (const block of blocks) await store.put(block)
    const { hashedCount, blockCount, nextPack } = await store.verify({ sample: 10 })
    assert.deepEqual([hashedCount, blockCount], [30, 300])
    const rest = await store.verify({ fromPack: nextPack - 1 })
    assert.equal(rest.packCount, 1)
    assert.ok(rest.blockCount < 300)
  })
})

test('writes that come while the disk works share a sync', async () => {
  const folder = await newFolder()
  let syncCount = 0
  const operations: PackOperations = {
    ...nodePackOperations,
    async datasync (fd) {
      syncCount++
      await nodePackOperations.datasync(fd)
    }
  }
  await using store = await openPackBlockstoreOn({ operations, opener: lmdbIndexAt(join(folder, INDEX_FILE)) }, folder, { ...OPTIONS, packBytes: 2 ** 28 })
  const blocks = await blocksOf(100)
  const before = syncCount
  await store.put(blocks[0] ?? await Block.of(new Uint8Array()))
  await Promise.all(blocks.slice(1).map(async (block) => { await store.put(block) }))
  assert.ok(syncCount - before <= 3, `${syncCount - before} syncs`)
})

test('a put that waits for the disk is let go when it is aborted', async () => {
  const folder = await newFolder()
  const stuck = Promise.withResolvers<void>()
  let isStuck = false
  const operations: PackOperations = {
    ...nodePackOperations,
    async datasync (fd) {
      if (isStuck) await stuck.promise
      await nodePackOperations.datasync(fd)
    }
  }
  const store = await openPackBlockstoreOn({ operations, opener: lmdbIndexAt(join(folder, INDEX_FILE)) }, folder, OPTIONS)
  isStuck = true
  const [block] = await blocksOf(1)
  assert.ok(block !== undefined)
  const controller = new AbortController()
  const reason = new Error('changed my mind')
  const putting = store.put(block, { signal: controller.signal })
  setImmediate(() => { controller.abort(reason) })
  await assert.rejects(putting, (err) => err === reason)
  assert.equal(await store.has(block.cid), false, 'not durable, so not there')
  stuck.resolve()
  await store[Symbol.asyncDispose]()
})

test('the limit of the store refuses a write before it is passed, and compaction makes room', async () => {
  const folder = await newFolder()
  const blocks = await blocksOf(300)
  const options = { ...OPTIONS, storageMaxBytes: 250_000, packBytes: 30_000 }
  await using(folder, async (store) => {
    const stored: Block[] = []
    await assert.rejects(async () => {
      for (const block of blocks) {
        await store.put(block)
        stored.push(block)
      }
    }, (err) => isErrorCode(err, 'LIMIT') && /250000 bytes/.test(err.message))
    assert.ok(stored.length > 50)
    await assertAll(store, stored)
    const bytes = (await Promise.all((await packsOf(folder)).map(async (path) => (await stat(path)).size))).reduce((sum, size) => sum + size, 0)
    assert.ok(bytes <= 250_000)

    for (const { cid } of stored.slice(0, 40)) await store.delete(cid)
    assert.ok(await store.compact() > 0)
    await store.putMany(blocks.slice(stored.length, stored.length + 20))
    await assertAll(store, [...stored.slice(40), ...blocks.slice(stored.length, stored.length + 20)])
  }, options)
})

test('the reserve of the disk is kept free', async () => {
  const folder = await newFolder()
  await using store = await openPackBlockstore(folder, { reserveBytes: Number.MAX_SAFE_INTEGER })
  await assert.rejects(store.putMany(await blocksOf(1)), (err) => isErrorCode(err, 'LIMIT') && /for its reserve/.test(err.message))
})

test('compaction gives the space of deleted blocks back while blocks are read and written', async () => {
  const folder = await newFolder()
  const blocks = await blocksOf(600)
  const late = (await blocksOf(700)).slice(600)
  await using(folder, async (store) => {
    for (let at = 0; at < blocks.length; at += 5) await store.putMany(blocks.slice(at, at + 5))
    const gone = blocks.filter((_, index) => index % 2 === 0)
    const kept = blocks.filter((_, index) => index % 2 === 1)
    for (const { cid } of gone) await store.delete(cid)
    const compacting = store.compact()
    const reading = (async () => { for (let turn = 0; turn < 5; turn++) await assertAll(store, kept) })()
    const writing = (async () => { for (const block of late) await store.put(block) })()
    const [removedCount] = await Promise.all([compacting, reading, writing])
    assert.ok(removedCount >= 8, `${removedCount} packs`)
    await assertAll(store, [...kept, ...late])
    const { packBytes, liveBytes } = store.stats()
    assert.ok(packBytes < 1.15 * liveBytes, `${packBytes} bytes, ${liveBytes} of them live`)
    const bytes = (await Promise.all((await packsOf(folder)).map(async (path) => (await stat(path)).size))).reduce((sum, size) => sum + size, 0)
    assert.equal(bytes, packBytes)
  })
  await using(folder, async (store) => {
    assert.equal((await store.usage()).blockCount, 400)
    assert.deepEqual((await store.verify()).indexRepairs, 0)
  })
})

test('a medium that is trusted gives out what lies there', async () => {
  const folder = await newFolder()
  const [block] = await blocksOf(1)
  assert.ok(block !== undefined)
  await using(folder, async (store) => { await store.put(block) })
  await rot(folder, block)
  await using(folder, async (store) => {
    assert.notDeepEqual((await store.get(block.cid))?.bytes, block.bytes)
    assert.equal((await store.get(CID.createV1(CODECS.raw, block.cid.multihash)))?.bytes.byteLength, block.bytes.byteLength)
  }, { ...OPTIONS, trustMedium: true })
})
