import { HoldfastError } from '@holdfast/core'
import type { TreeEntry } from '../tree-entry.ts'

type FileEntry = Extract<TreeEntry, { kind: 'file' }>

/** A length that is no number would make every comparison with the quota false. */
export function requireLength (entry: FileEntry): void {
  if (!Number.isSafeInteger(entry.byteLength) || entry.byteLength < 0) throw new HoldfastError('INVALID', `${quoted(entry)} is declared as ${entry.byteLength} bytes`, { path: entry.path })
}

/** The failure of a file with more or fewer bytes than it was declared with. */
export function wrongLength (entry: FileEntry, found: string): HoldfastError {
  return new HoldfastError('CORRUPT', `${quoted(entry)} is declared as ${entry.byteLength} bytes, but has ${found}`, { path: entry.path, byteLength: entry.byteLength })
}

/** An entry as messages name it. */
export function quoted ({ path }: TreeEntry): string {
  return path.length === 0 ? 'the root of the tree' : JSON.stringify(path.join('/').slice(0, 1024))
}
