import { type AbortOptions, HoldfastError, isHoldfastError } from '@holdfast/core'
import { lstat, statfs } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { TreeEntry } from '../tree-entry.ts'
import { onDisk, unless } from './disk-error.ts'
import { moveInto, moveNew, requireAbsent } from './move-into.ts'
import { closePartialFolder, openPartialFolder } from './partial-folder.ts'
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
  /**
   * Names what is written, and only that: a CID and a path. What an interrupted run of the same key and target wrote is then checked
   * and kept, and this run leaves what it wrote when it is interrupted. @default nothing is kept
   */
  resumeKey?: string | undefined
  /** Called before it rejects, with the folder that is left for another run. */
  onInterrupted?: ((folder: string) => void) | undefined
  /** Called for every piece written, with what was written so far. */
  onProgress?: ((event: WriteTreeResult) => void) | undefined
}

export type WriteTreeResult = WriteCounts

/**
 * Writes a tree to the disk at `target`, and nothing outside of it.
 *
 * The entries are taken for hostile. They are written into a new private folder beside `target` whose name ends in
 * `.partial`, and moved to `target` when all are there; after a failure the folder is removed, unless another run could go on
 * with it, after a crash it stays. Symlinks come last, modes and times of directories after the move.
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
  const partial = await openPartialFolder(path, options.resumeKey)
  let keep = false
  try {
    const maxBytes = options.maxBytes ?? await freeBytes(dirname(path)) + (partial.keptBytes ?? 0)
    const root = join(partial.path, 'tree')
    const writer = new TreeWriter(root, { maxBytes, allowOutsideSymlinks, onProgress, resume: partial.keptBytes !== undefined, signal })
    for await (const entry of entries) await writer.write(entry)
    await writer.writeSymlinks()
    signal?.throwIfAborted()
    if (await unless('ENOENT', lstat(root)) === undefined) throw new HoldfastError('INVALID', `Nothing to write to ${path}: the tree has no entries`, { path })
    if (overwrite) await moveInto(root, path)
    else await moveNew(root, path)
    await writer.applyAttributes(path)
    return writer.counts
  } catch (err) {
    keep = partial.canStay && isWorthKeeping(err)
    if (keep) options.onInterrupted?.(partial.path)
    throw err
  } finally {
    await closePartialFolder(partial, { keep })
  }
}

/** A tree that is refused is refused again, and a full disk should not stay full of it. */
function isWorthKeeping (err: unknown): boolean {
  return !isHoldfastError(err) || err.code === 'UNAVAILABLE' || err.code === 'NOT_FOUND'
}

/** Bytes that may be written below `folder`, so that the reserve stays free. */
export async function freeBytes (folder: string): Promise<number> {
  const { bavail, bsize } = await onDisk(`look at ${folder}`, statfs(folder))
  return Math.max(0, bavail * bsize - FREE_RESERVE_BYTES)
}
