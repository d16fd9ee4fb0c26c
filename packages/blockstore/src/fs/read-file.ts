import { MAX_BLOCK_BYTES } from '@holdfast/core'
import { unlessAbsent } from './fs-errors.ts'
import type { FsOperations } from './fs-operations.ts'

/**
 * Opens the file, hands it to `use`, and closes it; `undefined` when there is no such file.
 *
 * A failure to close is one of the caller's: some network file systems report a lost write only then.
 */
export async function withOpenFile<T> (operations: FsOperations, path: string, use: (fd: number) => Promise<T>, flags: 'r' | 'r+' = 'r'): Promise<T | undefined> {
  const fd = await unlessAbsent(operations.open(path, flags))
  return fd === undefined ? undefined : await closing(operations, fd, use)
}

/** Hands the open file to `use`, and closes it whatever happens. */
export async function closing<T> (operations: FsOperations, fd: number, use: (fd: number) => Promise<T>): Promise<T> {
  let result: T
  try {
    result = await use(fd)
  } catch (err) {
    await operations.close(fd).catch(() => {}) // The first failure is the one to tell.
    throw err
  }
  await operations.close(fd)
  return result
}

/**
 * Reads an open file to its end, up to one byte more than a block may have: enough to see that it is none.
 */
export async function readAll (operations: FsOperations, fd: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(Math.min(await operations.byteLength(fd), MAX_BLOCK_BYTES + 1))
  let at = 0
  while (at < bytes.byteLength) {
    const count = await operations.read(fd, bytes.subarray(at), at)
    if (count === 0) break // Cut short since its length was asked.
    at += count
  }
  return bytes.subarray(0, at)
}

/** Reports whether an open file holds exactly `bytes`; reads it only when the length fits. */
export async function holdsExactly (operations: FsOperations, fd: number, bytes: Uint8Array): Promise<boolean> {
  if (await operations.byteLength(fd) !== bytes.byteLength) return false
  return Buffer.compare(await readAll(operations, fd), bytes) === 0
}
