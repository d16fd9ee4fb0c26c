import type { CrashDisk } from './crash-disk.ts'

/** A file or folder of a `CrashDisk`, with the calls of a `FileHandle`. */
export interface CrashFile extends AsyncDisposable {
  read(into: Uint8Array, offset: number, byteLength: number, position: number): Promise<{ bytesRead: number }>
  write(bytes: Uint8Array, offset: number, byteLength: number, position: number): Promise<{ bytesWritten: number }>
  stat(): Promise<{ size: number }>
  truncate(byteLength: number): Promise<void>
  datasync(): Promise<void>
  sync(): Promise<void>
  close(): Promise<void>
}

/** The calls of `node:fs/promises` that stores with file handles make. */
export interface CrashFiles {
  mkdir(path: string, options: { recursive: true, mode: number }): Promise<string | undefined>
  readdir(path: string): Promise<string[]>
  open(path: string, flags: 'r' | 'r+' | 'w' | 'wx'): Promise<CrashFile>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
}

/** The same disk for stores that use file handles where others use descriptors. */
export function crashFilesOf (disk: CrashDisk): CrashFiles {
  return {
    mkdir: async (path) => await makeFolders(disk, path),
    readdir: async (path) => await Array.fromAsync(disk.list(path)),
    open: async (path, flags) => fileOf(disk, await disk.open(path, flags)),
    rename: async (from, to) => { await disk.rename(from, to) },
    unlink: async (path) => { await disk.unlink(path) }
  }
}

/** Makes the folder and those above it that are missing; returns the first that it made. */
async function makeFolders (disk: CrashDisk, path: string): Promise<string | undefined> {
  const names = path.split('/').slice(1)
  let first: string | undefined
  for (const [index] of names.entries()) {
    const folder = `/${names.slice(0, index + 1).join('/')}`
    try {
      await disk.mkdir(folder)
      first ??= folder
    } catch (err) {
      if (!(err instanceof Error && 'code' in err && err.code === 'EEXIST')) throw err
    }
  }
  return first
}

function fileOf (disk: CrashDisk, fd: number): CrashFile {
  return {
    read: async (into, offset, byteLength, position) => ({ bytesRead: await disk.read(fd, into.subarray(offset, offset + byteLength), position) }),
    write: async (bytes, offset, byteLength, position) => ({ bytesWritten: await disk.write(fd, bytes.subarray(offset, offset + byteLength), position) }),
    stat: async () => ({ size: await disk.byteLength(fd) }),
    truncate: async (byteLength) => { await disk.truncate(fd, byteLength) },
    datasync: async () => { await disk.datasync(fd) },
    sync: async () => { await disk.sync(fd) },
    close: async () => { await disk.close(fd) },
    [Symbol.asyncDispose]: async () => { await disk.close(fd) }
  }
}
