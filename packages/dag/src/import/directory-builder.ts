import { type DagPbLink, encodedLinkByteLength, HoldfastError, MAX_DAG_PB_LINKS } from '@holdfast/core'
import type { ImportRecipe } from '../profile.ts'
import { encodeUnixFs } from '../unixfs.ts'
import type { BlockSink } from './block-sink.ts'
import { type BuiltNode, buildUnixFsNode } from './dag-builder.ts'
import { buildHamt } from './hamt-builder.ts'
import type { ImportAttributes } from './source.ts'

/** Longest entry name in bytes: what file systems hold, so that a tree can always be written back. */
export const MAX_NAME_BYTES = 255

/**
 * Builds a directory from its entries: one block while its estimated length and its links are within the
 * recipe's limits, a HAMT above them. Attributes go into the root.
 *
 * @throws `INVALID` for a name that cannot be a directory entry, or that occurs twice.
 * @see IPIP-0499 §"HAMT switch", https://specs.ipfs.tech/ipips/ipip-0499/
 */
export async function buildDirectory (links: readonly DagPbLink[], recipe: ImportRecipe, sink: Pick<BlockSink, 'add'>, attributes: ImportAttributes = {}): Promise<BuiltNode> {
  const sorted = links.toSorted((a, b) => Buffer.compare(a.name, b.name))
  for (const [index, { name }] of sorted.entries()) {
    requireName(name)
    const before = sorted[index - 1]
    if (before !== undefined && Buffer.compare(before.name, name) === 0) {
      throw new HoldfastError('INVALID', `Two entries of one directory are named ${JSON.stringify(textOf(name))}`)
    }
  }
  const isHamt = sorted.length > (recipe.maxDirectoryLinks === 0 ? MAX_DAG_PB_LINKS : recipe.maxDirectoryLinks) ||
    estimatedByteLength(sorted, recipe, attributes) > recipe.hamtThresholdBytes
  return isHamt
    ? await buildHamt(sorted, recipe, sink, attributes)
    : await buildUnixFsNode({ type: 'directory', ...attributes }, sorted, recipe, sink)
}

function estimatedByteLength (links: readonly DagPbLink[], { directoryEstimation }: ImportRecipe, attributes: ImportAttributes): number {
  if (directoryEstimation === 'links') return links.reduce((sum, { name, cid }) => sum + name.byteLength + cid.bytes.byteLength, 0)
  // The Data field of the block: tag, length and the UnixFS message, which is shorter than 128 bytes.
  const dataByteLength = 2 + encodeUnixFs({ type: 'directory', ...attributes }).byteLength
  return links.reduce((sum, link) => sum + encodedLinkByteLength(link), dataByteLength)
}

function requireName (name: Uint8Array): void {
  const text = textOf(name)
  if (name.byteLength === 0 || name.byteLength > MAX_NAME_BYTES || text === '.' || text === '..' || /[/\0]/.test(text)) {
    throw new HoldfastError('INVALID', `${JSON.stringify(text.slice(0, MAX_NAME_BYTES))} cannot be the name of a directory entry`)
  }
}

function textOf (name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString()
}
