/**
 * Files that are there only while something is done, under a name that tells by which process:
 *
 * ```
 * config.json.4711-83412345-6e2f….tmp
 * <name>.<process id>-<its start>-<UUID>.<tmp, or stale for a lock that is moved away>
 * ```
 *
 * What is in them may be cut short. A process that is killed leaves them, and whoever comes next knows that nobody needs them.
 */
import { randomUUID } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { isAlive, ownMark } from './process-mark.ts'

const SCRATCH = /^(.+)\.(\d{1,10})-(\d*)-[0-9a-f-]{36}\.(?:tmp|stale)$/

/** A new name for a file beside `path`. */
export async function scratchPathOf (path: string, kind: 'tmp' | 'stale' = 'tmp'): Promise<string> {
  const { pid, started } = await ownMark()
  return `${path}.${pid}-${started}-${randomUUID()}.${kind}`
}

/**
 * Removes what processes left in `folder` that are gone.
 *
 * @param of Only what was beside the file of this name. @default beside any
 */
export async function sweepScratch (folder: string, of?: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const [, beside, pid, started] = SCRATCH.exec(name) ?? []
    if (pid === undefined || started === undefined || (of !== undefined && beside !== of)) continue
    if (!await isAlive({ pid: Number(pid), host: hostname(), started })) await rm(join(folder, name), { force: true })
  }
}
