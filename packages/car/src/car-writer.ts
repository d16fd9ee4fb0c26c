/**
 * CARv1, written.
 *
 * ```
 * CAR      header section*
 * header   varint length · dag-cbor { roots: [CID], version: 1 }
 * section  varint length of what follows · CID bytes · block bytes
 * ```
 *
 * @see https://ipld.io/specs/transport/car/carv1/
 */
import { encode } from '@ipld/dag-cbor'
import { type Block, varintLength, writeVarint } from '@holdfast/core'
import type { CID } from 'multiformats/cid'

/** Encodes the header with its length. */
export function encodeCarHeader (roots: readonly CID[]): Uint8Array {
  const header = encode({ roots: [...roots], version: 1 })
  const out = new Uint8Array(varintLength(header.byteLength) + header.byteLength)
  out.set(header, writeVarint(out, 0, header.byteLength))
  return out
}

/** Encodes a section as its head, the length and the CID, and the block's own bytes, which are not copied. */
export function encodeCarSection ({ cid, bytes }: Block): Uint8Array[] {
  const length = cid.bytes.byteLength + bytes.byteLength
  const head = new Uint8Array(varintLength(length) + cid.bytes.byteLength)
  head.set(cid.bytes, writeVarint(head, 0, length))
  return [head, bytes]
}

/** Yields an archive of the blocks, in their order. */
export async function * writeCar (roots: readonly CID[], blocks: AsyncIterable<Block>): AsyncIterable<Uint8Array> {
  yield encodeCarHeader(roots)
  for await (const block of blocks) yield * encodeCarSection(block)
}
