import type { Location } from './location.ts'

/** What is known of a pack. */
export interface PackInfo {
  readonly number: number
  /** Bytes of the pack up to which every section is accounted for, all of them durable. */
  readonly byteLength: number
  /** Bytes of its marks that are accounted for. */
  readonly marksByteLength: number
  /** Blocks whose place is in this pack, without those quarantined. */
  readonly blockCount: number
  /** Bytes of those blocks. */
  readonly blockBytes: number
  /** Bytes of their sections. */
  readonly liveBytes: number
  readonly quarantinedCount: number
}

/** What an index says of itself. */
export interface IndexState {
  readonly storeId: Uint8Array
  /** Whether the last commit was written whole: otherwise the counts of the packs may not fit the entries. */
  readonly isWhole: boolean
}

/** Changes that go to the index together. */
export interface IndexBatch {
  /** New places by multihash (latin1); `undefined` for a block that is gone. Sorted or nearly so. */
  readonly changes: Iterable<readonly [key: string, place: Location | undefined]>
  /** The packs whose numbers changed. */
  readonly packs: readonly PackInfo[]
  /** Numbers of packs that are gone. */
  readonly removedPacks: readonly number[]
}

/**
 * Finds the place of a block: multihash → pack, offset, length.
 *
 * All of it can be made again from the packs and their marks, so an engine may lose its last commits
 * whole, but nothing in the middle. `packs` never say more than the entries do.
 */
export interface PackIndex extends AsyncDisposable {
  get(multihash: Uint8Array): Location | undefined
  /** Up to `count` entries in the order of their multihashes, those after `after`. */
  entriesAfter(after: Uint8Array | undefined, count: number): Array<readonly [multihash: Buffer, place: Location]>
  packs(): PackInfo[]
  /** Numbers of packs whose files may be removed, and then `forget`. */
  retiredPacks(): number[]
  state(): IndexState | undefined
  /**
   * Writes the batch durably: first the entries, in several steps, then the packs in one.
   *
   * @throws `LIMIT` when the disk is full, `UNAVAILABLE` when it failed; a later commit may succeed.
   */
  commit(batch: IndexBatch, storeId: Uint8Array): Promise<void>
  /** Forgets packs that were retired, once their files are gone. */
  forget(numbers: readonly number[]): Promise<void>
  /** Bytes of the index on the disk. */
  byteLength(): Promise<number>
}

/** Opens the index of a store, or makes an empty one. */
export interface IndexOpener {
  /** @throws `CORRUPT` when what lies there cannot be read as an index. */
  open(): Promise<PackIndex>
  /** Has the index made anew when it is opened next: it was found to be wrong. It may be open. */
  distrust?(): Promise<void>
  /** Removes what lies there; it must not be open. */
  remove(): Promise<void>
}
