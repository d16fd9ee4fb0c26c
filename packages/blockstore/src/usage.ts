import type { BlockstoreUsage } from './blockstore.ts'

/** Sums up the lengths of all blocks, one by one, for engines that only know by walking. */
export async function countUsage (byteLengths: AsyncIterable<number>): Promise<BlockstoreUsage> {
  let blockCount = 0
  let byteLength = 0
  for await (const length of byteLengths) {
    blockCount++
    byteLength += length
  }
  return { blockCount, byteLength }
}
