import { close, fstat, fsync, mkdir, open, opendir, read, rename, stat, unlink, write } from 'node:fs'
import { platform } from 'node:process'
import { promisify } from 'node:util'
import { errnoOf } from './fs-errors.ts'

/**
 * What the engine asks of the operating system, one call each.
 *
 * Tests stand between: they fail the Nth call, or play a disk that forgets what was not synced.
 * File descriptors are plain numbers, because a `FileHandle` per file costs a finaliser each.
 */
export interface FsOperations {
  /** `r` reads, `r+` reads and may be synced on Windows; `wx` creates a file that must not exist. */
  open(path: string, flags: 'r' | 'r+' | 'wx'): Promise<number>
  /** Reads at `position` into `into`; fewer bytes than asked for is no error. */
  read(fd: number, into: Uint8Array, position: number): Promise<number>
  /** Writes at `position`; fewer bytes than given is no error. */
  write(fd: number, bytes: Uint8Array, position: number): Promise<number>
  /** Makes the content of a file durable. */
  sync(fd: number): Promise<void>
  /** Makes the names in an open folder durable. */
  syncFolder(fd: number): Promise<void>
  close(fd: number): Promise<void>
  byteLength(fd: number): Promise<number>
  byteLengthAt(path: string): Promise<number>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  mkdir(path: string): Promise<void>
  /** The names in a folder, in no order, read piece by piece. */
  list(path: string): AsyncIterable<string>
}

const openFile = promisify(open)
const readFile = promisify(read)
const writeFile = promisify(write)
const syncFile = promisify(fsync)
const fstatFile = promisify(fstat)
const statFile = promisify(stat)

/** Names fetched from the system at once; the default of 32 makes a walk of a big folder twice as slow. */
const NAMES_PER_READ = 1024

/** The real thing. */
export const nodeFsOperations: FsOperations = {
  open: async (path, flags) => await openFile(path, flags),
  read: async (fd, into, position) => (await readFile(fd, into, 0, into.byteLength, position)).bytesRead,
  write: async (fd, bytes, position) => (await writeFile(fd, bytes, 0, bytes.byteLength, position)).bytesWritten,
  sync: syncFile,
  syncFolder,
  close: promisify(close),
  byteLength: async (fd) => (await fstatFile(fd)).size,
  byteLengthAt: async (path) => (await statFile(path)).size,
  rename: promisify(rename),
  unlink: promisify(unlink),
  mkdir: async (path) => { await makeFolder(path) },
  list
}

const makeFolder = promisify<string, void>((path, done) => { mkdir(path, done) })
const openFolder = promisify(opendir)

/** Windows, and a few network file systems, keep names durable by themselves and refuse to be asked. */
async function syncFolder (fd: number): Promise<void> {
  if (platform === 'win32') return
  try {
    await syncFile(fd)
  } catch (err) {
    if (errnoOf(err) !== 'EINVAL' && errnoOf(err) !== 'ENOTSUP') throw err
  }
}

async function * list (path: string): AsyncIterable<string> {
  for await (const { name } of await openFolder(path, { bufferSize: NAMES_PER_READ })) yield name
}
