import { type AbortOptions, Block, HoldfastError, IDENTITY, identityBlock, isErrorCode, MAX_BLOCK_BYTES, multihashKey, requireVerifiable } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { join } from 'node:path'
import type { Blockstore, BlockstoreUsage, DeleteOptions } from '../blockstore.ts'
import { countUsage } from '../usage.ts'
import { forEachConcurrently, Semaphore } from './concurrency.ts'
import { type DurableFolder, MAX_WRITES_IN_FLIGHT } from './durable-folder.ts'
import { explained, unless, unlessAbsent } from './fs-errors.ts'
import type { FsOperations } from './fs-operations.ts'
import { KeyLocks } from './key-locks.ts'
import { type BlockPlace, isShard, type Layout } from './layout.ts'
import { readAll, withOpenFile } from './read-file.ts'

/** Most files open for reading at once; with blocks of 2 MiB they hold 64 MiB. */
export const MAX_READS_IN_FLIGHT = 32

/** Files whose length is asked for at once when usage is counted. */
const LENGTHS_PER_BATCH = 256

export interface FsBlockstoreParts {
  operations: FsOperations
  folder: DurableFolder
  layout: Layout
}

/** One file per block. The file system is the index, so there is no state to repair. */
export class FsBlockstore implements Blockstore {
  readonly releasesBytes = true
  readonly #operations: FsOperations
  readonly #folder: DurableFolder
  readonly #layout: Layout
  readonly #locks = new KeyLocks()
  readonly #reads = new Semaphore(MAX_READS_IN_FLIGHT)
  readonly #writing = new Set<Promise<unknown>>()
  #closed = false

  constructor ({ operations, folder, layout }: FsBlockstoreParts) {
    this.#operations = operations
    this.#folder = folder
    this.#layout = layout
  }

