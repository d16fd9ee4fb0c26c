import type { ImportRecipe } from '../profile.ts'
import type { UnixFsData, UnixFsType } from '../unixfs.ts'
import type { BlockSink } from './block-sink.ts'
import { type BuiltNode, buildRawLeaf, buildUnixFsNode, linkTo } from './dag-builder.ts'
import { hasAttributes, type ImportAttributes } from './source.ts'
import { buildTrickle } from './trickle-builder.ts'

/**
 * Builds the DAG of a file from its chunks as they come, in the layout of the recipe.
 *
 * Attributes go into the root. A raw block has no room for them: then no leaf is raw, as Kubo does it.
 */
export async function buildFile (chunks: AsyncIterable<Uint8Array>, recipe: ImportRecipe, sink: Pick<BlockSink, 'add'>, attributes: ImportAttributes = {}): Promise<BuiltNode> {
  const parts = new FileParts(recipe.rawLeaves && hasAttributes(attributes) ? { ...recipe, rawLeaves: false } : recipe, sink)
  return recipe.layout === 'trickle' ? await buildTrickle(chunks, parts, attributes) : await buildBalanced(chunks, parts, attributes)
}

/** Builds leaves and inner nodes of one file. */
export class FileParts {
  readonly maxLinks: number
  readonly #recipe: ImportRecipe
  readonly #sink: Pick<BlockSink, 'add'>

  constructor (recipe: ImportRecipe, sink: Pick<BlockSink, 'add'>) {
    this.maxLinks = recipe.maxFileLinks
    this.#recipe = recipe
    this.#sink = sink
  }

  /** Builds a leaf: a raw block, or a UnixFS node of this type. */
  async leaf (chunk: Uint8Array, type: UnixFsType, attributes: ImportAttributes = {}): Promise<BuiltNode> {
    if (this.#recipe.rawLeaves) return await buildRawLeaf(chunk, this.#recipe, this.#sink)
    // An empty file has no Data field, not an empty one: that is what its well-known CID says.
    const data = chunk.byteLength === 0 ? undefined : chunk
    return await buildUnixFsNode({ type, data, byteLength: chunk.byteLength, ...attributes }, [], this.#recipe, this.#sink)
  }

  async inner (children: readonly BuiltNode[], attributes: ImportAttributes = {}): Promise<BuiltNode> {
    const blockByteLengths = children.map(({ byteLength }) => byteLength)
    const byteLength = blockByteLengths.reduce((sum, length) => sum + length, 0)
    const data: UnixFsData = { type: 'file', byteLength, blockByteLengths, ...attributes }
    return await buildUnixFsNode(data, children.map((child) => linkTo(child)), this.#recipe, this.#sink)
  }
}

/**
 * Builds the balanced DAG of a file, bottom up.
 *
 * Holds at most `maxFileLinks` nodes of each level and one chunk: whether the first is also the root shows with the second.
 * All leaves lie at one depth, so the last inner node of a level may have a single child.
 *
 * @see https://specs.ipfs.tech/unixfs/ §"Balanced layout"
 */
async function buildBalanced (chunks: AsyncIterable<Uint8Array>, parts: FileParts, attributes: ImportAttributes): Promise<BuiltNode> {
  const levels = new Levels(parts)
  let first: Uint8Array | undefined
  let count = 0
  for await (const chunk of chunks) {
    if (count === 0) first = chunk
    else {
      if (first !== undefined) await levels.push(0, await parts.leaf(first, 'file'))
      first = undefined
      await levels.push(0, await parts.leaf(chunk, 'file'))
    }
    count++
  }
  return count > 1 ? await levels.close(attributes) : await parts.leaf(first ?? new Uint8Array(), 'file', attributes)
}

/** The open right edge of the tree: for each level the nodes that have no parent yet. */
class Levels {
  readonly #parts: FileParts
  readonly #levels: BuiltNode[][] = []

  constructor (parts: FileParts) {
    this.#parts = parts
  }

  /** Adds a node to a level. A full one gets its parent only now: with nothing behind it, that would have been the root. */
  async push (depth: number, node: BuiltNode): Promise<void> {
    const level = this.#levels[depth] ?? []
    if (level.length < this.#parts.maxLinks) {
      level.push(node)
      this.#levels[depth] = level
    } else {
      this.#levels[depth] = [node]
      await this.push(depth + 1, await this.#parts.inner(level))
    }
  }

  /** Closes every level from the bottom and returns the root. There are two nodes or more. */
  async close (attributes: ImportAttributes): Promise<BuiltNode> {
    for (let depth = 0; depth < this.#levels.length - 1; depth++) await this.push(depth + 1, await this.#parts.inner(this.#levels[depth] ?? []))
    return await this.#parts.inner(this.#levels.at(-1) ?? [], attributes)
  }
}
