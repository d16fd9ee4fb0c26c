import type { HoldfastError } from '@holdfast/core'
import type { UnixFsTime } from '../unixfs.ts'
import type { ChunkBuffers } from './chunk-buffers.ts'

/** What an import reads: a tree that is opened piece by piece, never as a whole. */
export type ImportSource = FileSource | DirectorySource | SymlinkSource | UnreadableSource

/** What UnixFS 1.5 keeps beside the content. */
export interface ImportAttributes {
  /** POSIX permission bits, without the file type. */
  readonly mode?: number | undefined
  readonly mtime?: UnixFsTime | undefined
}

/** Reports whether there is anything to keep beside the content. */
export function hasAttributes ({ mode, mtime }: ImportAttributes): boolean {
  return mode !== undefined || mtime !== undefined
}

export interface FileSource {
  readonly kind: 'file'
  /** Name in its directory, as the bytes of the link. */
  readonly name: Uint8Array
  readonly attributes?: ImportAttributes | undefined
  /**
   * Opens the content anew; the iteration closes it again, also when it ends early.
   *
   * With `buffers`, which come when all chunks but the last have their length, pieces may lie in them, each a whole chunk.
   */
  open(signal?: AbortSignal, buffers?: ChunkBuffers): AsyncIterable<Uint8Array>
  /** Where the content lies, when it is a regular file of this machine: short ones are read many at once. */
  readonly path?: Buffer | undefined
}

export interface DirectorySource {
  readonly kind: 'directory'
  readonly name: Uint8Array
  readonly attributes?: ImportAttributes | undefined
  /** The entries in any order; only as many are opened at once as are imported at once. */
  entries(signal?: AbortSignal): AsyncIterable<ImportSource>
}

export interface SymlinkSource {
  readonly kind: 'symlink'
  readonly name: Uint8Array
  /** Its mode means nothing and is not kept. */
  readonly attributes?: ImportAttributes | undefined
  /** Where the link points, as the bytes it holds. */
  readonly target: Uint8Array
}

/** An entry that is there and cannot be read. Its siblings can. */
export interface UnreadableSource {
  readonly kind: 'unreadable'
  readonly name: Uint8Array
  readonly reason: HoldfastError
}
