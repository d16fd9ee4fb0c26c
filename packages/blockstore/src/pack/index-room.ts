import { HoldfastError } from '@holdfast/core'
import { stat, statfs } from 'node:fs/promises'

/** Bytes that an entry takes at most in an index whose entries come in any order: half-full leaves, and branches above them (docs/formats/pack.md). */
const ENTRY_BYTES = 220

/** Bytes that a page written anew takes. */
const PAGE_BYTES = 4096

/** The tables of packs and the list of free pages change with every commit, and whoever else writes does not wait. */
const MARGIN_BYTES: number = 256 * 1024

/**
 * Refuses a commit of the index for which the disk may be too full.
 *
 * LMDB survives a disk that fills up under it, but tells promises of it that nobody holds, which ends the process.
 *
 * @param entryCount Entries that the commit writes: each may have a page of its own written anew, or all pages there are.
 * @throws `LIMIT` when there is too little room.
 */
export async function requireIndexRoom (path: string, entryCount: number): Promise<void> {
  const [{ bavail, bsize }, { size }] = await Promise.all([statfs(path), stat(path)])
  const neededBytes = MARGIN_BYTES + Math.min(entryCount * 2 * PAGE_BYTES, size + entryCount * ENTRY_BYTES)
  const freeBytes = bavail * bsize
  if (freeBytes >= neededBytes) return
  throw new HoldfastError('LIMIT', `Index ${path} was not written: the disk is full, with ${freeBytes} bytes free of ${neededBytes} that may be needed; free some space`, { path, reason: 'no-space', freeBytes, neededBytes })
}
