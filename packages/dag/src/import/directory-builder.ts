import { MAX_DAG_PB_LINKS } from '@holdfast/core'
import type { ImportRecipe } from '../profile.ts'
import { encodeUnixFs } from '../unixfs.ts'
import type { BlockSink } from './block-sink.ts'
import { type BuiltNode, buildUnixFsNode } from './dag-builder.ts'
import type { DirectoryLinks } from './directory-links.ts'
import { buildHamt } from './hamt-builder.ts'
import type { ImportAttributes } from './source.ts'

/**
 * Builds a directory from its entries: one block while its estimated length and its links are within the
 * recipe's limits, a HAMT above them. Attributes go into the root.
 *
 * @throws `INVALID` for a name that occurs twice.
 * @see IPIP-0499 §"HAMT switch", https://specs.ipfs.tech/ipips/ipip-0499/
 */
export async function buildDirectory (links: DirectoryLinks, recipe: ImportRecipe, sink: Pick<BlockSink, 'add'>, attributes: ImportAttributes = {}): Promise<BuiltNode> {
  const isHamt = links.count > (recipe.maxDirectoryLinks === 0 ? MAX_DAG_PB_LINKS : recipe.maxDirectoryLinks) ||
    estimatedByteLength(links, recipe, attributes) > recipe.hamtThresholdBytes
  if (isHamt) return await buildHamt(links, recipe, sink, attributes)
  const sorted = links.sorted(Uint32Array.from({ length: links.count }, (_, index) => index))
  return await buildUnixFsNode({ type: 'directory', ...attributes }, Array.from(sorted, (index) => links.linkAt(index)), recipe, sink)
}

function estimatedByteLength (links: DirectoryLinks, { directoryEstimation }: ImportRecipe, attributes: ImportAttributes): number {
  if (directoryEstimation === 'links') return links.identifierByteLength
  // The Data field of the block: tag, length and the UnixFS message, which is shorter than 128 bytes.
  return links.encodedByteLength + 2 + encodeUnixFs({ type: 'directory', ...attributes }).byteLength
}
