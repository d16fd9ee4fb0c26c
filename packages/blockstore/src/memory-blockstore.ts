import { type AbortOptions, type Block, CODECS, IDENTITY, identityBlock, multihashKey, requireVerifiable } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import type { Blockstore, BlockstoreUsage, DeleteOptions } from './blockstore.ts'

/** Keeps blocks in memory only, without a limit: for tests and tools, never for a daemon. */
export class MemoryBlockstore implements Blockstore {
  readonly #blocks = new Map<string, Block>()

  async get (cid: CID, { signal }: AbortOptions = {}): Promise<Block | undefined> {
    signal?.throwIfAborted()
    requireVerifiable(cid)
    return await identityBlock(cid) ?? this.#blocks.get(multihashKey(cid))?.as(cid)
  }

  async has (cid: CID, { signal }: AbortOptions = {}): Promise<boolean> {
    signal?.throwIfAborted()
    requireVerifiable(cid)
    return cid.multihash.code === IDENTITY || this.#blocks.has(multihashKey(cid))
  }

  async byteLengthOf (cid: CID, { signal }: AbortOptions = {}): Promise<number | undefined> {
    signal?.throwIfAborted()
    requireVerifiable(cid)
    return cid.multihash.code === IDENTITY ? cid.multihash.digest.byteLength : this.#blocks.get(multihashKey(cid))?.bytes.byteLength
  }

  async put (block: Block, options?: AbortOptions): Promise<void> {
    await this.putMany([block], options)
  }

  async putMany (blocks: readonly Block[], { signal }: AbortOptions = {}): Promise<void> {
    signal?.throwIfAborted()
    for (const block of blocks) {
      if (block.cid.multihash.code !== IDENTITY) this.#blocks.set(multihashKey(block.cid), block)
    }
  }

  async delete (cid: CID, { signal, when }: DeleteOptions = {}): Promise<boolean> {
    signal?.throwIfAborted()
    requireVerifiable(cid)
    const key = multihashKey(cid)
    const block = this.#blocks.get(key)
    if (block === undefined) return false

    // Taken out first: whatever `when` puts comes later and stays.
    this.#blocks.delete(key)
    let isDeleted = false
    try {
      isDeleted = when?.() !== false
    } finally {
      if (!isDeleted) this.#blocks.set(key, block)
    }
    return isDeleted
  }

  async * list ({ signal }: AbortOptions = {}): AsyncIterable<CID> {
    signal?.throwIfAborted()
    // Of the map as it is now: a block that a delete puts back would come again, without an end.
    for (const { cid } of Array.from(this.#blocks.values())) {
      yield CID.createV1(CODECS.raw, cid.multihash)
      signal?.throwIfAborted()
    }
  }

  async usage ({ signal }: AbortOptions = {}): Promise<BlockstoreUsage> {
    signal?.throwIfAborted()
    const blocks = [...this.#blocks.values()]
    return { blockCount: blocks.length, byteLength: blocks.reduce((sum, { bytes }) => sum + bytes.byteLength, 0) }
  }

  async [Symbol.asyncDispose] (): Promise<void> {}
}
