import { type AbortOptions, type Block, HoldfastError, IDENTITY, type Logger, requireVerifiable, silentLogger } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import { decode as decodeMultihash } from 'multiformats/hashes/digest'
import type { Blockstore, BlockstoreUsage, DeleteManyOptions, DeleteOptions } from '../blockstore.ts'
import { deleteBlocks } from '../delete-blocks.ts'
import { openReferred, readReference, type ReferenceState } from './read-reference.ts'
import { ReferenceLog, type ReferenceRecords } from './reference-log.ts'
import { MAX_REFERENCES, type Reference, ReferenceTable } from './reference-table.ts'

const RAW = 0x55

/** A raw block that is to be referred to where it lies. */
export interface ReferenceDraft {
  readonly cid: CID
  readonly path: string
  readonly offset: number
  readonly byteLength: number
}

/** How many blocks are referred to, of how many files, and how many bytes they have. */
export interface ReferenceUsage extends BlockstoreUsage {
  readonly fileCount: number
}

/** A reference as it is told. */
export interface ReferredBlock extends Omit<ReferenceDraft, 'cid'> {
  readonly cid: CID
}

export interface InPlaceDeps {
  /** Keeps the blocks that are not referred to. */
  readonly blocks: Blockstore
  /** Keeps the references; nobody else writes records of `REFERENCE_KINDS`. */
  readonly records: ReferenceRecords
  readonly log?: Logger | undefined
}

/**
 * Opens a store of blocks of which some lie in files of the user, who may change or remove them.
 *
 * @throws what `records.replay` throws; `CORRUPT` for a record that is malformed.
 */
export async function openInPlaceBlockstore ({ blocks, records, log = silentLogger }: InPlaceDeps): Promise<InPlaceBlockstore> {
  const table = new ReferenceTable()
  return new InPlaceBlockstore(blocks, table, await ReferenceLog.open(records, table, log))
}

/**
 * A store, and beside it references to bytes of files.
 *
 * A block is in the one or the other: a put takes the place of a reference, and what is stored is not referred to. What a reference
 * is of is checked each time it is read. References are durable once `refer` resolves; one that was deleted may be back after a crash, as garbage is.
 */
export class InPlaceBlockstore implements Blockstore {
  readonly #blocks: Blockstore
  readonly #table: ReferenceTable
  readonly #log: ReferenceLog

  constructor (blocks: Blockstore, table: ReferenceTable, log: ReferenceLog) {
    this.#blocks = blocks
    this.#table = table
    this.#log = log
  }

  get releasesBytes (): boolean {
    return this.#blocks.releasesBytes === true
  }

  get references (): ReferenceUsage {
    const { count, byteLength, fileCount } = this.#table
    return { blockCount: count, byteLength, fileCount }
  }

  async get (cid: CID, options?: AbortOptions): Promise<Block | undefined> {
    const block = await this.#blocks.get(cid, options)
    const reference = block === undefined ? this.#referenceOf(cid) : undefined
    return reference === undefined ? block : await readReference(cid, reference, options)
  }

  async has (cid: CID, options?: AbortOptions): Promise<boolean> {
    return await this.#blocks.has(cid, options) || this.#referenceOf(cid) !== undefined
  }

  async byteLengthOf (cid: CID, options?: AbortOptions): Promise<number | undefined> {
    return await this.#blocks.byteLengthOf?.(cid, options) ?? this.#referenceOf(cid)?.byteLength
  }

  async put (block: Block, options?: AbortOptions): Promise<void> {
    await this.#blocks.put(block, options)
    this.#release([block.cid])
  }

  async putMany (blocks: readonly Block[], options?: AbortOptions): Promise<void> {
    await this.#blocks.putMany(blocks, options)
    this.#release(blocks.map(({ cid }) => cid))
  }

