import { HoldfastError, syncFolder } from '@holdfast/core'
import { createReadStream } from 'node:fs'
import { readFile, rm, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'

/**
 * A seal says what an index was like when it was closed: `<file>.seal` holds one line, the length of the file in bytes and its
 * CRC-32 in hexadecimal. LMDB has no checksums of its pages, and may give wrong answers or end the process on a damaged one; so an
 * index is opened only when its seal fits.
 */

/** Bytes read at once. */
const READ_BYTES: number = 1024 * 1024

/**
 * Writes the seal of an index that is closed. Nothing is synced: a seal that a power cut spoils does not fit.
 *
 * @returns false when it could not be written: then the index is built anew when it is opened next.
 */
export async function seal (path: string): Promise<boolean> {
  try {
    await writeFile(sealPath(path), await sealOf(path))
    return true
  } catch {
    return false
  }
}

/**
 * Takes the seal away, durably, and reports whether it was there and fits.
 *
 * A seal that came back in a power cut would fit an index of which nothing was written out since: blocks that were noted in between
 * would not be looked for.
 *
 * @throws `UNAVAILABLE` when it can neither be read nor be taken away.
 */
export async function breakSeal (path: string): Promise<boolean> {
  try {
    const expected = await readFile(sealPath(path), 'utf8')
    await rm(sealPath(path))
    await syncFolder(dirname(path))
    return expected === await sealOf(path)
  } catch (err) {
    const errno = err instanceof Error && 'code' in err ? err.code : undefined
    if (errno === 'ENOENT') return false
    throw new HoldfastError('UNAVAILABLE', `Index of references ${path} could not be opened: ${String(errno ?? err)}. Check the disk and who may write to it`, { cause: err, path })
  }
}

function sealPath (path: string): string {
  return `${path}.seal`
}

async function sealOf (path: string): Promise<string> {
  const { size } = await stat(path)
  let crc = 0
  for await (const piece of createReadStream(path, { highWaterMark: READ_BYTES })) crc = crc32(piece as Buffer, crc)
  return `${size} ${crc.toString(16).padStart(8, '0')}\n`
}
