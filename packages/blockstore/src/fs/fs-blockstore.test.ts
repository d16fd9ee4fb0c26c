import { Block, CODECS, HoldfastError, isErrorCode, MAX_BLOCK_BYTES } from '@holdfast/core'
import { FsBlockstore as StockBlockstore } from 'blockstore-fs'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { testBlockstore } from '../conformance.ts'
import { FLATFS_SHARDING, LAYOUTS, type LayoutName } from './layout.ts'
import { openFsBlockstore } from './open-fs-blockstore.ts'

const folders: string[] = []

async function newFolder (): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-fs-'))
  folders.push(folder)
  return folder
}

after(async () => {
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true })))
})

for (const options of [{}, { durability: 'os' }, { layout: 'blockstore-fs' }] as const) {
  let lastFolder: string
  testBlockstore(
    `FsBlockstore ${JSON.stringify(options)}`,
    async () => await openFsBlockstore(lastFolder = await newFolder(), options),
    {
      async reopen (store) {
        await store[Symbol.asyncDispose]()
        return await openFsBlockstore(lastFolder, options)
      }
    }
  )
}

const block = await Block.of(Uint8Array.of(1, 2, 3))
const empty = await Block.of(new Uint8Array())

function pathOf (folder: string, { cid }: Block, layout: LayoutName = 'flatfs'): string {
  const { shard, file } = LAYOUTS[layout].placeOf(cid)
  return join(folder, shard, file)
}

test('get refuses bytes that rotted on disk, and the next put repairs them', async () => {
  const folder = await newFolder()
  await using store = await openFsBlockstore(folder)
  await store.put(block)
  for (const rotten of ['rotten', 'rot', '', 'x'.repeat(MAX_BLOCK_BYTES + 1)]) {
    await writeFile(pathOf(folder, block), rotten)
    await assert.rejects(store.get(block.cid), (err) => isErrorCode(err, 'CORRUPT'), `${rotten.length} bytes`)
    await store.put(block)
    assert.deepEqual((await store.get(block.cid))?.bytes, block.bytes)
  }
})

test('a block of zero length is present only if that is its content', async () => {
  const folder = await newFolder()
  await using store = await openFsBlockstore(folder)
  await store.putMany([block, empty])
  await truncate(pathOf(folder, block), 0)
  assert.equal(await store.has(block.cid), false)
  assert.equal(await store.has(empty.cid), true)
  assert.deepEqual((await store.get(empty.cid))?.bytes, new Uint8Array())
})

test('the folder is laid out as go-ds-flatfs does by default', async () => {
  const folder = await newFolder()
  await using store = await openFsBlockstore(folder)
  await store.put(await Block.of(Uint8Array.of(0x0a, 0x02, 0x08, 0x01), { codec: CODECS.dagPb, version: 0 }))
  assert.equal(await readFile(join(folder, 'SHARDING'), 'utf8'), '/repo/flatfs/shard/v1/next-to-last/2\n')
  assert.deepEqual(await readdir(join(folder, 'X3')), ['CIQFTFEEHEDF6KLBT32BFAGLXEZL4UWFNWM4LFTLMXQBCERZ6CMLX3Y.data'])
})

test('a blockstore-fs store reads our blocks and we read its, in one folder', async () => {
  const folder = await newFolder()
  await using store = await openFsBlockstore(folder, { layout: 'blockstore-fs' })
  const stock = new StockBlockstore(folder)
  await stock.open()

  await store.put(block)
  assert.deepEqual(Buffer.concat(await Array.fromAsync(stock.get(block.cid))), Buffer.from(block.bytes))

  await stock.put(empty.cid, empty.bytes)
  assert.deepEqual((await store.get(empty.cid))?.bytes, empty.bytes)
  assert.equal((await Array.fromAsync(store.list())).length, 2)
  const theirs = await Array.fromAsync(stock.getAll())
  assert.equal(theirs.length, 2, 'nothing of ours but blocks is taken for a block')
})

test('a blockstore-fs store with the flatfs strategy reads what Kubo would read', async () => {
  const folder = await newFolder()
  await using store = await openFsBlockstore(folder)
  await store.put(block)
  const stock = new StockBlockstore(folder, {
    shardingStrategy: {
      extension: '.data',
      encode (cid) {
        const { shard, file } = LAYOUTS.flatfs.placeOf(CID.createV1(CODECS.raw, cid.multihash))
        return { dir: shard, file }
      },
      decode: () => block.cid
    }
  })
  assert.deepEqual(Buffer.concat(await Array.fromAsync(stock.get(block.cid))), Buffer.from(block.bytes))
})

test('a folder that another tool filled says itself how it is laid out', async () => {
  const filled = await newFolder()
  const stock = new StockBlockstore(filled)
  await stock.open()
  await stock.put(block.cid, block.bytes)
  await using store = await openFsBlockstore(filled)
  assert.deepEqual((await store.get(block.cid))?.bytes, block.bytes)
  await store.put(empty)
  assert.deepEqual(Buffer.concat(await Array.fromAsync(stock.get(empty.cid))), Buffer.alloc(0))
  await assert.rejects(openFsBlockstore(filled, { layout: 'flatfs' }), (err) => isErrorCode(err, 'INVALID'))
})

