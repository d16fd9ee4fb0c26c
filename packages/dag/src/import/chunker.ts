/**
 * Cuts content into chunks of exactly `chunkBytes`, the last one shorter; nothing comes of no content.
 *
 * Pieces may be of any length. Chunks that lie within one piece are views of it; only those that
 * straddle pieces are copied together. A small file costs its own length, not that of a chunk.
 */
export async function * cutFixed (content: AsyncIterable<Uint8Array>, chunkBytes: number): AsyncIterable<Uint8Array> {
  let parts: Uint8Array[] = []
  let gathered = 0
  for await (const piece of content) {
    let at = 0
    while (at < piece.byteLength) {
      const part = piece.subarray(at, at + chunkBytes - gathered)
      parts.push(part)
      gathered += part.byteLength
      at += part.byteLength
      if (gathered === chunkBytes) {
        yield join(parts)
        parts = []
        gathered = 0
      }
    }
  }
  if (gathered > 0) yield join(parts)
}

function join (parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts
  return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts)
}
