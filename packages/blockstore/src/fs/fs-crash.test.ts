import { Block, isErrorCode } from '@holdfast/core'
import { seededRandom } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import type { FsOperations } from './fs-operations.ts'
import { openFsBlockstoreOn } from './open-fs-blockstore.ts'

/**
 * A disk in memory that forgets, at a power cut, what was not synced: of contents any prefix may be left, of
 * names any of the changes since the last sync of their folder, each on its own.
 */
class CrashDisk implements FsOperations {
  root: Folder = newFolder()
  readonly #open = new Map<number, Folder | File>()
  #lastFd = 2
  #operationCount = 0
  #cutAt: number

  constructor (cutAt: number = Infinity) {
    this.#cutAt = cutAt
  }

  /** Whether the power went away before the caller was done. */
  get isCut (): boolean {
    return this.#operationCount >= this.#cutAt
  }

  /** What is left of it after a power cut, under one of the many orders in which a disk may have written. */
  afterCut (random: () => number): CrashDisk {
    const disk = new CrashDisk()
    disk.root = survivingFolder(this.root, random)
    return disk
  }

  async open (path: string, flags: 'r' | 'r+' | 'wx'): Promise<number> {
    await this.#step()
    let node = this.#find(path)
    if (flags === 'wx') {
      if (node !== undefined) throw failure('EEXIST')
      node = { bytes: new Uint8Array(), durable: undefined }
      this.#folderOf(path).entries.set(nameOf(path), node)
    }
    if (node === undefined) throw failure('ENOENT')
    this.#open.set(++this.#lastFd, node)
    return this.#lastFd
  }

  async read (fd: number, into: Uint8Array, position: number): Promise<number> {
    await this.#step()
    const bytes = this.#file(fd).bytes.subarray(position, position + into.byteLength)
    into.set(bytes)
    return bytes.byteLength
  }

  async write (fd: number, bytes: Uint8Array, position: number): Promise<number> {
    await this.#step()
    const file = this.#file(fd)
    file.bytes = Uint8Array.of(...file.bytes.subarray(0, position), ...bytes)
    return bytes.byteLength
  }

  async sync (fd: number): Promise<void> {
    await this.#step()
    const file = this.#file(fd)
    file.durable = file.bytes
  }

  async syncFolder (fd: number): Promise<void> {
    await this.#step()
    const folder = this.#open.get(fd)
    assert.ok(folder !== undefined && 'entries' in folder)
    folder.durable = new Map(folder.entries)
  }

  async close (fd: number): Promise<void> {
    await this.#step()
    this.#open.delete(fd)
  }

  async byteLength (fd: number): Promise<number> {
    await this.#step()
    return this.#file(fd).bytes.byteLength
  }

  async byteLengthAt (path: string): Promise<number> {
    await this.#step()
    const node = this.#find(path)
    if (node === undefined) throw failure('ENOENT')
    return 'entries' in node ? 0 : node.bytes.byteLength
  }

  async rename (from: string, to: string): Promise<void> {
    await this.#step()
    const node = this.#find(from)
    if (node === undefined) throw failure('ENOENT')
    this.#folderOf(to).entries.set(nameOf(to), node)
    this.#folderOf(from).entries.delete(nameOf(from))
  }

  async unlink (path: string): Promise<void> {
    await this.#step()
    if (!this.#folderOf(path).entries.delete(nameOf(path))) throw failure('ENOENT')
  }

  async mkdir (path: string): Promise<void> {
    await this.#step()
    if (this.#find(path) !== undefined) throw failure('EEXIST')
    this.#folderOf(path).entries.set(nameOf(path), newFolder())
  }

  async * list (path: string): AsyncIterable<string> {
    await this.#step()
    const node = this.#find(path)
    if (node === undefined) throw failure('ENOENT')
    if (!('entries' in node)) throw failure('ENOTDIR')
    yield * node.entries.keys()
  }

  /** Every call takes effect a little later, as with threads, and none after the cut. */
  async #step (): Promise<void> {
    await Promise.resolve()
    if (this.isCut) throw new Error('The power is cut')
    this.#operationCount++
  }

  #file (fd: number): File {
    const node = this.#open.get(fd)
    assert.ok(node !== undefined && !('entries' in node))
    return node
  }

