import type { ImportRecipe } from '../profile.ts'
import type { BlockSink } from './block-sink.ts'
import { type BuiltNode, buildRawLeaf, buildUnixFsNode, linkTo } from './dag-builder.ts'

/**
 * Builds the balanced DAG of a file from its chunks, bottom up, as they come.
 *
 * Holds at most `maxFileLinks` nodes of each level. All leaves lie at one depth, so the last
 * inner node of a level may have a single child.
 *
 * @see https://specs.ipfs.tech/unixfs/ §"Balanced layout"
 */
export async function buildFile (chunks: AsyncIterable<Uint8Array>, recipe: ImportRecipe, sink: Pick<BlockSink, 'add'>): Promise<BuiltNode> {
  const levels = new Levels(recipe, sink)
  for await (const chunk of chunks) await levels.push(0, await buildLeaf(chunk, recipe, sink))
  return await levels.close() ?? await buildLeaf(new Uint8Array(), recipe, sink)
}

async function buildLeaf (chunk: Uint8Array, recipe: ImportRecipe, sink: Pick<BlockSink, 'add'>): Promise<BuiltNode> {
  if (recipe.rawLeaves) return await buildRawLeaf(chunk, recipe, sink)
  // An empty file has no Data field, not an empty one: that is what its well-known CID says.
  const data = chunk.byteLength === 0 ? undefined : chunk
  return await buildUnixFsNode({ type: 'file', data, byteLength: chunk.byteLength }, [], recipe, sink)
}

/** The open right edge of the tree: for each level the nodes that have no parent yet. */
class Levels {
  readonly #recipe: ImportRecipe
  readonly #sink: Pick<BlockSink, 'add'>
  readonly #levels: BuiltNode[][] = []

  constructor (recipe: ImportRecipe, sink: Pick<BlockSink, 'add'>) {
    this.#recipe = recipe
    this.#sink = sink
  }

  async push (depth: number, node: BuiltNode): Promise<void> {
    const level = this.#levels[depth] ??= []
    level.push(node)
    if (level.length === this.#recipe.maxFileLinks) await this.#raise(depth)
  }

  /** Closes every level from the bottom; what is left at the top is the root. */
  async close (): Promise<BuiltNode | undefined> {
    for (let depth = 0; depth < this.#levels.length; depth++) {
      const level = this.#levels[depth] ?? []
      const isTop = depth === this.#levels.length - 1
      if (isTop && level.length === 1) return level[0]
      if (level.length > 0) await this.#raise(depth)
    }
    return undefined
  }

  async #raise (depth: number): Promise<void> {
    const children = this.#levels[depth] ?? []
    this.#levels[depth] = []
    const blockByteLengths = children.map(({ byteLength }) => byteLength)
    const byteLength = blockByteLengths.reduce((sum, length) => sum + length, 0)
    const data = { type: 'file', byteLength, blockByteLengths } as const
    await this.push(depth + 1, await buildUnixFsNode(data, children.map((child) => linkTo(child)), this.#recipe, this.#sink))
  }
}
