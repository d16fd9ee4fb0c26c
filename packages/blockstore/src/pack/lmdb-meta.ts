/**
 * A look at the first pages of an LMDB file before LMDB itself opens it: on a file of other content it may end the process.
 *
 * ```
 * page 0 and page 1, each     offset  what
 *                              24     u32 magic be ef c0 de
 *                              28     u32 version of the format, 2
 *                              48     u32 bytes of a page
 *                              88     u64 root page of the free list, or all ones
 *                             136     u64 root page of the main table, or all ones
 *                             144     u64 last page in use
 * ```
 *
 * @see mdb.c of LMDB 0.9.90 as in lmdb-js 3, `MDB_meta` behind a page header of 24 bytes
 */
import { HoldfastError } from '@holdfast/core'
import { open } from 'node:fs/promises'
import { unlessAbsent } from '../fs/fs-errors.ts'

const META_BYTES = 160
const MAGIC = 0xbeefc0de
const VERSION = 2
const MIN_PAGE_BYTES = 512
const MAX_PAGE_BYTES = 65_536
const NO_PAGE = 0xffff_ffff_ffff_ffffn

/** Passes over files that are absent or empty. @throws `CORRUPT` for a file that LMDB did not write, or that was cut short. */
export async function requireLmdb (path: string): Promise<void> {
  await using file = await unlessAbsent(open(path, 'r'))
  const size = (await file?.stat())?.size ?? 0
  if (file === undefined || size === 0) return
  const first = Buffer.alloc(META_BYTES)
  await file.read(first, 0, META_BYTES, 0)
  const pageBytes = first.readUInt32LE(48)
  const isPower = pageBytes >= MIN_PAGE_BYTES && pageBytes <= MAX_PAGE_BYTES && (pageBytes & (pageBytes - 1)) === 0
  if (!isPower) throw notLmdb(path)
  const second = Buffer.alloc(META_BYTES)
  await file.read(second, 0, META_BYTES, pageBytes)
  const pageCount = BigInt(Math.floor(size / pageBytes))
  if (![first, second].every((meta) => isSound(meta, { pageBytes, pageCount }))) throw notLmdb(path)
}

function isSound (meta: Buffer, { pageBytes, pageCount }: { pageBytes: number, pageCount: bigint }): boolean {
  const roots = [meta.readBigUInt64LE(88), meta.readBigUInt64LE(136)]
  return meta.readUInt32LE(24) === MAGIC && meta.readUInt32LE(28) === VERSION && meta.readUInt32LE(48) === pageBytes &&
    roots.every((root) => root === NO_PAGE || root < pageCount)
}

function notLmdb (path: string): HoldfastError {
  return new HoldfastError('CORRUPT', `${path} is no index, or was cut short`, { path })
}
