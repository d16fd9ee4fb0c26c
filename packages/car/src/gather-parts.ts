/** Parts shorter than this are gathered into one piece, in bytes: copying them costs less than handing each on. */
const GATHERED_PART_BYTES: number = 16 * 1024

/** Bytes of a piece of gathered parts. */
const PIECE_BYTES: number = 256 * 1024

/**
 * Puts short parts together into pieces of up to 256 KiB, which are held back until they are full or something else follows. Long parts, and
 * whatever is no bytes, are handed on as they are, in their place.
 */
export async function * gatherParts<T = never> (parts: AsyncIterable<Uint8Array | T>): AsyncGenerator<Uint8Array | T> {
  let gathered: Uint8Array[] = []
  let byteLength = 0
  const takeGathered = (): Uint8Array => {
    const piece = Buffer.concat(gathered, byteLength)
    gathered = []
    byteLength = 0
    return piece
  }
  for await (const part of parts) {
    const short = part instanceof Uint8Array && part.byteLength < GATHERED_PART_BYTES ? part : undefined
    if (byteLength > 0 && (short === undefined || byteLength + short.byteLength > PIECE_BYTES)) yield takeGathered()
    if (short === undefined) yield part
    else {
      gathered.push(short)
      byteLength += short.byteLength
    }
  }
  if (byteLength > 0) yield takeGathered()
}
