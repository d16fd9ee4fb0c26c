/**
 * Cuts content into chunks of exactly `chunkBytes`, the last one shorter; nothing comes of no content.
 *
 * Pieces may be of any length. A piece that holds whole chunks is cut into views and not copied;
 * only chunks that straddle pieces are gathered in a buffer of their own.
 */
export async function * cutFixed (content: AsyncIterable<Uint8Array>, chunkBytes: number): AsyncIterable<Uint8Array> {
  let open: Uint8Array | undefined
  let filled = 0
  for await (const piece of content) {
    let at = 0
    while (at < piece.byteLength) {
      if (open === undefined && piece.byteLength - at >= chunkBytes) {
        yield piece.subarray(at, at += chunkBytes)
        continue
      }
      open ??= new Uint8Array(chunkBytes)
      const part = piece.subarray(at, at + chunkBytes - filled)
      open.set(part, filled)
      filled += part.byteLength
      at += part.byteLength
      if (filled === chunkBytes) {
        yield open
        open = undefined
        filled = 0
      }
    }
  }
  if (open !== undefined) yield open.subarray(0, filled)
}
