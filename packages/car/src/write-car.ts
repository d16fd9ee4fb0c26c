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

/** Parts shorter than this are gathered into one piece, in bytes: copying them costs less than handing each on. */
const GATHERED_PART_BYTES: number = 16 * 1024

/** Bytes of a piece of gathered parts. */
const PIECE_BYTES: number = 256 * 1024

/**
 * Yields a CARv1: the header, then the blocks in the order in which they come.
 *
 * Short parts come together in pieces of up to 256 KiB, which are held back until they are full or a long block follows; the bytes of a
 * long block are handed on as they are. A failure of `blocks` ends the stream with that failure; what was yielded until then is not a CAR to keep.
 *
 * @throws `LIMIT` above `MAX_CAR_ROOTS`.
 */
export async function * writeCar (roots: readonly CID[], blocks: AsyncIterable<Block>): AsyncIterable<Uint8Array> {
  let gathered: Uint8Array[] = []
  let byteLength = 0
  const takeGathered = (): Uint8Array => {
    const piece = Buffer.concat(gathered, byteLength)
    gathered = []
    byteLength = 0
    return piece
  }
  for await (const part of partsOf(roots, blocks)) {
    const isShort = part.byteLength < GATHERED_PART_BYTES
    if (byteLength > 0 && (!isShort || byteLength + part.byteLength > PIECE_BYTES)) yield takeGathered()
    if (isShort) {
      gathered.push(part)
      byteLength += part.byteLength
    } else yield part
  }
  if (byteLength > 0) yield takeGathered()
}

async function * partsOf (roots: readonly CID[], blocks: AsyncIterable<Block>): AsyncIterable<Uint8Array> {
  yield encodeCarHeader(roots)
  for await (const block of blocks) yield * encodeCarSection(block)
}
