import { type Block, varintLength, writeVarint } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { encodeCarHeader } from './car-header.ts'

/** Returns `varint length | CID` and the bytes of the block themselves, not a copy. */
export function encodeCarSection ({ cid, bytes }: Block): Uint8Array[] {
  const byteLength = cid.bytes.byteLength + bytes.byteLength
  const head = new Uint8Array(varintLength(byteLength) + cid.bytes.byteLength)
  head.set(cid.bytes, writeVarint(head, 0, byteLength))
  return [head, bytes]
}

/**
 * Yields a CARv1: the header, then the blocks in the order in which they come.
 *
 * A failure of `blocks` ends the stream with that failure; what was yielded until then is not a CAR to keep.
 *
 * @throws `LIMIT` above `MAX_CAR_ROOTS`.
 */
export async function * writeCar (roots: readonly CID[], blocks: AsyncIterable<Block>): AsyncIterable<Uint8Array> {
  yield encodeCarHeader(roots)
  for await (const block of blocks) yield * encodeCarSection(block)
}
