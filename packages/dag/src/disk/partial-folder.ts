import { hash, randomBytes } from 'node:crypto'
import { lstat, mkdir, opendir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { errnoOf, onDisk, unless } from './disk-error.ts'

/** The private folder in which a tree is written before it is moved to its place. */
export interface PartialFolder {
  readonly path: string
  /** Bytes that an interrupted run left in it; `undefined` when it is new. */
  readonly keptBytes: number | undefined
  /** Whether another run would find it. */
  readonly canStay: boolean
}

/** Folders that are written to in this process: a run goes on with those of processes that ended, and with its own that nobody uses. */
const IN_USE = new Set<string>()

/**
 * Opens a folder named `NAME.<key>.<process>.partial` beside `target`; without a key, a new one that no other run will look for.
 *
 * With a key it is the one that an interrupted run of the same key left, if there is one which is ours alone. It is taken by renaming it,
 * so that of two runs only one gets it.
 */
export async function openPartialFolder (target: string, key: string | undefined): Promise<PartialFolder> {
  const stem = `${basename(target).slice(0, 50)}.${key === undefined ? randomBytes(4).toString('hex') : hash('sha256', key, 'hex').slice(0, 16)}`
  const folder = dirname(target)
  const path = join(folder, `${stem}.${process.pid}.partial`)
  if (key === undefined) return { path: await makeFolder(path), keptBytes: undefined, canStay: false }
  // Of two runs of one process the second begins anew.
  if (IN_USE.has(path)) return await openPartialFolder(target, undefined)
  IN_USE.add(path)
  try {
    for (const left of await leftFolders(folder, stem)) {
      if (left !== path && !await unlessGone(rename(left, path))) continue
      return { path, keptBytes: await removeSymlinks(path), canStay: true }
    }
    return { path: await makeFolder(path), keptBytes: undefined, canStay: true }
  } catch (err) {
    IN_USE.delete(path)
    throw err
  }
}

/** Lets go of the folder: it stays for another run, or is removed. */
export async function closePartialFolder ({ path }: PartialFolder, { keep }: { readonly keep: boolean }): Promise<void> {
  // What cannot be removed has a name that says what it is; the failure that matters is the one under way.
  if (!keep) await rm(path, { recursive: true, force: true }).catch(() => {})
  IN_USE.delete(path)
}

async function makeFolder (path: string): Promise<string> {
  await onDisk(`create a folder in ${dirname(path)}`, mkdir(path, { mode: 0o700 }))
  return path
}

/** Folders of the stem that belong to us, that nobody else may look into and whose process has ended. */
async function leftFolders (folder: string, stem: string): Promise<string[]> {
  const left: string[] = []
  for await (const { name } of await onDisk(`look into ${folder}`, opendir(folder))) {
    if (!name.startsWith(`${stem}.`)) continue
    const pid = Number(/^\.(\d{1,10})\.partial$/.exec(name.slice(stem.length))?.[1] ?? NaN)
    if (Number.isNaN(pid) || (pid !== process.pid && isAlive(pid))) continue
    if (await isOurs(join(folder, name))) left.push(join(folder, name))
  }
  return left
}

async function isOurs (path: string): Promise<boolean> {
  const found = await unless('ENOENT', lstat(path))
  return found?.isDirectory() === true && (process.getuid === undefined || (found.uid === process.getuid() && (found.mode & 0o077) === 0))
}

function isAlive (pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (err) {
    return errnoOf(err) !== 'ESRCH'
  }
}

async function unlessGone (renaming: Promise<void>): Promise<boolean> {
  try {
    await renaming
    return true
  } catch (err) {
    if (errnoOf(err) === 'ENOENT' || errnoOf(err) === 'ENOTEMPTY') return false
    return await onDisk('take over what an interrupted run wrote', Promise.reject(err))
  }
}

/** Removes symlinks, which are written last and are in the way of going on, and returns the bytes of the files. */
async function removeSymlinks (root: string): Promise<number> {
  let byteLength = 0
  const folders = [root]
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for await (const found of await onDisk(`look into ${folder}`, opendir(folder))) {
      const path = join(folder, found.name)
      if (found.isDirectory()) folders.push(path)
      else if (found.isFile()) byteLength += (await onDisk(`look at ${path}`, lstat(path))).size
      else await onDisk(`remove ${path}`, rm(path))
    }
  }
  return byteLength
}
