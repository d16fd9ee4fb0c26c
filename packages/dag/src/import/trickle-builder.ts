/**
 * The trickle layout: content near the beginning is near the root.
 *
 * ```
 * node of depth d    leaves, as many as there are links, then 4 nodes of depth 1, 4 of depth 2, … 4 of depth d - 1
 * root               the same without end
 * ```
 *
 * Leaves that are not raw blocks have the UnixFS type Raw.
 *
 * @see boxo ipld/unixfs/importer/trickle; https://github.com/ipfs/specs/pull/57
 */
import type { BuiltNode, NamedNode } from './dag-builder.ts'
import type { FileParts } from './file-builder.ts'
import type { ImportAttributes } from './source.ts'

/** Subtrees of one depth below each node before they grow deeper. */
const SUBTREES_OF_EACH_DEPTH = 4

/** Builds the trickle DAG of a file. Holds the nodes on the way from the root to the newest leaf, and the chunks that are being hashed. */
export async function buildTrickle (chunks: AsyncIterable<Uint8Array>, parts: FileParts, attributes: ImportAttributes): Promise<BuiltNode> {
  const ahead = new LeavesAhead(parts.leaves(chunks, 'raw'))
  try {
    await ahead.advance()
    return await buildSubtree(ahead, parts, Infinity, attributes)
  } finally {
    await ahead.close()
  }
}

async function buildSubtree (ahead: LeavesAhead, parts: FileParts, depth: number, attributes?: ImportAttributes): Promise<BuiltNode> {
  const children: BuiltNode[] = []
  for (let { leaf } = ahead; leaf !== undefined && children.length < parts.maxLinks; { leaf } = ahead) {
    children.push(await parts.store(leaf))
    await ahead.advance()
  }
  for (let below = 1; below < depth && ahead.leaf !== undefined; below++) {
    for (let count = 0; count < SUBTREES_OF_EACH_DEPTH && ahead.leaf !== undefined; count++) children.push(await buildSubtree(ahead, parts, below))
  }
  return await parts.inner(children, attributes)
}

/** Leaves with a look at the next one. */
class LeavesAhead {
  readonly #iterator: AsyncIterator<NamedNode>
  #leaf: NamedNode | undefined

  constructor (leaves: AsyncIterable<NamedNode>) {
    this.#iterator = leaves[Symbol.asyncIterator]()
  }

  /** The next leaf; `undefined` at the end. */
  get leaf (): NamedNode | undefined {
    return this.#leaf
  }

  async advance (): Promise<void> {
    const next = await this.#iterator.next()
    this.#leaf = next.done === true ? undefined : next.value
  }

  async close (): Promise<void> {
    await this.#iterator.return?.()
  }
}
