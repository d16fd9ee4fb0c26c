import { createReadStream } from 'node:fs'
import { open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'

/**
 * A seal says what an index was like when it was closed: `<file>.seal` holds one line, the length of the file in bytes and its
 * CRC-32 in hexadecimal. LMDB has no checksums of its pages, and may give wrong answers or end the process on a damaged one; so an
 * index is opened only when its seal fits.
 */

/** Bytes read at once. */
const READ_BYTES: number = 1024 * 1024

/** Writes the seal of an index that is closed. Nothing is synced: a seal that a power cut spoils does not fit. */
export async function seal (path: string): Promise<void> {
  await writeFile(sealPath(path), await sealOf(path))
}

/**
 * Takes the seal away, durably, and reports whether it was there and fits.
 *
 * A seal that came back in a power cut would fit an index of which nothing was written out since: blocks that were noted in between
 * would not be looked for.
 */
export async function breakSeal (path: string): Promise<boolean> {
  try {
    const expected = await readFile(sealPath(path), 'utf8')
    await rm(sealPath(path))
    await syncFolder(dirname(path))
    return expected === await sealOf(path)
  } catch (err) {
    if (err instanceof Error && 'code' in err && err.code === 'ENOENT') return false
    throw err
  }
}

async function syncFolder (path: string): Promise<void> {
  // Windows has no such call.
  if (process.platform === 'win32') return
  const folder = await open(path)
  try {
    await folder.sync()
  } finally {
    await folder.close()
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
