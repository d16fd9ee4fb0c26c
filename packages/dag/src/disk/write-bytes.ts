import { type AbortOptions, HoldfastError } from '@holdfast/core'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { onDisk } from './disk-error.ts'
import { moveInto, moveNew, requireAbsent } from './move-into.ts'
import { closePartialFolder, openPartialFolder } from './partial-folder.ts'
import { freeBytes } from './write-tree.ts'

export interface WriteBytesOptions extends AbortOptions {
  /** Most bytes to write. @default the free space less FREE_RESERVE_BYTES */
  maxBytes?: number | undefined
  /** Whether to replace a file at `target`. @default false */
  overwrite?: boolean | undefined
}

/**
 * Writes bytes of unknown length to the file `target`, which is there when all of them are.
 *
 * @throws `INVALID` when `target` exists and `overwrite` is off, `LIMIT` above `maxBytes` or when the disk is full, `UNAVAILABLE` when
 * the disk fails; what `bytes` throws.
 */
export async function writeBytes (bytes: AsyncIterable<Uint8Array>, target: string, { maxBytes, overwrite = false, signal }: WriteBytesOptions = {}): Promise<{ readonly byteLength: number }> {
  const path = resolve(target)
  signal?.throwIfAborted()
  if (!overwrite) await requireAbsent(path)
  const limit = maxBytes ?? await freeBytes(dirname(path))
  const partial = await openPartialFolder(path, undefined)
  try {
    const file = join(partial.path, 'bytes')
    const byteLength = await writeNew(file, bytes, { limit, path, signal })
    if (overwrite) await moveInto(file, path)
    else await moveNew(file, path)
    return { byteLength }
  } finally {
    await closePartialFolder(partial, { keep: false })
  }
}

async function writeNew (file: string, bytes: AsyncIterable<Uint8Array>, { limit, path, signal }: AbortOptions & { readonly limit: number, readonly path: string }): Promise<number> {
  await using handle = await onDisk(`create ${basename(path)}`, open(file, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL))
  let byteLength = 0
  for await (const piece of bytes) {
    signal?.throwIfAborted()
    byteLength += piece.byteLength
    if (byteLength > limit) throw new HoldfastError('LIMIT', `${path} would be longer than the ${limit} bytes allowed; pass --max-size to allow more`, { path, maxBytes: limit })
    await onDisk(`write ${path}`, handle.writeFile(piece))
  }
  return byteLength
}