  async get (cid: CID, { signal }: AbortOptions = {}): Promise<Block | undefined> {
    this.#requireOpen(signal)
    requireVerifiable(cid)
    const carried = await identityBlock(cid)
    if (carried !== undefined) return carried

    const bytes = await explained(`Block ${cid} could not be read`, this.#read(cid, signal))
    if (bytes === undefined) return undefined
    if (bytes.byteLength > MAX_BLOCK_BYTES) {
      throw new HoldfastError('CORRUPT', `Bytes do not match ${cid}: the file is longer than a block`, { cid: cid.toString() })
    }
    return await Block.verify(cid, bytes)
  }

  async has (cid: CID, options?: AbortOptions): Promise<boolean> {
    return await this.byteLengthOf(cid, options) !== undefined
  }

  async byteLengthOf (cid: CID, { signal }: AbortOptions = {}): Promise<number | undefined> {
    this.#requireOpen(signal)
    requireVerifiable(cid)
    if (cid.multihash.code === IDENTITY) return cid.multihash.digest.byteLength
    const byteLength = await explained(`Block ${cid} could not be looked for`, this.#byteLengthAt(this.#layout.placeOf(cid), signal))
    // An empty file is what a crash makes of an unsynced one.
    return byteLength === 0 && !await isOfEmptyBytes(cid) ? undefined : byteLength
  }

  async put (block: Block, options?: AbortOptions): Promise<void> {
    await this.putMany([block], options)
  }

  async putMany (blocks: readonly Block[], { signal }: AbortOptions = {}): Promise<void> {
    this.#requireOpen(signal)
    const distinct = new Map(blocks
      .filter(({ cid }) => cid.multihash.code !== IDENTITY)
      .map((block) => [multihashKey(block.cid), block]))
    if (distinct.size === 0) return
    const what = blocks.length === 1 ? `Block ${blocks[0]?.cid} was not stored` : `${blocks.length} blocks were not all stored`
    await this.#write([...distinct.keys()], signal, () => explained(what, this.#store([...distinct.values()], signal)))
  }

  async delete (cid: CID, { signal, when }: DeleteOptions = {}): Promise<boolean> {
    this.#requireOpen(signal)
    requireVerifiable(cid)
    if (cid.multihash.code === IDENTITY) return false
    return await this.#write([multihashKey(cid)], signal, async () => {
      if (when?.() === false) return false
      return await explained(`Block ${cid} was not removed`, this.#unlink(cid))
    })
  }

  async * list ({ signal }: AbortOptions = {}): AsyncIterable<CID> {
    for await (const { cid } of this.#files(signal)) yield cid
  }

  async usage ({ signal }: AbortOptions = {}): Promise<BlockstoreUsage> {
    return await countUsage(this.#byteLengths(signal))
  }

  /** Waits for the writes that run; whoever comes later is refused. */
  async [Symbol.asyncDispose] (): Promise<void> {
    this.#closed = true
    await Promise.allSettled(this.#writing)
  }

  #requireOpen (signal: AbortSignal | undefined): void {
    signal?.throwIfAborted()
    if (this.#closed) throw new HoldfastError('UNAVAILABLE', `Blockstore ${this.#folder.path} is closed`)
  }

  #pathOf ({ shard, file }: BlockPlace): string {
    return join(this.#folder.path, shard, file)
  }

  async #read (cid: CID, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
    const path = this.#pathOf(this.#layout.placeOf(cid))
    return await this.#reads.run(() => withOpenFile(this.#operations, path, (fd) => readAll(this.#operations, fd)), signal)
  }

  async #byteLengthAt (place: BlockPlace, signal: AbortSignal | undefined): Promise<number | undefined> {
    return await this.#reads.run(() => unlessAbsent(this.#operations.byteLengthAt(this.#pathOf(place))), signal)
  }

  /** Runs a change of the blocks named by `keys` while no other change of them runs. */
  async #write<T> (keys: readonly string[], signal: AbortSignal | undefined, change: () => Promise<T>): Promise<T> {
    const running = this.#locks.acquire(keys, signal).then(async (lock) => {
      using _ = lock
      this.#folder.requireWritable()
      return await change()
    })
    this.#writing.add(running)
    try {
      return await running
    } finally {
      this.#writing.delete(running)
    }
  }

  async #unlink (cid: CID): Promise<boolean> {
    const removed = this.#operations.unlink(this.#pathOf(this.#layout.placeOf(cid))).then(() => true)
    return await unlessAbsent(removed) ?? false
  }

  /** All contents are durable before the first block gets its name; then every folder is synced once. */
  async #store (blocks: readonly Block[], signal: AbortSignal | undefined): Promise<void> {
    const temps = new Map<string, BlockPlace>()
    const shards = new Set<string>()
    try {
      await forEachConcurrently(blocks, MAX_WRITES_IN_FLIGHT, async ({ cid, bytes }) => {
        const place = this.#layout.placeOf(cid)
        shards.add(place.shard)
        if (await this.#folder.confirm(place.shard, place.file, bytes, signal)) return
        temps.set(await this.#folder.writeTemp(bytes, signal), place)
      })
      signal?.throwIfAborted()
      await forEachConcurrently([...temps], MAX_WRITES_IN_FLIGHT, async ([temp, { shard, file }]) => {
        await this.#folder.publish(temp, shard, file)
        temps.delete(temp)
      })
    } catch (err) {
      await forEachConcurrently([...temps.keys()], MAX_WRITES_IN_FLIGHT, (temp) => this.#folder.discard(temp))
      throw err
    }
    await this.#folder.syncFolders([...shards])
    this.#folder.requireWritable()
  }

  async * #files (signal: AbortSignal | undefined): AsyncGenerator<{ cid: CID, place: BlockPlace }> {
    this.#requireOpen(signal)
    for await (const shard of this.#names('')) {
      if (!isShard(shard)) continue
      for await (const file of this.#names(shard)) {
        signal?.throwIfAborted()
        const place = { shard, file }
        const cid = this.#layout.cidOf(place)
        if (cid !== undefined) yield { cid, place }
      }
    }
  }

  /** The names in a folder; none when it is gone, or is a file. */
  async * #names (folder: string): AsyncGenerator<string> {
    const names = this.#operations.list(join(this.#folder.path, folder))[Symbol.asyncIterator]()
    try {
      for (;;) {
        const next = await explained(`Blocks in ${this.#folder.path} could not be listed`, unless('ENOTDIR', unlessAbsent(names.next())))
        if (next === undefined || next.done === true) return
        yield next.value
      }
    } finally {
      await names.return?.()
    }
  }

  async * #byteLengths (signal: AbortSignal | undefined): AsyncGenerator<number> {
    let places: BlockPlace[] = []
    for await (const { place } of this.#files(signal)) {
      places.push(place)
      if (places.length < LENGTHS_PER_BATCH) continue
      yield * await this.#lengthsOf(places, signal)
      places = []
    }
    yield * await this.#lengthsOf(places, signal)
  }

  async #lengthsOf (places: readonly BlockPlace[], signal: AbortSignal | undefined): Promise<number[]> {
    const lengths = await explained(`Blocks in ${this.#folder.path} could not be counted`,
      Promise.all(places.map((place) => this.#byteLengthAt(place, signal))))
    return lengths.filter((byteLength) => byteLength !== undefined)
  }
}

async function isOfEmptyBytes (cid: CID): Promise<boolean> {
  try {
    await Block.verify(cid, new Uint8Array())
    return true
  } catch (err) {
    if (isErrorCode(err, 'CORRUPT')) return false
    throw err
  }
}
