import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, type Block, linksOf, multihashKey } from '@holdfast/core'
import type { CID } from 'multiformats/cid'

/** Deepest descent: what nests deeper is sampled down to here. */
const MAX_DESCENT = 1024

/**
 * Picks random blocks of a DAG, at most `count`, each once: by descents from the root that end at a random block on the way.
 *
 * Reads the blocks on the way and nothing else, so that a large DAG costs no more than a deep one.
 *
 * @returns `undefined` when a block on the way is not here.
 */
export async function sampleBlocks (blocks: BlockReader, root: CID, { count, isDirect, signal }: AbortOptions & { readonly count: number, readonly isDirect: boolean }): Promise<Block[] | undefined> {
  const picked = new Map<string, Block>()
  for (let tries = 0; tries < count; tries++) {
    let block = await blocks.get(root, { signal })
    for (let depth = 0; block !== undefined && !isDirect && depth < MAX_DESCENT; depth++) {
      const links = linksOf(block)
      const next = links[Math.floor(Math.random() * (links.length + 1))]
      if (next === undefined) break
      block = await blocks.get(next, { signal })
    }
    if (block === undefined) return undefined
    picked.set(multihashKey(block.cid), block)
    // A root without links is all there is.
    if (picked.size === 1 && (isDirect || block.cid.equals(root) && linksOf(block).length === 0)) break
  }
  return [...picked.values()]
}