  #folderOf (path: string): Folder {
    const node = this.#find(join(path, '..'))
    if (node === undefined) throw failure('ENOENT')
    assert.ok('entries' in node)
    return node
  }

  #find (path: string): Folder | File | undefined {
    let node: Folder | File | undefined = this.root
    for (const name of path.split('/').filter((name) => name !== '')) {
      node = node !== undefined && 'entries' in node ? node.entries.get(name) : undefined
    }
    return node
  }
}

interface File { bytes: Uint8Array, durable: Uint8Array | undefined }
interface Folder { entries: Map<string, Folder | File>, durable: Map<string, Folder | File> }

function newFolder (): Folder {
  return { entries: new Map(), durable: new Map() }
}

function nameOf (path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

function failure (code: string): Error {
  return Object.assign(new Error(code), { code, syscall: 'simulated' })
}

function survivingFolder (folder: Folder, random: () => number): Folder {
  const entries = new Map<string, Folder | File>()
  for (const name of new Set([...folder.durable.keys(), ...folder.entries.keys()])) {
    const node = random() < 0.5 ? folder.durable.get(name) : folder.entries.get(name)
    if (node !== undefined) entries.set(name, 'entries' in node ? survivingFolder(node, random) : survivingFile(node, random))
  }
  return { entries, durable: new Map(entries) }
}

/** What was never synced is whole, cut short or empty; in the case of extents without data, zeros. */
function survivingFile ({ bytes, durable }: File, random: () => number): File {
  let left = bytes
  if (durable !== bytes) {
    const choice = random()
    if (choice < 0.25) left = durable ?? new Uint8Array()
    else if (choice < 0.5) left = bytes.subarray(0, Math.floor(random() * bytes.byteLength))
    else if (choice < 0.75) left = new Uint8Array(bytes.byteLength)
  }
  return { bytes: left, durable: left }
}

const FOLDER = '/blocks'
/** Ways to forget that are tried for each moment of a cut. */
const SEEDS_PER_CUT = 8

const blocks = await Promise.all(Array.from({ length: 12 }, (_, index) => Block.of(new Uint8Array(40 + index).fill(index + 1))))

/** Puts that overlap, in ones and batches, some of them again; notes each acknowledgement as it comes. */
async function work (operations: FsOperations, acknowledged: Set<Block>): Promise<void> {
  const store = await openFsBlockstoreOn(operations, FOLDER)
  const put = async (some: readonly Block[]): Promise<void> => {
    await store.putMany(some)
    for (const block of some) acknowledged.add(block)
  }
  const results = await Promise.allSettled([
    put(blocks.slice(0, 1)),
    put(blocks.slice(0, 4)),
    put(blocks.slice(4, 6)),
    put(blocks.slice(5, 9))
  ])
  for (const result of results) if (result.status === 'rejected') throw result.reason
  await put(blocks.slice(0, 5))
  await put(blocks.slice(9))
}

interface Outcome { cutCount: number, lostCount: number, tornCount: number }

/** Cuts the power after every operation, lets the disk forget in several ways, and looks what is left. */
async function cutEverywhere (weaken: (disk: CrashDisk) => FsOperations, seedsPerCut: number): Promise<Outcome> {
  const outcome: Outcome = { cutCount: 0, lostCount: 0, tornCount: 0 }
  for (let cutAt = 1; ; cutAt++) {
    const disk = new CrashDisk(cutAt)
    const acknowledged = new Set<Block>()
    await work(weaken(disk), acknowledged).catch((err: unknown) => { if (!disk.isCut) throw err })
    for (let seed = 0; seed < seedsPerCut; seed++) {
      await inspect(disk.afterCut(seededRandom(cutAt * seedsPerCut + seed)), acknowledged, outcome)
    }
    if (!disk.isCut) return outcome
  }
}

async function inspect (disk: CrashDisk, acknowledged: ReadonlySet<Block>, outcome: Outcome): Promise<void> {
  outcome.cutCount++
  await using store = await openFsBlockstoreOn(disk, FOLDER).catch((err: unknown) => {
    if (isErrorCode(err, 'UNSUPPORTED')) return undefined
    throw err
  })
  if (store === undefined) {
    outcome.tornCount++ // The file that tells the layout is not what was written.
    return
  }
  for (const block of blocks) {
    try {
      const found = await store.get(block.cid)
      if (found === undefined && acknowledged.has(block)) outcome.lostCount++
    } catch (err) {
      if (!isErrorCode(err, 'CORRUPT')) throw err
      outcome.tornCount++
    }
  }
  assert.deepEqual(await Array.fromAsync(disk.list(join(FOLDER, '.temp'))), [], 'temporary files are swept')

  await store.putMany(blocks)
  for (const { cid, bytes } of blocks) assert.deepEqual((await store.get(cid))?.bytes, bytes, 'whatever was left, a put repairs')
}

test('a power cut after any operation loses no acknowledged block and tears none', async () => {
  const { cutCount, lostCount, tornCount } = await cutEverywhere((disk) => disk, SEEDS_PER_CUT)
  assert.deepEqual({ lostCount, tornCount }, { lostCount: 0, tornCount: 0 })
  assert.ok(cutCount > 1500, `${cutCount} power cuts`)
})

test('the same power cuts show what it costs to leave out either sync', async () => {
  const withoutSync = await cutEverywhere((disk) => weakened(disk, { sync: async () => {} }), 2)
  assert.ok(withoutSync.tornCount > 0 && withoutSync.lostCount === 0, JSON.stringify(withoutSync))
  const withoutFolderSync = await cutEverywhere((disk) => weakened(disk, { syncFolder: async () => {} }), 2)
  assert.ok(withoutFolderSync.lostCount > 0 && withoutFolderSync.tornCount === 0, JSON.stringify(withoutFolderSync))
})

function weakened (disk: CrashDisk, replaced: Partial<FsOperations>): FsOperations {
  return {
    open: (path, flags) => disk.open(path, flags),
    read: (fd, into, position) => disk.read(fd, into, position),
    write: (fd, bytes, position) => disk.write(fd, bytes, position),
    sync: (fd) => disk.sync(fd),
    syncFolder: (fd) => disk.syncFolder(fd),
    close: (fd) => disk.close(fd),
    byteLength: (fd) => disk.byteLength(fd),
    byteLengthAt: (path) => disk.byteLengthAt(path),
    rename: (from, to) => disk.rename(from, to),
    unlink: (path) => disk.unlink(path),
    mkdir: (path) => disk.mkdir(path),
    list: (path) => disk.list(path),
    ...replaced
  }
}

test('a block that another tool left unsynced is durable after a put of it', async () => {
  const [block] = blocks
  assert.ok(block !== undefined)
  let lostCount = 0
  for (let seed = 0; seed < 40; seed++) {
    const disk = new CrashDisk()
    const careless = await openFsBlockstoreOn(disk, FOLDER, { durability: 'os' })
    await careless.put(block)
    const acknowledged = new Set<Block>()
    if (seed % 2 === 0) {
      const careful = await openFsBlockstoreOn(disk, FOLDER)
      await careful.put(block)
      acknowledged.add(block)
    }
    const outcome = { cutCount: 0, lostCount: 0, tornCount: 0 }
    await inspect(disk.afterCut(seededRandom(seed)), new Set([block]), outcome)
    const failures = outcome.lostCount + outcome.tornCount
    if (acknowledged.has(block)) assert.equal(failures, 0, `seed ${seed}`)
    else lostCount += failures
  }
  assert.ok(lostCount > 0, 'without the second put it would have been lost')
})
