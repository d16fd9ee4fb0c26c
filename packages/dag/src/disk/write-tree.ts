import { type AbortOptions, HoldfastError } from '@holdfast/core'
import { randomBytes } from 'node:crypto'
import { lstat, mkdir, rm, statfs } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { TreeEntry } from '../tree-entry.ts'
import { onDisk, unless } from './disk-error.ts'
import { moveInto } from './move-into.ts'
import { TreeWriter, type WriteCounts } from './tree-writer.ts'

/** Free bytes that are left on the disk unless `maxBytes` says otherwise. */
export const FREE_RESERVE_BYTES: number = 1024 * 1024 * 1024

export interface WriteTreeOptions extends AbortOptions {
  /** Most bytes to write; each entry counts at least `ENTRY_BYTES`. @default the free space less FREE_RESERVE_BYTES */
  maxBytes?: number | undefined
  /** Whether to write symlinks that may lead out of the tree. @default false */
  allowOutsideSymlinks?: boolean | undefined
  /** Whether to replace files at `target`, and to merge directories; other files there stay. @default false */
  overwrite?: boolean | undefined
  /** Called for every piece written, with what was written so far. */
  onProgress?: ((event: WriteTreeResult) => void) | undefined
}

export type WriteTreeResult = WriteCounts

/**
 * Writes a tree to the disk at `target`, and nothing outside of it.
 *
 * The entries are taken for hostile. They are written into a new private folder beside `target` whose name ends in
 * `.partial`, and moved to `target` when all are there; after a failure the folder is removed, after a
 * crash it stays. Symlinks come last, modes and times of directories after the move.
 *
 * @throws `INVALID` when `target` exists and `overwrite` is off, for names that cannot be, names that this file system
 * takes for one, and symlinks out of the tree; `CORRUPT` for content of another length than declared; `LIMIT`
 * above `maxBytes` or when the disk is full; `UNAVAILABLE` when the disk fails; what `entries` throws.
 * @see https://specs.ipfs.tech/unixfs/, CVE-2020-26279
 */
export async function writeTree (entries: AsyncIterable<TreeEntry>, target: string, options: WriteTreeOptions = {}): Promise<WriteTreeResult> {
  const { allowOutsideSymlinks = false, overwrite = false, onProgress = () => {}, signal } = options
  const path = resolve(target)
  signal?.throwIfAborted()
  if (!overwrite) await requireAbsent(path)
  const maxBytes = options.maxBytes ?? await freeBytes(dirname(path))

  const partial = join(dirname(path), `${basename(path).slice(0, 50)}.${randomBytes(4).toString('hex')}.partial`)
  await onDisk(`create a folder in ${dirname(path)}`, mkdir(partial, { mode: 0o700 }))
  try {
    const root = join(partial, 'tree')
    const writer = new TreeWriter(root, { maxBytes, allowOutsideSymlinks, onProgress, signal })
    for await (const entry of entries) await writer.write(entry)
    await writer.writeSymlinks()
    signal?.throwIfAborted()
    if (await unless('ENOENT', lstat(root)) === undefined) throw new HoldfastError('INVALID', `Nothing to write to ${path}: the tree has no entries`, { path })
    if (!overwrite) await requireAbsent(path)
    await moveInto(root, path)
    await writer.applyAttributes(path)
    return writer.counts
  } finally {
    // What cannot be removed has a name that says what it is; the failure that matters is the one under way.
    await rm(partial, { recursive: true, force: true }).catch(() => {})
  }
}

async function requireAbsent (path: string): Promise<void> {
  if (await onDisk(`look at ${path}`, unless('ENOENT', lstat(path))) !== undefined) {
    throw new HoldfastError('INVALID', `${path} exists; choose another place, or pass --overwrite`, { path })
  }
}

async function freeBytes (folder: string): Promise<number> {
  const { bavail, bsize } = await onDisk(`look at ${folder}`, statfs(folder))
  return Math.max(0, bavail * bsize - FREE_RESERVE_BYTES)
}
