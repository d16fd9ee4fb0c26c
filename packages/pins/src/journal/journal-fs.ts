import { mkdir, open, readdir, rename, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { platform } from 'node:process'

/** What a journal does with one open file or folder. */
export interface JournalFile extends AsyncDisposable {
  read(into: Uint8Array, offset: number, byteLength: number, position: number): Promise<{ bytesRead: number }>
  write(bytes: Uint8Array, offset: number, byteLength: number, position: number): Promise<{ bytesWritten: number }>
  stat(): Promise<{ size: number }>
  truncate(byteLength: number): Promise<void>
  /** Makes content and length durable. */
  datasync(): Promise<void>
  sync(): Promise<void>
  close(): Promise<void>
}

/** What a journal does with its folder: the seam at which tests make a disk fail or lose power. */
export interface JournalFs {
  mkdir(path: string, options: { recursive: true, mode: number }): Promise<string | undefined>
  readdir(path: string): Promise<string[]>
  open(path: string, flags: 'r' | 'r+' | 'w' | 'wx', mode?: number): Promise<JournalFile>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
}

/** The disk of this machine, with some of its calls replaced. */
export function diskWith (fs: Partial<JournalFs>): JournalFs {
  return {
    mkdir: fs.mkdir?.bind(fs) ?? mkdir,
    readdir: fs.readdir?.bind(fs) ?? readdir,
    open: fs.open?.bind(fs) ?? open,
    rename: fs.rename?.bind(fs) ?? rename,
    unlink: fs.unlink?.bind(fs) ?? unlink
  }
}

/** Only the user of the node reads what people decided to keep. */
export const JOURNAL_FILE_MODE = 0o600
const JOURNAL_FOLDER_MODE = 0o700

/** A folder whose entries can be made durable: files created, renamed and removed in it. */
export interface Folder extends AsyncDisposable {
  sync(): Promise<void>
}

/** Windows has no handle to sync a folder by; NTFS logs changes of names itself. */
const UNSYNCED_FOLDER: Folder = { async sync () {}, async [Symbol.asyncDispose] () {} }

/** Opens a folder to sync it. Done before the change to sync, so that too many open files is found out in time. */
export async function openFolder (fs: JournalFs, path: string): Promise<Folder> {
  if (platform === 'win32') return UNSYNCED_FOLDER
  const folder = await fs.open(path, 'r')
  return {
    sync: async () => { await folder.sync() },
    // Nothing was written through it, so a close that fails loses nothing.
    [Symbol.asyncDispose]: async () => { await folder.close().catch(() => {}) }
  }
}

/** Makes the entries of a folder durable. */
export async function syncFolder (fs: JournalFs, path: string): Promise<void> {
  await using folder = await openFolder(fs, path)
  await folder.sync()
}

/** Creates the folder with those above it when absent, durably. */
export async function makeFolder (fs: JournalFs, path: string): Promise<void> {
  const first = await fs.mkdir(path, { recursive: true, mode: JOURNAL_FOLDER_MODE })
  if (first === undefined) return
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncFolder(fs, dirname(made))
}

/** Removes files of a folder; one that is absent is passed over. */
export async function removeFiles (fs: JournalFs, folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    try {
      await fs.unlink(join(folder, name))
    } catch (err) {
      if (!(err instanceof Error && 'code' in err && err.code === 'ENOENT')) throw err
    }
  }
}

const EXHAUSTED: ReadonlyMap<unknown, string> = new Map([
  ['ENOSPC', 'the disk is full'],
  ['EDQUOT', 'the disk quota is used up'],
  ['EMFILE', 'too many files are open'],
  ['ENFILE', 'too many files are open']
])

/** Names what has run out, or answers `undefined` for any other failure. What has run out can be freed: nothing is broken. */
export function exhaustionOf (err: unknown): string | undefined {
  return err instanceof Error && 'code' in err ? EXHAUSTED.get(err.code) : undefined
}
