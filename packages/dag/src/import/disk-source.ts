import { type AbortOptions, HoldfastError } from '@holdfast/core'
import { constants } from 'node:fs'
import { type FileHandle, lstat, open, readdir, readlink } from 'node:fs/promises'
import { basename, resolve, sep } from 'node:path'
import type { ImportSource } from './source.ts'

/**
 * Bytes that one read asks for.
 *
 * 64 KiB reads, the default of Node's streams, halve the speed of an import
 * (measured: reference importer 940 MiB/s against 494).
 */
export const READ_BYTES: number = 1024 * 1024

export interface DiskSourceOptions {
  /** Include entries whose name begins with a dot. The path itself is always included. @default false */
  hidden?: boolean | undefined
  /** Name of the entry. @default the last part of the path */
  name?: string | undefined
}

/**
 * Opens a path of this machine for import: a regular file, a directory with everything below it, or
 * a symlink, which stays a symlink.
 *
 * @throws `NOT_FOUND` when nothing is there, `INVALID` for devices, sockets and pipes, `UNAVAILABLE`
 * for what cannot be read. Entries below a directory throw the same while they are imported.
 */
export async function openDiskSource (path: string, options: DiskSourceOptions = {}): Promise<ImportSource> {
  const absolute = resolve(path)
  const name = Buffer.from(options.name ?? basename(absolute))
  return await openSource(Buffer.from(absolute), name, options)
}

async function openSource (path: Buffer, name: Buffer, options: DiskSourceOptions): Promise<ImportSource> {
  const stats = await onPath(path, lstat(path))
  if (stats.isDirectory()) return { kind: 'directory', name, entries: (signal) => readEntries(path, options, { signal }) }
  if (stats.isSymbolicLink()) return { kind: 'symlink', name, target: await onPath(path, readlink(path, { encoding: 'buffer' })) }
  if (stats.isFile()) return { kind: 'file', name, open: (signal) => readRegularFile(path, { signal }) }
  throw new HoldfastError('INVALID', `Cannot add ${textOf(path)}: it is not a regular file, a directory or a symlink`, { path: textOf(path) })
}

async function * readEntries (path: Buffer, options: DiskSourceOptions, { signal }: AbortOptions): AsyncIterable<ImportSource> {
  const names = await onPath(path, readdir(path, { encoding: 'buffer' }))
  for (const name of names.toSorted(Buffer.compare)) {
    signal?.throwIfAborted()
    if (name[0] === DOT && options.hidden !== true) continue
    const child = Buffer.concat([path, SEPARATOR, name])
    if (!isUtf8(name)) throw new HoldfastError('INVALID', `Cannot add ${textOf(child)}: its name is not UTF-8. Rename it`, { path: textOf(child) })
    yield await openSource(child, name, options)
  }
}

const DOT = 0x2e
const SEPARATOR = Buffer.from(sep)

/**
 * Reads a file as it was when it was opened: what is appended later is left out, and a file that
 * turned shorter is an error, because its CID would name something that never was.
 */
async function * readRegularFile (path: Buffer, { signal }: AbortOptions): AsyncIterable<Uint8Array> {
  // Between lstat and here the path may have become a symlink or a pipe: neither is followed or waited for.
  await using file = await onPath(path, open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)))
  const stats = await onPath(path, file.stat())
  if (!stats.isFile()) throw changed(path)

  let next = readPiece(path, file, 0, stats.size)
  for (let offset = 0; offset < stats.size;) {
    const piece = await next
    signal?.throwIfAborted()
    if (piece.byteLength === 0) throw changed(path)
    offset += piece.byteLength
    next = readPiece(path, file, offset, stats.size)
    // When the consumer stops here nobody awaits this read; closing the file waits for it.
    next.catch(() => {})
    yield piece
  }
}

/** Reads up to `READ_BYTES` at `offset`; fewer at the end of the file only. */
async function readPiece (path: Buffer, file: FileHandle, offset: number, end: number): Promise<Uint8Array> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, end - offset))
  let filled = 0
  while (filled < buffer.byteLength) {
    const { bytesRead } = await onPath(path, file.read(buffer, filled, buffer.byteLength - filled, offset + filled))
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

function changed (path: Buffer): HoldfastError {
  return new HoldfastError('UNAVAILABLE', `Cannot add ${textOf(path)}: it changed while it was read. Add it again when nobody writes to it`, { path: textOf(path) })
}

/** Says which path failed and why, in words; the system's error stays the cause. */
async function onPath<T> (path: Buffer, operation: Promise<T>): Promise<T> {
  try {
    return await operation
  } catch (cause) {
    const text = textOf(path)
    const errno = cause instanceof Error && 'code' in cause ? cause.code : undefined
    if (errno === 'ENOENT' || errno === 'ENOTDIR') {
      throw new HoldfastError('NOT_FOUND', `Cannot add ${text}: there is no such file or directory`, { cause, path: text })
    }
    if (errno === 'ELOOP') throw changed(path)
    const why = errno === 'EACCES' || errno === 'EPERM' ? 'permission denied' : errno === 'EMFILE' || errno === 'ENFILE' ? 'too many open files' : String(errno ?? cause)
    throw new HoldfastError('UNAVAILABLE', `Cannot add ${text}: ${why}`, { cause, path: text })
  }
}

function isUtf8 (name: Buffer): boolean {
  return Buffer.from(name.toString()).equals(name)
}

function textOf (path: Buffer): string {
  return path.toString()
}
