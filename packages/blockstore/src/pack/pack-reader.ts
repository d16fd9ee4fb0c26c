import { type AbortOptions, type Block, HoldfastError, IDENTITY, identityBlock, requireVerifiable } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { BlockReader } from '../blockstore.ts'
import { explained, unlessAbsent } from '../fs/fs-errors.ts'
import { FairTurns } from './fair-turns.ts'
import { lmdbIndexAt } from './lmdb-index.ts'
import type { Location } from './location.ts'
import { OpenPacks } from './open-packs.ts'
import type { PackIndex } from './pack-index.ts'
import { INDEX_FILE, PACKS_FOLDER } from './pack-names.ts'
import { nodePackOperations } from './pack-operations.ts'
import { rawCidOf } from './raw-cid.ts'
import { readBlock } from './read-block.ts'

/** Reads a store of packs that another process may be writing to. */
export interface PackReader extends BlockReader, AsyncDisposable {
  /** Returns how many bytes the block has, without reading them; `undefined` when it is not there. */
  byteLengthOf(cid: CID, options?: AbortOptions): Promise<number | undefined>
  /** Yields every block's CID once, as CIDv1 with the raw codec. */
  list(options?: AbortOptions): AsyncIterable<CID>
}

export interface PackReaderOptions {
  /** Gives blocks out without hashing them again. @default false */
  trustMedium?: boolean
}

/** How often a reader looks whether the writer has made its index anew, in milliseconds. */
const LOOK_AGAIN_MS = 1000

/** Entries of the index that are read at once. */
const ENTRIES_PER_READ = 1024

/**
 * Opens the store in `path` for reading only, any number of times and in any number of processes and threads.
 *
 * It sees what the writer has committed to the index: all blocks that were acknowledged more than about a second ago.
 * Nothing is repaired and nothing quarantined.
 *
 * @throws `NOT_FOUND` when there is no store, `UNAVAILABLE` when it cannot be read.
 */
export async function openPackReader (path: string, options: PackReaderOptions = {}): Promise<PackReader> {
  const folder = resolve(path)
  return new FollowingReader(folder, await openIndex(folder), options)
}

interface OpenIndex {
  readonly index: PackIndex
  /** Tells the file from another that takes its name later. */
  readonly inode: number
}

async function openIndex (folder: string): Promise<OpenIndex> {
  const path = join(folder, INDEX_FILE)
  const inode = await inodeOf(path)
  if (inode === undefined) throw new HoldfastError('NOT_FOUND', `There is no store of packs in ${folder}, or its index is just being made`, { path: folder })
  return { index: await lmdbIndexAt(path, { readOnly: true }).open(), inode }
}

async function inodeOf (path: string): Promise<number | undefined> {
  return (await explained(`Index ${path} could not be looked for`, unlessAbsent(stat(path))))?.ino
}

class FollowingReader implements PackReader {
  readonly #folder: string
  readonly #isTrusting: boolean
  readonly #packs: OpenPacks
  readonly #turns = new FairTurns()
  #open: OpenIndex
  #lookedAt = performance.now()
  #closed = false

  constructor (folder: string, open: OpenIndex, { trustMedium = false }: PackReaderOptions) {
    this.#folder = folder
    this.#isTrusting = trustMedium
    this.#open = open
    this.#packs = new OpenPacks(nodePackOperations, (name) => join(folder, PACKS_FOLDER, name))
  }

  async get (cid: CID, { signal }: AbortOptions = {}): Promise<Block | undefined> {
    await this.#ready(cid, signal)
    if (cid.multihash.code === IDENTITY) return await identityBlock(cid)
    const table = { find: (multihash: Uint8Array) => this.#find(multihash) }
    return await readBlock({ table, packs: this.#packs, isTrusting: this.#isTrusting, signal }, cid)
  }

  async has (cid: CID, options?: AbortOptions): Promise<boolean> {
    return await this.byteLengthOf(cid, options) !== undefined
  }

  async byteLengthOf (cid: CID, { signal }: AbortOptions = {}): Promise<number | undefined> {
    await this.#ready(cid, signal)
    if (cid.multihash.code === IDENTITY) return cid.multihash.digest.byteLength
    const place = this.#find(cid.multihash.bytes)
    return place?.isQuarantined === false ? place.byteLength : undefined
  }

  async * list ({ signal }: AbortOptions = {}): AsyncIterable<CID> {
    let after: Uint8Array | undefined
    for (;;) {
      signal?.throwIfAborted()
      this.#requireOpen()
      const entries = this.#open.index.entriesAfter(after, ENTRIES_PER_READ)
      for (const [multihash, place] of entries) {
        const cid = place.isQuarantined ? undefined : rawCidOf(multihash)
        if (cid !== undefined) yield cid
        signal?.throwIfAborted()
      }
      after = entries.at(-1)?.[0]
      if (entries.length < ENTRIES_PER_READ) return
    }
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#packs[Symbol.asyncDispose]()
    await this.#open.index[Symbol.asyncDispose]()
  }

  async #ready (cid: CID, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    requireVerifiable(cid)
    const over = this.#turns.over()
    if (over !== undefined) await over
    if (performance.now() - this.#lookedAt > LOOK_AGAIN_MS) await this.#lookAgain()
    this.#requireOpen()
  }

  #find (multihash: Uint8Array): Location | undefined {
    this.#requireOpen()
    return this.#open.index.get(multihash)
  }

  #requireOpen (): void {
    if (this.#closed) throw new HoldfastError('UNAVAILABLE', `Reader of ${this.#folder} is closed`)
  }

  /** An index that was made anew is another file of the same name. */
  async #lookAgain (): Promise<void> {
    this.#lookedAt = performance.now()
    const inode = await inodeOf(join(this.#folder, INDEX_FILE))
    if (inode === undefined || inode === this.#open.inode || this.#closed) return
    const open = await openIndex(this.#folder)
    const before = this.#open
    this.#open = open
    await before.index[Symbol.asyncDispose]()
  }
}
