import { type AbortOptions, HoldfastError } from '@holdfast/core'
import { constants, type Stats } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { ChunkBuffers } from './chunk-buffers.ts'

/**
 * Bytes that one read asks for.
 *
 * 64 KiB reads, the default of Node's streams, halve the speed of an import
 * (measured: reference importer 940 MiB/s against 494).
 */
export const READ_BYTES: number = 1024 * 1024

export interface ReadOptions extends AbortOptions {
  /** Memory for whole chunks. */
  buffers?: ChunkBuffers | undefined
}

/**
 * Reads a file as it was when it was opened. One that was written to meanwhile, or turned longer or shorter, is an error, because its
 * CID would name something that never was.
 *
 * A file that one read takes in whole is not looked at again.
 */
export async function * readRegularFile (path: Buffer, { signal, buffers }: ReadOptions): AsyncIterable<Uint8Array> {
  // Between lstat and here the path may have become a symlink or a pipe: neither is followed or waited for.
  await using file = await onPath(path, open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0)))
  const stats = await onPath(path, file.stat())
  if (!stats.isFile()) throw changed(path)
  const end = stats.size

  const slabs = new Slabs(path, file, end, buffers)
  let next = slabs.read(0)
  for (let offset = 0; offset < end;) {
    const pieces = await next
    signal?.throwIfAborted()
    offset += pieces.reduce((sum, { byteLength }) => sum + byteLength, 0)
    if (offset === end && end > READ_BYTES) await requireUnchanged(path, file, stats)
    next = slabs.read(offset)
    // When the consumer stops here nobody awaits this read; closing the file waits for it.
    next.catch(() => {})
    yield * pieces
  }
}

/** Reads of one file, each of about `READ_BYTES`. */
class Slabs {
  readonly #path: Buffer
  readonly #file: FileHandle
  readonly #end: number
  readonly #buffers: ChunkBuffers | undefined

  constructor (path: Buffer, file: FileHandle, end: number, buffers: ChunkBuffers | undefined) {
    this.#path = path
    this.#file = file
    this.#end = end
    this.#buffers = buffers
  }

  /** Reads from `offset` on: whole chunks, into buffers for such, or one piece of any length. */
  async read (offset: number): Promise<readonly Uint8Array[]> {
    const left = this.#end - offset
    if (left <= 0) return []
    const chunkBytes = this.#buffers?.chunkBytes ?? Infinity
    const chunkCount = Math.floor(Math.min(Math.max(READ_BYTES, chunkBytes), left) / chunkBytes)
    const pieces = Array.from({ length: chunkCount }, () => this.#buffers?.take() ?? new Uint8Array())
    if (chunkCount === 0) pieces.push(Buffer.allocUnsafeSlow(Math.min(READ_BYTES, left)))
    await this.#fill(pieces, offset)
    return pieces
  }

  async #fill (pieces: readonly Uint8Array[], offset: number): Promise<void> {
    for (let rest = pieces; rest.length > 0;) {
      const { bytesRead } = await onPath(this.#path, this.#file.readv(rest, offset))
      if (bytesRead === 0) throw changed(this.#path)
      offset += bytesRead
      rest = withoutFirst(rest, bytesRead)
    }
  }
}

function withoutFirst (pieces: readonly Uint8Array[], byteLength: number): Uint8Array[] {
  const rest: Uint8Array[] = []
  for (const piece of pieces) {
    if (piece.byteLength > byteLength) rest.push(piece.subarray(byteLength))
    byteLength = Math.max(0, byteLength - piece.byteLength)
  }
  return rest
}

async function requireUnchanged (path: Buffer, file: FileHandle, before: Stats): Promise<void> {
  const after = await onPath(path, file.stat())
  if (after.size !== before.size || after.mtimeMs !== before.mtimeMs) throw changed(path)
}

function changed (path: Buffer): HoldfastError {
  return new HoldfastError('UNAVAILABLE', `Cannot add ${textOf(path)}: it changed while it was read. Add it again when nobody writes to it`, { path: textOf(path) })
}

/** Says which path failed and why, in words; the system's error stays the cause. */
export async function onPath<T> (path: Buffer, operation: Promise<T>): Promise<T> {
  try {
    return await operation
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause
    throw failureOf(path, cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause), cause)
  }
}

/** The failure to read a path, from the code of the system's error; without one it is something else than it was. */
export function failureOf (path: Buffer, code: string | undefined, cause?: unknown): HoldfastError {
  const text = textOf(path)
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new HoldfastError('NOT_FOUND', `Cannot add ${text}: there is no such file or directory`, { cause, path: text })
  }
  if (code === undefined || code === 'ELOOP') return changed(path)
  const why = code === 'EACCES' || code === 'EPERM' ? 'permission denied' : code === 'EMFILE' || code === 'ENFILE' ? 'too many open files' : code
  return new HoldfastError('UNAVAILABLE', `Cannot add ${text}: ${why}`, { cause, path: text })
}

export function textOf (path: Buffer): string {
  return path.toString()
}
