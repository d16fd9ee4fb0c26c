import type { StorageEngine } from '@holdfast/api'
import type { Blockstore } from '@holdfast/blockstore'

/**
 * How much of `storageMaxBytes` is taken by blocks that are not deleted, in bytes: with what the engine adds to them, where it says so.
 * Of small blocks that is more than their own bytes, and the engine refuses writes by it.
 */
export async function usedBytes ({ blocks, engine }: { readonly blocks: Pick<Blockstore, 'usage'>, readonly engine: Pick<StorageEngine, 'figures'> }): Promise<number> {
  const { liveByteLength, indexByteLength = 0 } = await engine.figures()
  return liveByteLength === undefined ? (await blocks.usage()).byteLength : liveByteLength + indexByteLength
}
