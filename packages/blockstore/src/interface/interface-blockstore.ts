import { Block, HoldfastError, MAX_BLOCK_BYTES } from '@holdfast/core'
import type { Blockstore as InterfaceBlockstore, InputPair, Pair } from 'interface-blockstore'
import type { CID } from 'multiformats/cid'
import type { Blockstore } from '../blockstore.ts'

/**
 * Gives a store of ours the shape that Helia and js-libp2p expect.
 *
 * What is put is hashed, since a `CID` with bytes beside it proves nothing. Absence is an error of the name
 * `NotFoundError`, as there. Closing the store stays the caller's.
 *
 * @see interface-blockstore 7
 */
export function interfaceBlockstore (store: Blockstore): InterfaceBlockstore {
  const put: InterfaceBlockstore['put'] = async (cid, bytes, options) => {
    await store.put(await Block.verify(cid, await gather(cid, bytes)), options)
    return cid
  }
  async function * get (cid: CID, options?: { signal?: AbortSignal }): AsyncGenerator<Uint8Array> {
    const block = await store.get(cid, options)
    if (block === undefined) throw notFound(cid)
    yield block.bytes
  }
  return {
    has: async (cid, options) => await store.has(cid, options),
    put,
    get,
    delete: async (cid, options) => { await store.delete(cid, options) },

    async * putMany (source: Iterable<InputPair> | AsyncIterable<InputPair>, options) {
      for await (const { cid, bytes } of source) yield await put(cid, bytes, options)
    },

    async * getMany (source: Iterable<CID> | AsyncIterable<CID>, options): AsyncGenerator<Pair> {
      for await (const cid of source) yield { cid, bytes: get(cid, options) }
    },

    async * deleteMany (source: Iterable<CID> | AsyncIterable<CID>, options) {
      for await (const cid of source) {
        await store.delete(cid, options)
        yield cid
      }
    },

    async * getAll (options): AsyncGenerator<Pair> {
      for await (const cid of store.list(options)) yield { cid, bytes: get(cid, options) }
    }
  }
}

/** The bytes of one block, which may come in pieces. @throws `LIMIT` when they are more than a block may have. */
export async function gather (cid: CID, bytes: Uint8Array | Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  if (bytes instanceof Uint8Array) return bytes
  const pieces: Uint8Array[] = []
  let byteLength = 0
  for await (const piece of bytes) {
    pieces.push(piece)
    byteLength += piece.byteLength
    if (byteLength > MAX_BLOCK_BYTES) throw new HoldfastError('LIMIT', `Block ${cid} has more than the ${MAX_BLOCK_BYTES} bytes of a block (2 MiB)`, { cid: cid.toString() })
  }
  const [only] = pieces
  return pieces.length === 1 && only !== undefined ? only : Uint8Array.from(Buffer.concat(pieces))
}

/** Users of that interface tell absence by the name of the error. */
function notFound (cid: CID): Error {
  return Object.assign(new Error(`Block ${cid} is not in the store`), { name: 'NotFoundError' })
}
