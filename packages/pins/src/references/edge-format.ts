import { CODECS } from '@holdfast/core'
import { varint } from 'multiformats'
import { CID } from 'multiformats/cid'
import { cidAt, decodeCids } from './cid-bytes.ts'

/**
 * The bytes of the index of references, see docs/formats/state.md.
 *
 * ```
 * edge    key: multihash                  value: parent id (5), CID version (1), codec (varint)
 * node    key: way (1), multihash         value: id (5), CIDs of the children, each once
 * holder  key: id (5)                     value: 0, way (1), multihash   or   1, CID of the root, pin id as text
 * ```
 */

/** How the links of a block are read; bytes under another codec are another DAG node. `LEAF` has no links here. */
export type Way = 0 | 1 | 2 | 3

export const LEAF = 0

/** All ways, the most frequent first. */
export const WAYS: readonly Way[] = [LEAF, 1, 2, 3]

const WAY_BY_CODEC: ReadonlyMap<number, Way> = new Map([[CODECS.dagPb, 1], [CODECS.dagCbor, 2], [CODECS.dagJson, 3]])

export function wayOf ({ code }: CID): Way {
  return WAY_BY_CODEC.get(code) ?? LEAF
}

/** Bytes of an id: a million million are enough for any repository. */
export const ID_BYTES = 5

export function encodeId (id: number): Buffer {
  const bytes = Buffer.allocUnsafe(ID_BYTES)
  bytes.writeUIntBE(id, 0, ID_BYTES)
  return bytes
}

export function decodeId (bytes: Buffer): number {
  return bytes.readUIntBE(0, ID_BYTES)
}

/** What keeps a block: the id of a DAG node or a pin, and the CID by which it links. */
export interface Edge {
  readonly parentId: number
  readonly cid: CID
}

export function encodeEdge ({ parentId, cid: { code, version } }: Edge): Buffer {
  const bytes = Buffer.allocUnsafe(ID_BYTES + 1 + varint.encodingLength(code))
  bytes.writeUIntBE(parentId, 0, ID_BYTES)
  bytes[ID_BYTES] = version
  varint.encodeTo(code, bytes, ID_BYTES + 1)
  return bytes
}

/** Reads an edge of the block with these bytes of a multihash, which are copied. */
export function decodeEdge (multihash: Uint8Array, value: Buffer): Edge {
  return new EdgeReader(1).read(multihash, value)
}

/** Bytes of a CID of version 1, with a codec of one byte and sha2-256. */
const PLAIN_CID_BYTES = 36

/** Reads some edges, whose CIDs share memory: one by one they cost more to allocate than to read. */
export class EdgeReader {
  #shared: Uint8Array
  #end = 0

  /** @param count How many are read about. */
  constructor (count: number) {
    this.#shared = new Uint8Array(count * PLAIN_CID_BYTES)
  }

  read (multihash: Uint8Array, value: Buffer): Edge {
    const isV0 = value[ID_BYTES] === 0
    const prefixByteLength = isV0 ? 0 : value.byteLength - ID_BYTES
    const byteLength = prefixByteLength + multihash.byteLength
    if (this.#end + byteLength > this.#shared.byteLength) {
      this.#shared = new Uint8Array(Math.max(byteLength, this.#shared.byteLength))
      this.#end = 0
    }
    const bytes = this.#shared.subarray(this.#end, this.#end += byteLength)
    if (!isV0) {
      bytes[0] = 1
      bytes.set(value.subarray(ID_BYTES + 1), 1)
    }
    bytes.set(multihash, prefixByteLength)
    return { parentId: value.readUIntBE(0, ID_BYTES), cid: cidAt(bytes, 0) }
  }
}

/** The key of a DAG node: the same bytes read another way have other links. */
export function nodeKey (cid: CID): Buffer {
  const { bytes } = cid.multihash
  const key = Buffer.allocUnsafe(1 + bytes.byteLength)
  key[0] = wayOf(cid)
  key.set(bytes, 1)
  return key
}

/** A DAG node whose links were read. */
export interface NodeEntry {
  readonly id: number
  readonly children: readonly CID[]
}

export function encodeNode ({ id, children }: NodeEntry): Buffer {
  return Buffer.concat([encodeId(id), ...children.map(({ bytes }) => bytes)])
}

export function decodeNode (value: Buffer): NodeEntry {
  // Copied once: LMDB uses the memory again.
  return { id: decodeId(value), children: decodeCids(Uint8Array.from(value.subarray(ID_BYTES))) }
}

/** What an id stands for. */
export type Holder =
  | { readonly kind: 'node', readonly way: Way, readonly multihash: Buffer }
  | { readonly kind: 'pin', readonly cid: CID, readonly pinId: string }

export function encodeNodeHolder (cid: CID): Buffer {
  return Buffer.concat([Buffer.of(0), nodeKey(cid)])
}

export function encodePinHolder ({ cid, id }: { readonly cid: CID, readonly id: string }): Buffer {
  return Buffer.concat([Buffer.of(1), cid.bytes, Buffer.from(id)])
}

export function decodeHolder (value: Buffer): Holder {
  if (value[0] === 0) return { kind: 'node', way: (value[1] ?? LEAF) as Way, multihash: Buffer.from(value.subarray(2)) }
  const [cid, rest] = CID.decodeFirst(Uint8Array.from(value.subarray(1)))
  return { kind: 'pin', cid, pinId: Buffer.from(rest).toString() }
}
