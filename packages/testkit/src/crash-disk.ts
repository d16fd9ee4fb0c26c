/**
 * A disk in memory that can lose power and fail.
 *
 * At a power cut it forgets what was not synced: of contents any sectors may be left, in any order, the others as they were
 * or zero, and any length between; of names any of the changes since the last sync of their folder, each on its own. So it is
 * stricter than any file system that keeps some order. It has the calls that stores make of `node:fs`, one method each.
 */

/** Bytes that a disk writes as one. */
const SECTOR_BYTES = 512

export interface DiskFault {
  /** Which operation fails, counted from 1. */
  readonly at: number
  /** `ENOSPC`, `EIO`, `EMFILE` and so on; `short` lets a write take only a part. */
  readonly code: string
  /** Whether all operations from then on that could fail so, fail: a full disk stays full. @default false */
  readonly lasting?: boolean
}

export interface CrashDiskOptions {
  /** Operations after which the power is cut. @default never */
  cutAt?: number
  fault?: DiskFault
}

interface File {
  bytes: Uint8Array
  durable: Uint8Array
  /** What it was between the last sync and now; any of it may have got to the disk. */
  past: Uint8Array[]
}

interface Folder {
  readonly entries: Map<string, File | Folder>
  /** What each name may stand for after a cut, of the names that changed since the last sync. */
  possible: Map<string, Set<File | Folder | undefined>>
}

export class CrashDisk {
  #root: Folder = newFolder()
  readonly #open = new Map<number, { node: File | Folder, path: string }>()
  #lastFd = 2
  #cutAt: number
  #fault: DiskFault | undefined
  operationCount = 0
  /** Syncs asked for after the fault: none may be, once one failed. */
  syncsAfterFault = 0

  constructor ({ cutAt = Infinity, fault }: CrashDiskOptions = {}) {
    this.#cutAt = cutAt
    this.#fault = fault
  }

  /** Whether the power went away. */
  get isCut (): boolean {
    return this.operationCount >= this.#cutAt
  }

  get openCount (): number {
    return this.#open.size
  }

  /** Whether the fault has struck. */
  get hasFailed (): boolean {
    return this.#fault !== undefined && this.operationCount >= this.#fault.at
  }

  /** Ends a lasting fault: space is back. */
  mend (): void {
    this.#fault = undefined
  }

  /** What is left of it after a power cut, under one of the many orders in which a disk may have written. */
  afterCut (random: () => number, options: CrashDiskOptions = {}): CrashDisk {
    const disk = new CrashDisk(options)
    disk.#root = survivingFolder(this.#root, random)
    return disk
  }

  /** The same disk after its process was killed: nothing is lost, handles are gone. */
  afterKill (options: CrashDiskOptions = {}): CrashDisk {
    const disk = new CrashDisk(options)
    disk.#root = this.#root
    return disk
  }

  /** The bytes of a file as programs see them now, without counting as an operation. */
  contentOf (path: string): Uint8Array | undefined {
    const node = this.#find(path)
    return node === undefined || 'entries' in node ? undefined : node.bytes
  }

  /** The names in a folder, without counting as an operation. */
  namesIn (path: string): string[] {
    const node = this.#find(path)
    return node !== undefined && 'entries' in node ? [...node.entries.keys()] : []
  }

  /** Changes the bytes of a file behind everybody's back: rot. */
  damage (path: string, change: (bytes: Uint8Array) => Uint8Array): void {
    const node = this.#find(path)
    if (node === undefined || 'entries' in node) throw failure('ENOENT')
    node.bytes = change(Uint8Array.from(node.bytes))
    node.durable = node.bytes
    node.past = []
  }