  /**
   * Refers to blocks where they lie, except to those that are stored; durable when it resolves. Whoever calls has checked that the bytes are there,
   * that they are raw blocks, and that they are durable.
   *
   * @throws `LIMIT` above `MAX_REFERENCES`; what `append` of the records throws.
   */
  async refer (drafts: readonly ReferenceDraft[], { signal }: AbortOptions = {}): Promise<void> {
    const references: Reference[] = []
    for (const { cid, path, offset, byteLength } of drafts) {
      if (cid.multihash.code === IDENTITY || await this.#blocks.has(cid, { signal })) continue
      const present = this.#table.get(cid.multihash.bytes)
      if (present?.path === path && present.offset === offset) continue
      references.push({ multihash: cid.multihash.bytes, path, offset, byteLength })
    }
    if (this.#table.count + references.length > MAX_REFERENCES) throw new HoldfastError('LIMIT', `There are ${this.#table.count} references to files, and ${MAX_REFERENCES} are the most: add without --nocopy, or with longer chunks`)
    await this.#log.refer(references)
  }

  /** Syncs a file, so that what refers to it outlives a crash of the machine as it does. */
  async syncFile (path: string): Promise<void> {
    await using file = await openReferred(path)
    await file.sync()
  }

  async delete (cid: CID, options: DeleteOptions = {}): Promise<boolean> {
    return await this.#blocks.delete(cid, options) || this.#deleteReference(cid, options.when) !== undefined
  }

  async deleteMany (cids: readonly CID[], options: DeleteManyOptions = {}): Promise<Array<number | undefined>> {
    const byteLengths = await deleteBlocks(this.#blocks, cids, options)
    if (this.#table.count === 0) return byteLengths
    const all = byteLengths.map((byteLength, index) => {
      const cid = cids[index]
      if (byteLength !== undefined || cid === undefined) return byteLength
      return this.#deleteReference(cid, () => options.when?.(cid, index) !== false)
    })
    await this.#log.flush()
    return all
  }

  async * list (options?: AbortOptions): AsyncIterable<CID> {
    yield * this.#blocks.list(options)
    for (const { cid } of this.listReferences()) {
      options?.signal?.throwIfAborted()
      yield cid
    }
  }

  /** The references, those of a file mostly together. */
  * listReferences (): Generator<ReferredBlock> {
    for (const { multihash, ...place } of this.#table.entries()) yield { cid: rawCidOf(multihash), ...place }
  }

  referenceTo (cid: CID): ReferredBlock | undefined {
    const reference = this.#referenceOf(cid)
    return reference === undefined ? undefined : { cid, path: reference.path, offset: reference.offset, byteLength: reference.byteLength }
  }

  /** Reads what is referred to, and tells what became of it. */
  async check ({ cid, ...place }: ReferredBlock, options?: AbortOptions): Promise<{ readonly state: ReferenceState, readonly failure?: HoldfastError }> {
    try {
      await readReference(cid, { multihash: cid.multihash.bytes, ...place }, options)
      return { state: 'ok' }
    } catch (failure) {
      if (!(failure instanceof HoldfastError) || failure.details['state'] === undefined) throw failure
      return { state: failure.details['state'] as ReferenceState, failure }
    }
  }

  async reclaim (options?: AbortOptions): Promise<boolean> {
    return await this.#blocks.reclaim?.(options) ?? false
  }

  async usage (options?: AbortOptions): Promise<BlockstoreUsage> {
    const { blockCount, byteLength } = await this.#blocks.usage(options)
    return { blockCount: blockCount + this.#table.count, byteLength: byteLength + this.#table.byteLength }
  }

  /** Writes which references went. The store below and the records are their owner's to close. */
  async [Symbol.asyncDispose] (): Promise<void> {
    await this.#log[Symbol.asyncDispose]()
  }

  #referenceOf (cid: CID): Reference | undefined {
    if (this.#table.count === 0) return undefined
    requireVerifiable(cid)
    return this.#table.get(cid.multihash.bytes)
  }

  /** What is stored is not referred to. */
  #release (cids: readonly CID[]): void {
    if (this.#table.count === 0) return
    for (const { multihash } of cids) this.#log.release(multihash.bytes)
  }

  #deleteReference (cid: CID, when: (() => boolean) | undefined): number | undefined {
    const reference = this.#referenceOf(cid)
    if (reference === undefined || when?.() === false) return undefined
    this.#log.release(reference.multihash)
    return reference.byteLength
  }
}

function rawCidOf (multihash: Uint8Array): CID {
  return CID.createV1(RAW, decodeMultihash(multihash))
}