test('a layout that is not known here is refused, not written into', async () => {
  const folder = await newFolder()
  await writeFile(join(folder, 'SHARDING'), '/repo/flatfs/shard/v1/prefix/5\n')
  await assert.rejects(openFsBlockstore(folder), (err) => isErrorCode(err, 'UNSUPPORTED') && err.message.includes('prefix/5'))
})

test('a SHARDING file without its newline is understood, and an empty one is written anew', async () => {
  for (const content of [FLATFS_SHARDING.trimEnd(), '']) {
    const folder = await newFolder()
    await writeFile(join(folder, 'SHARDING'), content)
    await using store = await openFsBlockstore(folder)
    await store.put(block)
    assert.equal((await readFile(join(folder, 'SHARDING'), 'utf8')).trimEnd(), FLATFS_SHARDING.trimEnd())
  }
})

test('files that are no blocks are neither listed, counted nor touched', async () => {
  const folder = await newFolder()
  {
    await using store = await openFsBlockstore(folder)
    await store.put(block)
  }
  const { shard, file } = LAYOUTS.flatfs.placeOf(block.cid)
  const strangers = [
    '_README', 'diskUsage.cache', 'ZZ', '.temp/temp-1234',
    `${shard}/.${file}.tmp`, `${shard}/notes.data`, `${shard}/${file.toLowerCase()}`, `${shard}/B${file}`,
    'AA/' + file // The right name in the wrong folder: get would not find it.
  ]
  for (const stranger of strangers) {
    await mkdir(join(folder, dirname(stranger)), { recursive: true })
    await writeFile(join(folder, stranger), 'mine')
  }

  await using store = await openFsBlockstore(folder)
  assert.deepEqual((await Array.fromAsync(store.list())).map(String), [block.cid.toString()])
  assert.deepEqual(await store.usage(), { blockCount: 1, byteLength: 3 })
  for (const stranger of strangers) assert.equal(await readFile(join(folder, stranger), 'utf8'), 'mine')
})

test('temporary files that a crash left are gone after opening', async () => {
  const folder = await newFolder()
  const left = join(folder, '.temp', '0d1c2b3a-0000-4000-8000-00000000000f.tmp')
  await mkdir(dirname(left))
  await writeFile(left, 'half a blo')
  await using _ = await openFsBlockstore(folder)
  assert.deepEqual(await readdir(dirname(left)), [])
})

test('no temporary file is left by a put, a batch or an abort', async () => {
  const folder = await newFolder()
  await using store = await openFsBlockstore(folder)
  const blocks = await Promise.all(Array.from({ length: 50 }, (_, index) => Block.of(new Uint8Array(1000).fill(index))))
  await store.put(block)
  await store.putMany(blocks.slice(0, 25))
  const controller = new AbortController()
  const putting = store.putMany(blocks, { signal: controller.signal })
  setImmediate(() => { controller.abort(new Error('changed my mind')) })
  await assert.rejects(putting, /changed my mind/)
  assert.deepEqual(await readdir(join(folder, '.temp')), [])
})

test('folders that a tidy tool removed are made again', async () => {
  const folder = await newFolder()
  await using store = await openFsBlockstore(folder)
  await store.put(block)
  await rm(dirname(pathOf(folder, block)), { recursive: true })
  await rm(join(folder, '.temp'), { recursive: true })
  assert.equal(await store.get(block.cid), undefined)
  await store.put(block)
  assert.deepEqual((await store.get(block.cid))?.bytes, block.bytes)
})

test('the folder and those above it are made when absent', async () => {
  const folder = join(await newFolder(), 'a', 'b', 'c')
  await using store = await openFsBlockstore(folder)
  await store.put(block)
  assert.ok((await stat(pathOf(folder, block))).isFile())
})

test('a path that cannot be a folder is UNAVAILABLE, with the reason', async () => {
  const file = join(await newFolder(), 'file')
  await writeFile(file, '')
  for (const path of [file, join(file, 'below')]) {
    await assert.rejects(openFsBlockstore(path), (err) => isErrorCode(err, 'UNAVAILABLE') && err.message.includes('not a folder'))
  }
})

test('a failure of the system is never taken for absence', async () => {
  const folder = await newFolder()
  await using store = await openFsBlockstore(folder)
  const path = pathOf(folder, block)
  await mkdir(dirname(path))
  await symlink(path, path) // ELOOP, also for a superuser whom no permission stops.
  await assert.rejects(store.get(block.cid), (err) => isErrorCode(err, 'UNAVAILABLE') && err.cause instanceof Error)
  await assert.rejects(store.has(block.cid), (err) => isErrorCode(err, 'UNAVAILABLE'))
  await assert.rejects(store.put(block), (err) => isErrorCode(err, 'UNAVAILABLE'))
  await assert.rejects(store.usage(), (err) => isErrorCode(err, 'UNAVAILABLE'))
})

test('closing waits for the writes that run and refuses those that come later', async () => {
  const folder = await newFolder()
  const store = await openFsBlockstore(folder)
  const putting = store.put(block)
  await store[Symbol.asyncDispose]()
  assert.deepEqual(await readFile(pathOf(folder, block)), Buffer.from(block.bytes))
  await putting
  await assert.rejects(store.put(empty), (err) => err instanceof HoldfastError && err.code === 'UNAVAILABLE' && err.message.includes('closed'))
  await assert.rejects(store.get(block.cid), (err) => isErrorCode(err, 'UNAVAILABLE'))
})
