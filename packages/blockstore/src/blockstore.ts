import type { AbortOptions, Block } from '@holdfast/core'
import type { CID } from 'multiformats/cid'

/** Reads blocks: all that a DAG reader or the gateway needs. */
export interface BlockReader {
  /**
   * Returns the block, or `undefined` when this store does not hold it.
   *
   * Absence is an answer, not a failure: the caller decides where to ask next.
   * CIDs that share a multihash name the same bytes, so either finds the block;
   * the block that comes back carries the CID that was asked for. Identity CIDs
   * carry their bytes and are always found.
   *
   * @throws `CORRUPT` when the stored bytes no longer match `cid`; `UNAVAILABLE` when
   * the medium failed; `UNSUPPORTED` for a hash function that this node cannot check.
   */
  get(cid: CID, options?: AbortOptions): Promise<Block | undefined>

  /**
   * Reports whether `get` would find the block, without reading its bytes.
   *
   * @throws `UNAVAILABLE` and `UNSUPPORTED` as `get`.
   */
  has(cid: CID, options?: AbortOptions): Promise<boolean>
}

/** Writes blocks: all that an importer needs. */
export interface BlockWriter {
  /**
   * Whether the bytes of blocks are the caller's again once `put` or `putMany` has resolved: nothing here looks at them any more,
   * and their memory may be written to. After a rejection they never are. Wrappers pass on what they wrap. @default false
   */
  readonly releasesBytes?: boolean | undefined
  /**
   * Stores the block. Putting a stored block again changes nothing, except that it
   * replaces bytes that rotted.
   *
   * Once this resolves, a persistent engine keeps the block through a crash of
   * the machine, not only of the process. Identity blocks are not stored: their CID is enough.
   *
   * @throws `LIMIT` when the store is full; `UNAVAILABLE` when the medium failed.
   */
  put(block: Block, options?: AbortOptions): Promise<void>

  /**
   * Stores all of `blocks`, in any order, and resolves when every one is as durable as
   * `put` makes it. The cost of durability is shared, so this is the fast way.
   *
   * When it rejects, some of the blocks may be stored.
   */
  putMany(blocks: readonly Block[], options?: AbortOptions): Promise<void>
}

/** Options of `delete`. */
export interface DeleteOptions extends AbortOptions {
  /**
   * Asked just before the block goes, while no put of the same block can run: the block
   * stays when it answers `false`. A put that begins later stores the block anew.
   */
  when?: (() => boolean) | undefined
}

/** Options of `deleteMany`. */
export interface DeleteManyOptions extends AbortOptions {
  /** As that of `delete`, asked for each of the blocks with the CID that was given and its index among them. */
  when?: ((cid: CID, index: number) => boolean) | undefined
}

/** What a store holds, counted by walking it. */
export interface BlockstoreUsage {
  readonly blockCount: number
  /** Bytes of all blocks, without the overhead of the engine. */
  readonly byteLength: number
}

/** Everything a storage engine must do. Engines implement it; consumers ask for a slice. */
export interface Blockstore extends BlockReader, BlockWriter, AsyncDisposable {
  /**
   * Removes the block and reports whether it did. Removing an absent block is not an error.
   *
   * @throws `UNAVAILABLE` when the medium failed; `UNSUPPORTED` for a hash function that this
   * node cannot check, whose blocks no store holds.
   */
  delete(cid: CID, options?: DeleteOptions): Promise<boolean>

  /**
   * Removes blocks, and tells of each, in the order given, how many bytes it had: `undefined` when it was absent or stays.
   *
   * Once this resolves they stay away, also after a crash of the machine, unless the disk is full: then, as after `delete`, a
   * crash may bring them back. When it rejects, some of them may be gone.
   *
   * An engine that gains nothing by it leaves this out, so callers go by way of `deleteBlocks`.
   *
   * @throws as `delete`, before anything is removed when it is for one of the CIDs; and what `when` throws.
   */
  deleteMany?(cids: readonly CID[], options?: DeleteManyOptions): Promise<Array<number | undefined>>

  /**
   * Yields every stored block's CID once, as CIDv1 with the raw codec, in no order.
   *
   * Blocks put or deleted during the walk may or may not appear.
   */
  list(options?: AbortOptions): AsyncIterable<CID>

  /**
   * Returns how many bytes the block has, without reading them; `undefined` when this store does not hold it, or cannot tell.
   *
   * An engine that would have to read the block leaves this out.
   *
   * @throws `UNAVAILABLE` and `UNSUPPORTED` as `has`.
   */
  byteLengthOf?(cid: CID, options?: AbortOptions): Promise<number | undefined>

  /**
   * Gives the room of deleted blocks back to the disk now, as far as that is worth the work, and reports whether there was any.
   *
   * An engine whose deletions do so by themselves leaves this out.
   *
   * @throws `UNAVAILABLE` when the medium failed.
   */
  reclaim?(options?: AbortOptions): Promise<boolean>

  /** Counts blocks and bytes. May walk the whole store. */
  usage(options?: AbortOptions): Promise<BlockstoreUsage>
}
