/** DAGs built by hand, link by link: honest ones, and those that no importer would make. */
import { MemoryBlockstore } from '@holdfast/blockstore'
import { Block, CODECS, type DagPbLink, encodeDagPb, type Ipld } from '@holdfast/core'
import * as dagCbor from '@ipld/dag-cbor'
import type { MemoryBlockstore as OracleBlockstore } from 'blockstore-core/memory'
import type { CID } from 'multiformats/cid'
import { encodeUnixFs, type UnixFsData } from '../src/unixfs.ts'

/** A file below a node under construction: where it is and how many bytes it is said to have. */
export interface Child {
  readonly cid: CID
  readonly byteLength: number
}

/** Stores `bytes` under a CID of this codec. */
export async function putBytes (store: MemoryBlockstore, bytes: Uint8Array, codec: number = CODECS.raw): Promise<CID> {
  const block = await Block.of(bytes, { codec })
  await store.put(block)
  return block.cid
}

/** Stores a dag-pb node with UnixFS in it. */
export async function putUnixFs (store: MemoryBlockstore, unixfs: UnixFsData, links: readonly DagPbLink[] = []): Promise<CID> {
  return await putBytes(store, encodeDagPb({ links, data: encodeUnixFs(unixfs) }), CODECS.dagPb)
}

/** Stores an inner node of a file whose lengths add up. */
export async function putFileNode (store: MemoryBlockstore, children: readonly Child[], overrides: Partial<UnixFsData> = {}): Promise<Child> {
  const byteLength = children.reduce((sum, child) => sum + child.byteLength, overrides.data?.byteLength ?? 0)
  const cid = await putUnixFs(store, { type: 'file', byteLength, blockByteLengths: children.map((child) => child.byteLength), ...overrides }, children.map(({ cid }) => linkTo(cid)))
  return { cid, byteLength }
}

/** Stores a basic directory with its entries in the order given. */
export async function putDirectory (store: MemoryBlockstore, entries: ReadonlyArray<readonly [name: string | Uint8Array, cid: CID]>, attributes: Partial<UnixFsData> = {}): Promise<CID> {
  return await putUnixFs(store, { type: 'directory', ...attributes }, entries.map(([name, cid]) => linkTo(cid, name)))
}

/** Stores a HAMT shard with exactly these links. */
export async function putShard (store: MemoryBlockstore, links: ReadonlyArray<readonly [name: string, cid: CID]>, overrides: Partial<UnixFsData> = {}): Promise<CID> {
  return await putUnixFs(store, { type: 'hamt-sharded-directory', hashType: 0x22, fanout: 256, data: Uint8Array.of(1), ...overrides }, links.map(([name, cid]) => linkTo(cid, name)))
}

/** Stores a dag-cbor block. */
export async function putDagCbor (store: MemoryBlockstore, value: Ipld): Promise<CID> {
  return await putBytes(store, dagCbor.encode(value), CODECS.dagCbor)
}

/** Stores a dag-json block; a CID writes itself as `{"/": …}`. */
export async function putDagJson (store: MemoryBlockstore, value: Ipld): Promise<CID> {
  const json = JSON.stringify(value, (_key, part: unknown) => part instanceof Uint8Array ? { '/': { bytes: Buffer.from(part).toString('base64').replace(/=+$/, '') } } : part)
  return await putBytes(store, Buffer.from(json), CODECS.dagJson)
}

export function linkTo (cid: CID, name: string | Uint8Array = '', tsize: number = 0): DagPbLink {
  return { cid, name: Buffer.from(name), tsize }
}

/** Copies the blocks that a library made into a store of ours, each checked against its CID. */
export async function copyOracle (oracle: OracleBlockstore): Promise<MemoryBlockstore> {
  const store = new MemoryBlockstore()
  for await (const { cid, bytes } of oracle.getAll()) {
    await store.put(await Block.verify(cid, Buffer.concat(await Array.fromAsync(bytes))))
  }
  return store
}

/** Bytes that differ from place to place, so that a piece that is misplaced shows. */
export function patternBytes (byteLength: number): Uint8Array {
  return Uint8Array.from({ length: byteLength }, (_, index) => (index * 7 + (index >> 8) * 13 + (index >> 16)) & 0xff)
}
