import { type AbortOptions, HoldfastError } from '@holdfast/core'
import { constants, type Stats } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'

/**
 * Bytes that one read asks for.
 *
 * 64 KiB reads, the default of Node's streams, halve the speed of an import
 * (measured: reference importer 940 MiB/s against 494).
 */
export const READ_BYTES: number = 1024 * 1024

/**
 * Reads a file as it was when it was opened: what is appended later is left out. A file that turned shorter, or
 * that was written to without growing, is an error, because its CID would name something that never was.
 *
 * A file that one read takes in whole is not looked at again.
 */
export async function * readRegularFile (path: Buffer, { signal }: AbortOptions): AsyncIterable<Uint8Array> {
  // Between lstat and here the path may have become a symlink or a pipe: neither is followed or waited for.
  await using file = await onPath(path, open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)))
  const stats = await onPath(path, file.stat())
  if (!stats.isFile()) throw changed(path)
  const end = stats.size

  let next = readPiece(path, file, 0, end)
  for (let offset = 0; offset < end;) {
    const piece = await next
    signal?.throwIfAborted()
    if (piece.byteLength === 0) throw changed(path)
    offset += piece.byteLength
    if (offset === end && end > READ_BYTES) await requireUnchanged(path, file, stats)
    next = readPiece(path, file, offset, end)
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

/** A file that only grew has kept what was read, as logs do; the time alone does not tell. */
async function requireUnchanged (path: Buffer, file: FileHandle, before: Stats): Promise<void> {
  const after = await onPath(path, file.stat())
  if (after.size < before.size || (after.size === before.size && after.mtimeMs !== before.mtimeMs)) throw changed(path)
}

function changed (path: Buffer): HoldfastError {
  return new HoldfastError('UNAVAILABLE', `Cannot add ${textOf(path)}: it changed while it was read. Add it again when nobody writes to it`, { path: textOf(path) })
}

/** Says which path failed and why, in words; the system's error stays the cause. */
export async function onPath<T> (path: Buffer, operation: Promise<T>): Promise<T> {
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

export function textOf (path: Buffer): string {
  return path.toString()
}
