import { randomUUID } from 'node:crypto'
import { link, open, rm } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Writes a secret where there is no file yet: only its owner can read it, and it is durable when this resolves.
 *
 * Nobody sees half of it, and none that is there is replaced: it is written under another name and linked into place.
 *
 * @returns false when there was a file already.
 */
export async function createFile (path: string, bytes: Uint8Array): Promise<boolean> {
  const temporary = `${path}.${randomUUID()}.tmp`
  try {
    await writeSynced(temporary, bytes)
    await link(temporary, path)
    return true
  } catch (err) {
    if (err instanceof Error && 'code' in err && err.code === 'EEXIST') return false
    throw err
  } finally {
    await rm(temporary, { force: true })
    await syncDirectory(dirname(path))
  }
}

async function writeSynced (path: string, bytes: Uint8Array): Promise<void> {
  await using file = await open(path, 'wx', 0o600)
  await file.writeFile(bytes)
  await file.sync()
}

async function syncDirectory (path: string): Promise<void> {
  // Windows cannot open a directory; its file systems journal the link by themselves.
  if (process.platform === 'win32') return
  await using directory = await open(path, 'r')
  await directory.sync()
}
