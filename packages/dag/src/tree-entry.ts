import { HoldfastError } from '@holdfast/core'
import type { FileBytes, FileLeaf } from './file-leaves.ts'
import type { UnixFsTime } from './unixfs.ts'

/** Longest name of a directory entry in bytes: NAME_MAX of the file systems in use. */
const MAX_ENTRY_NAME_BYTES = 255

/**
 * One step of a tree on its way from blocks to a disk or an archive; parents come before their children.
 *
 * `path` holds the names below the root of the tree, which itself has the path `[]`. The content of a file must be read,
 * or left, before the next entry is asked for.
 */
export type TreeEntry = {
  readonly path: readonly string[]
  readonly mode?: number | undefined
  readonly mtime?: UnixFsTime | undefined
} & (
  | { readonly kind: 'file', readonly byteLength: number, readonly content: AsyncIterable<Uint8Array>, readonly known?: KnownContent | undefined }
  | { readonly kind: 'directory' }
  | { readonly kind: 'symlink', readonly target: string }
)

/**
 * The content of a file for whoever may have a part of it already: first `leaves` is read, when there is something to check, then
 * `from`. Instead of it `content` may be read, alone.
 */
export interface KnownContent {
  /** Tells what the first `byteLength` bytes must be made of, and what follows in the last leaf of them. To be read to its end. */
  leaves(byteLength: number): AsyncIterable<Omit<FileLeaf, 'level'> | FileBytes>
  /** The content from `offset` on. */
  from(offset: number): AsyncIterable<Uint8Array>
}

/**
 * Checks that a name can stand for an entry of a directory on any file system.
 *
 * @throws `INVALID` unless it has 1 to 255 bytes of well-formed UTF-8 without `/` and NUL, and is not `.` or `..`.
 */
export function requireEntryName (name: string): void {
  if (!name.isWellFormed() || name === '' || name === '.' || name === '..' || /[/\0]/.test(name) || Buffer.byteLength(name) > MAX_ENTRY_NAME_BYTES) {
    throw new HoldfastError('INVALID', `${JSON.stringify(name.slice(0, MAX_ENTRY_NAME_BYTES))} cannot be the name of a file or directory`, { name: name.slice(0, MAX_ENTRY_NAME_BYTES) })
  }
}
