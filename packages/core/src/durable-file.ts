/**
 * Small files that are there as a whole or not at all, whenever the power goes away:
 *
 * 1. the bytes go to a scratch file (see scratch-file.ts), mode 0600
 * 2. it is synced
 * 3. it gets its name, at once
 * 4. the folder is synced
 */
import { link, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { scratchPathOf } from './scratch-file.ts'

export { sweepScratch } from './scratch-file.ts'

/** Only the user of the node reads what is written here: keys are among it. */
const FILE_MODE = 0o600

/**
 * Makes `path` hold exactly `content`, durably, or leaves it as it was.
 *
 * @throws what the file system says.
 */
export async function replaceFile (path: string, content: string | Uint8Array): Promise<void> {
  const scratch = await scratchPathOf(path)
  try {
    await writeSynced(scratch, content)
    await rename(scratch, path)
  } catch (err) {
    await discard(scratch)
    throw err
  }
  await syncFolder(dirname(path))
}

/**
 * Writes a file where there is none. Of two that do this at the same time, one does. What is there is durable when this resolves.
 *
 * @returns false when there was a file already, which stays as it is.
 * @throws what the file system says.
 */
export async function createFile (path: string, content: string | Uint8Array): Promise<boolean> {
  const scratch = await scratchPathOf(path)
  let isNew = true
  try {
    await writeSynced(scratch, content)
    await link(scratch, path)
  } catch (err) {
    if (!(err instanceof Error && 'code' in err && err.code === 'EEXIST')) throw err
    isNew = false
  } finally {
    await discard(scratch)
  }
  // Also where the other one was faster: it may not have got this far.
  await syncFolder(dirname(path))
  return isNew
}

/** Makes the names in a folder durable. */
export async function syncFolder (path: string): Promise<void> {
  // Windows cannot open a folder; its file systems journal changes of names by themselves.
  if (process.platform === 'win32') return
  await using folder = await open(path, 'r')
  await folder.sync()
}

async function writeSynced (path: string, content: string | Uint8Array): Promise<void> {
  await using file = await open(path, 'wx', FILE_MODE)
  await file.writeFile(content)
  await file.sync()
}

/** What cannot be removed now goes at the next start. */
async function discard (scratch: string): Promise<void> {
  await rm(scratch, { force: true }).catch(() => {})
}
