import { fdatasync, ftruncate, readSync, statfs, writev } from 'node:fs'
import { promisify } from 'node:util'
import { type FsOperations, nodeFsOperations } from '../fs/fs-operations.ts'

/**
 * What the engine asks of the operating system, one call each: the seam at which tests make a disk fail or lose power.
 *
 * File descriptors are plain numbers, because a `FileHandle` costs a finaliser each.
 */
export interface PackOperations extends FsOperations {
  /** As `read`, but waits for the disk in place: only for what is expected in memory. */
  readNow(fd: number, into: Uint8Array, position: number): number
  /** Writes the parts behind each other from `position` on; fewer bytes than given is no error. */
  writeMany(fd: number, parts: readonly Uint8Array[], position: number): Promise<number>
  /** Makes content and length of a file durable. */
  datasync(fd: number): Promise<void>
  truncate(fd: number, byteLength: number): Promise<void>
  /** Bytes that this process may still write to the file system of `path`. */
  freeByteLength(path: string): Promise<number>
}

const writeParts = promisify(writev)
const syncData = promisify(fdatasync)
const truncateFile = promisify(ftruncate)
const statFileSystem = promisify(statfs)

/** The real thing. */
export const nodePackOperations: PackOperations = {
  ...nodeFsOperations,
  readNow: (fd, into, position) => readSync(fd, into, 0, into.byteLength, position),
  writeMany: async (fd, parts, position) => (await writeParts(fd, [...parts], position)).bytesWritten,
  datasync: syncData,
  truncate: async (fd, byteLength) => { await truncateFile(fd, byteLength) },
  async freeByteLength (path) {
    const { bavail, bsize } = await statFileSystem(path)
    return bavail * bsize
  }
}