  async open (path: string, flags: 'r' | 'r+' | 'w' | 'wx'): Promise<number> {
    await this.#step('open')
    let node = this.#find(path)
    if (flags === 'wx' && node !== undefined) throw failure('EEXIST')
    if (flags === 'w' && node !== undefined && !('entries' in node)) change(node, EMPTY)
    if (node === undefined && (flags === 'w' || flags === 'wx')) {
      node = { bytes: EMPTY, durable: EMPTY, past: [] }
      rename(this.#folderOf(path), nameOf(path), node)
    }
    if (node === undefined) throw failure('ENOENT')
    this.#open.set(++this.#lastFd, { node, path })
    return this.#lastFd
  }

  async read (fd: number, into: Uint8Array, position: number): Promise<number> {
    await this.#step('read')
    return this.#read(fd, into, position)
  }

  readNow (fd: number, into: Uint8Array, position: number): number {
    if (this.isCut) throw failure('EIO')
    return this.#read(fd, into, position)
  }

  async write (fd: number, bytes: Uint8Array, position: number): Promise<number> {
    return await this.writeMany(fd, [bytes], position)
  }

  /** Takes a few sectors at a time, as a system may; a disk that fills up keeps the first of them. */
  async writeMany (fd: number, parts: readonly Uint8Array[], position: number): Promise<number> {
    const isShort = await this.#step('write')
    const file = this.#file(fd)
    const bytes = Buffer.concat(parts)
    const taken = isShort ? Math.ceil(bytes.byteLength / 2) : Math.min(bytes.byteLength, MAX_WRITE_BYTES)
    const grown = new Uint8Array(Math.max(file.bytes.byteLength, position + taken))
    grown.set(file.bytes)
    grown.set(bytes.subarray(0, taken), position)
    change(file, grown)
    return taken
  }

  async truncate (fd: number, byteLength: number): Promise<void> {
    await this.#step('truncate')
    const file = this.#file(fd)
    const cut = new Uint8Array(byteLength)
    cut.set(file.bytes.subarray(0, byteLength))
    change(file, cut)
  }

  /** Of a file or a folder. */
  async sync (fd: number): Promise<void> {
    const node = this.#open.get(fd)?.node
    await (node !== undefined && 'entries' in node ? this.syncFolder(fd) : this.datasync(fd))
  }

  async datasync (fd: number): Promise<void> {
    await this.#step('sync')
    const file = this.#file(fd)
    file.durable = file.bytes
    file.past = []
  }

  async syncFolder (fd: number): Promise<void> {
    await this.#step('sync')
    const folder = this.#open.get(fd)?.node
    if (folder === undefined || !('entries' in folder)) throw failure('EBADF')
    folder.possible = new Map()
  }

  async close (fd: number): Promise<void> {
    // Lets go whatever happens, as the system does.
    const wasOpen = this.#open.delete(fd)
    await this.#step('close')
    if (!wasOpen) throw failure('EBADF')
  }

  async byteLength (fd: number): Promise<number> {
    await this.#step('stat')
    return this.#file(fd).bytes.byteLength
  }

  async byteLengthAt (path: string): Promise<number> {
    await this.#step('stat')
    const node = this.#find(path)
    if (node === undefined) throw failure('ENOENT')
    return 'entries' in node ? 0 : node.bytes.byteLength
  }

  async rename (from: string, to: string): Promise<void> {
    await this.#step('rename')
    const node = this.#find(from)
    if (node === undefined) throw failure('ENOENT')
    rename(this.#folderOf(to), nameOf(to), node)
    rename(this.#folderOf(from), nameOf(from), undefined)
  }

  async unlink (path: string): Promise<void> {
    await this.#step('unlink')
    if (this.#find(path) === undefined) throw failure('ENOENT')
    rename(this.#folderOf(path), nameOf(path), undefined)
  }

  async mkdir (path: string): Promise<void> {
    await this.#step('mkdir')
    if (this.#find(path) !== undefined) throw failure('EEXIST')
    rename(this.#folderOf(path), nameOf(path), newFolder())
  }

  async * list (path: string): AsyncGenerator<string> {
    await this.#step('list')
    const node = this.#find(path)
    if (node === undefined) throw failure('ENOENT')
    if (!('entries' in node)) throw failure('ENOTDIR')
    yield * node.entries.keys()
  }

  async freeByteLength (): Promise<number> {
    await this.#step('stat')
    return Number.MAX_SAFE_INTEGER
  }

  /** Counts an operation. Each takes effect a little later, as with threads, and none after the cut. */
  async #step (kind: string): Promise<boolean> {
    await Promise.resolve()
    if (this.isCut) throw failure('EIO')
    this.operationCount++
    const fault = this.#fault
    if (fault === undefined || this.operationCount < fault.at) return false
    const isFirst = this.operationCount === fault.at
    if (kind === 'sync' && !isFirst) this.syncsAfterFault++
    if (!isFirst && (fault.lasting !== true || !canFailWith(kind, fault.code))) return false
    if (fault.code === 'short') return kind === 'write'
    if (canFailWith(kind, fault.code)) throw failure(fault.code)
    return false
  }

  #read (fd: number, into: Uint8Array, position: number): number {
    const bytes = this.#file(fd).bytes.subarray(position, position + into.byteLength)
    into.set(bytes)
    return bytes.byteLength
  }

  #file (fd: number): File {
    const node = this.#open.get(fd)?.node
    if (node === undefined || 'entries' in node) throw failure('EBADF')
    return node
  }

  #folderOf (path: string): Folder {
    const node = this.#find(path.slice(0, path.lastIndexOf('/')))
    if (node === undefined) throw failure('ENOENT')
    if (!('entries' in node)) throw failure('ENOTDIR')
    return node
  }

  #find (path: string): File | Folder | undefined {
    let node: File | Folder | undefined = this.#root
    for (const name of path.split('/').filter((name) => name !== '')) {
      node = node !== undefined && 'entries' in node ? node.entries.get(name) : undefined
    }
    return node
  }
}

const EMPTY = new Uint8Array()

/** Not a whole number of sectors, so that writes are torn inside of one. */
const MAX_WRITE_BYTES: number = 3 * SECTOR_BYTES + 7

/** Space runs out where something is added, files where one is opened; the medium fails anywhere. */
function canFailWith (kind: string, code: string): boolean {
  if (code === 'ENOSPC' || code === 'EDQUOT') return kind === 'write' || kind === 'open' || kind === 'mkdir' || kind === 'rename'
  if (code === 'EMFILE' || code === 'ENFILE') return kind === 'open' || kind === 'list'
  return kind !== 'close'
}

function nameOf (path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

function newFolder (): Folder {
  return { entries: new Map(), possible: new Map() }
}

function rename (folder: Folder, name: string, node: File | Folder | undefined): void {
  const before = folder.possible.get(name) ?? new Set([folder.entries.get(name)])
  folder.possible.set(name, before.add(node))
  if (node === undefined) folder.entries.delete(name)
  else folder.entries.set(name, node)
}

function change (file: File, bytes: Uint8Array): void {
  file.past.push(file.bytes)
  file.bytes = bytes
}

function survivingFolder (folder: Folder, random: () => number): Folder {
  const left = newFolder()
  for (const name of new Set([...folder.entries.keys(), ...folder.possible.keys()])) {
    const possible = [...folder.possible.get(name) ?? [folder.entries.get(name)]]
    const node = possible[Math.floor(random() * possible.length)]
    if (node === undefined) continue
    left.entries.set(name, 'entries' in node ? survivingFolder(node, random) : survivingFile(node, random))
  }
  return left
}

function survivingFile ({ bytes, durable, past }: File, random: () => number): File {
  const left = bytes === durable ? bytes : survivingBytes([bytes, ...past], durable, random)
  return { bytes: left, durable: left, past: [] }
}

function survivingBytes (written: readonly Uint8Array[], durable: Uint8Array, random: () => number): Uint8Array {
  const latest = written[Math.floor(random() * written.length)] ?? durable
  const [shorter = 0, longer = 0] = [latest.byteLength, durable.byteLength].sort((a, b) => a - b)
  const byteLength = random() < 0.6 ? longer : shorter + Math.floor(random() * (longer - shorter + 1))
  const left = new Uint8Array(byteLength)
  const lostShare = random()
  for (let at = 0; at < byteLength; at += SECTOR_BYTES) {
    const source = random() < lostShare ? durable : latest
    left.set(source.subarray(at, Math.min(at + SECTOR_BYTES, byteLength)), at)
  }
  return left
}

function failure (code: string): Error {
  return Object.assign(new Error(`${code}: made to fail`), { code, syscall: 'modelled' })
}
