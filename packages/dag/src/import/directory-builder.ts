import { type DagPbLink, encodedLinkByteLength, HoldfastError, MAX_DAG_PB_LINKS } from '@holdfast/core'
import type { ImportRecipe } from '../profile.ts'
import { encodeUnixFs } from '../unixfs.ts'
import type { BlockSink } from './block-sink.ts'
import { type BuiltNode, buildUnixFsNode } from './dag-builder.ts'
import { buildHamt } from './hamt-builder.ts'

/** Longest entry name in bytes: what file systems hold, so that a tree can always be written back. */
export const MAX_NAME_BYTES = 255

/**
 * Builds a directory from its entries: one block while its estimated length is within the
 * recipe's threshold, a HAMT above it.
 *
 * @throws `INVALID` for a name that cannot be a directory entry, or that occurs twice.
 * @see IPIP-0499 §"HAMT switch", https://specs.ipfs.tech/ipips/ipip-0499/
 */
export async function buildDirectory (links: readonly DagPbLink[], recipe: ImportRecipe, sink: Pick<BlockSink, 'add'>): Promise<BuiltNode> {
  const sorted = links.toSorted((a, b) => Buffer.compare(a.name, b.name))
  for (const [index, { name }] of sorted.entries()) {
    requireName(name)
    const before = sorted[index - 1]
    if (before !== undefined && Buffer.compare(before.name, name) === 0) {
      throw new HoldfastError('INVALID', `Two entries of one directory are named ${JSON.stringify(textOf(name))}`)
    }
  }
  return estimatedByteLength(sorted, recipe) > recipe.hamtThresholdBytes || sorted.length > MAX_DAG_PB_LINKS
    ? await buildHamt(sorted, recipe, sink)
    : await buildUnixFsNode({ type: 'directory' }, sorted, recipe, sink)
}

function estimatedByteLength (links: readonly DagPbLink[], { directoryEstimation }: ImportRecipe): number {
  if (directoryEstimation === 'links') return links.reduce((sum, { name, cid }) => sum + name.byteLength + cid.bytes.byteLength, 0)
  return links.reduce((sum, link) => sum + encodedLinkByteLength(link), EMPTY_DIRECTORY_BYTES)
}

/** The Data field of a directory's block: tag, length and the UnixFS message. */
const EMPTY_DIRECTORY_BYTES = 2 + encodeUnixFs({ type: 'directory' }).byteLength

function requireName (name: Uint8Array): void {
  const text = textOf(name)
  if (name.byteLength === 0 || name.byteLength > MAX_NAME_BYTES || text === '.' || text === '..' || /[/\0]/.test(text)) {
    throw new HoldfastError('INVALID', `${JSON.stringify(text.slice(0, MAX_NAME_BYTES))} cannot be the name of a directory entry`)
  }
}

function textOf (name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.byteLength).toString()
}
