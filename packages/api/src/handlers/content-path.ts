import type { BlockReader } from '@holdfast/blockstore'
import { HoldfastError } from '@holdfast/core'
import { parseContentPath, resolvePath } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'

/** A bare CID needs no block of its own: a pin whose DAG is damaged can still be removed. */
export async function resolveToCid (blocks: BlockReader, path: string, signal: AbortSignal): Promise<CID> {
  const { root, segments } = parseContentPath(path)
  if (segments.length === 0) return root
  const { cid, remainder } = await resolvePath(blocks, root, segments, { signal })
  if (remainder.length > 0) throw new HoldfastError('INVALID', `Path ${path} does not name a block`, { path })
  return cid
}
