import { type AbortOptions, Block, CODECS, HoldfastError, IDENTITY, identityBlock, isHoldfastError, multihashKey, requireVerifiable } from '@holdfast/core'
import type { Blockstore as InterfaceBlockstore } from 'interface-blockstore'
import { CID } from 'multiformats/cid'
import type { Blockstore, BlockstoreUsage, DeleteOptions } from '../blockstore.ts'
import { KeyLocks } from '../fs/key-locks.ts'
import { gather } from './interface-blockstore.ts'

/**
 * Lets our code use a store written for Helia.
 *
 * Every block is checked against its CID on the way out. How durable a put is, the other store decides: most do not sync.
 *
 * @see interface-blockstore 7
 */
export function adoptBlockstore (store: InterfaceBlockstore): Blockstore {
  return new AdoptedBlockstore(store)
}

class AdoptedBlockstore implements Blockstore {
  readonly #store: InterfaceBlockstore
  readonly #locks = new KeyLocks()

  constructor (store: InterfaceBlockstore) {
    this.#store = store
  }

  async get (cid: CID, { signal }: AbortOptions = {}): Promise<Block | undefined> {
    signal?.throwIfAborted()
    requireVerifiable(cid)
    if (cid.multihash.code === IDENTITY) return await identityBlock(cid)
    const bytes = await unlessNotFound(cid, (async () => await gather(cid, this.#store.get(rawOf(cid), optionsOf(signal))))())
    return bytes === undefined ? undefined : await Block.verify(cid, bytes)
  }

  async has (cid: CID, { signal }: AbortOptions = {}): Promise<boolean> {
    signal?.throwIfAborted()
    requireVerifiable(cid)
    return cid.multihash.code === IDENTITY || await this.#has(cid, signal)
  }

  async put (block: Block, options?: AbortOptions): Promise<void> {
    await this.putMany([block], options)
  }

  async putMany (blocks: readonly Block[], { signal }: AbortOptions = {}): Promise<void> {
    signal?.throwIfAborted()
    const stored = blocks.filter(({ cid }) => cid.multihash.code !== IDENTITY)
    using _ = await this.#locks.acquire([...new Set(stored.map(({ cid }) => multihashKey(cid)))], signal)
    for (const { cid, bytes } of stored) {
      signal?.throwIfAborted()
      await explained(`Block ${cid} was not stored`, (async () => await this.#store.put(rawOf(cid), bytes, optionsOf(signal)))())
    }
  }

  async delete (cid: CID, { signal, when }: DeleteOptions = {}): Promise<boolean> {
    signal?.throwIfAborted()
    requireVerifiable(cid)
    if (cid.multihash.code === IDENTITY) return false
    using _ = await this.#locks.acquire([multihashKey(cid)], signal)
    if (!await this.#has(cid, signal) || when?.() === false) return false
    await explained(`Block ${cid} was not removed`, (async () => { await this.#store.delete(rawOf(cid), optionsOf(signal)) })())
    return true
  }

  async * list ({ signal }: AbortOptions = {}): AsyncIterable<CID> {
    signal?.throwIfAborted()
    for await (const { cid } of this.#store.getAll(optionsOf(signal))) {
      yield rawOf(cid)
      signal?.throwIfAborted()
    }
  }

  /** Reads every block: the other store keeps no lengths. */
  async usage ({ signal }: AbortOptions = {}): Promise<BlockstoreUsage> {
    let blockCount = 0
    let byteLength = 0
    for await (const cid of this.list({ signal })) {
      byteLength += (await this.get(cid, { signal }))?.bytes.byteLength ?? 0
      blockCount++
    }
    return { blockCount, byteLength }
  }

  /** Closing the other store is for whoever opened it. */
  async [Symbol.asyncDispose] (): Promise<void> {}

  async #has (cid: CID, signal: AbortSignal | undefined): Promise<boolean> {
    return await explained(`Block ${cid} could not be looked for`, (async () => await this.#store.has(rawOf(cid), optionsOf(signal)))())
  }
}

/** One CID for all of a multihash: stores differ in whether the codec counts. */
function rawOf (cid: CID): CID {
  return cid.version === 1 && cid.code === CODECS.raw ? cid : CID.createV1(CODECS.raw, cid.multihash)
}

function optionsOf (signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal }
}

async function unlessNotFound<T> (cid: CID, reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading
  } catch (err) {
    if (err instanceof Error && err.name === 'NotFoundError') return undefined
    return await explained(`Block ${cid} could not be read`, Promise.reject(err))
  }
}

/** Failures of stores of others have no codes; aborts pass as they are. */
async function explained<T> (what: string, operation: Promise<T>): Promise<T> {
  try {
    return await operation
  } catch (cause) {
    if (isHoldfastError(cause) || (cause instanceof Error && cause.name === 'AbortError')) throw cause
    throw new HoldfastError('UNAVAILABLE', `${what}: the store failed`, { cause })
  }
}
