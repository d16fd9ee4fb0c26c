/** What an import reads: a tree that is opened piece by piece, never as a whole. */
export type ImportSource = FileSource | DirectorySource | SymlinkSource

export interface FileSource {
  readonly kind: 'file'
  /** Name in its directory, as the bytes of the link. */
  readonly name: Uint8Array
  /** Opens the content anew; the iteration closes it again, also when it ends early. */
  open(signal?: AbortSignal): AsyncIterable<Uint8Array>
}

export interface DirectorySource {
  readonly kind: 'directory'
  readonly name: Uint8Array
  /** The entries in any order; only as many are opened at once as are imported at once. */
  entries(signal?: AbortSignal): AsyncIterable<ImportSource>
}

export interface SymlinkSource {
  readonly kind: 'symlink'
  readonly name: Uint8Array
  /** Where the link points, as the bytes it holds. */
  readonly target: Uint8Array
}
