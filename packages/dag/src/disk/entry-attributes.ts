import type { FileHandle } from 'node:fs/promises'
import type { TreeEntry } from '../tree-entry.ts'
import type { UnixFsTime } from '../unixfs.ts'
import { onDisk } from './disk-error.ts'
import { quoted } from './entry-checks.ts'

/** Only the nine permission bits: never setuid, setgid or sticky. */
export async function setAttributes (handle: FileHandle, entry: TreeEntry): Promise<void> {
  if (entry.mode !== undefined) await onDisk(`set the mode of ${quoted(entry)}`, handle.chmod(entry.mode & 0o777))
  if (entry.mtime !== undefined) await setTime(entry.mtime, async (time) => await onDisk(`set the time of ${quoted(entry)}`, handle.utimes(new Date(), time)))
}

/** Seconds since 1970 that a `Date` can hold, either way: 275,000 years. Other times are left out. */
const MAX_SECONDS = 8_640_000_000_000n

/** Sets a time that a `Date` can hold; others are left out. */
export async function setTime ({ seconds, nanoseconds }: UnixFsTime, set: (time: number) => Promise<void>): Promise<void> {
  if (seconds <= MAX_SECONDS && seconds >= -MAX_SECONDS) await set(Number(seconds) + nanoseconds / 1e9)
}
