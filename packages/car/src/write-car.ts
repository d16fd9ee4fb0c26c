import { type Block, varintLength, writeVarint } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { encodeCarHeader } from './car-header.ts'
import { gatherParts } from './gather-parts.ts'

/** Returns `varint length | CID` and the bytes of the block themselves, not a copy. */
export function encodeCarSection ({ cid, bytes }: Block): Uint8Array[] {
  return [encodeSectionHead(cid, bytes.byteLength), bytes]
}

/** Returns what stands before a block of so many bytes: `varint length | CID`. */
export function encodeSectionHead (cid: CID, blockByteLength: number): Uint8Array {
  const byteLength = cid.bytes.byteLength + blockByteLength
  const head = new Uint8Array(varintLength(byteLength) + cid.bytes.byteLength)
  head.set(cid.bytes, writeVarint(head, 0, byteLength))
  return head
}

/**
 * Yields a CARv1: the header, then the blocks in the order in which they come. Short parts come together, as `gatherParts` does it; the bytes of a
 * long block are handed on as they are.
 *
 * A failure of `blocks` ends the stream with that failure; what was yielded until then is not a CAR to keep.
 *
 * @throws `LIMIT` above `MAX_CAR_ROOTS`.
 */
export async function * writeCar (roots: readonly CID[], blocks: AsyncIterable<Block>): AsyncIterable<Uint8Array> {
  yield * gatherParts(partsOf(roots, blocks))
}

async function * partsOf (roots: readonly CID[], blocks: AsyncIterable<Block>): AsyncIterable<Uint8Array> {
  yield encodeCarHeader(roots)
  for await (const block of blocks) yield * encodeCarSection(block)
}
