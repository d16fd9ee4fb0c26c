import { CODECS } from '@holdfast/core'
import type { ImportRecipe } from '../profile.ts'
import type { UnixFsData } from '../unixfs.ts'
import type { BlockSink } from './block-sink.ts'
import type { ChunkBuffers } from './chunk-buffers.ts'
import { type BuiltNode, buildUnixFsNode, linkTo, nameBlock, type NamedNode, nameUnixFsNode, storeNode } from './dag-builder.ts'
import { hashAhead } from './hash-ahead.ts'
import { type LeafType, wrapLeaf } from './leaf-node.ts'
import { hasAttributes, type ImportAttributes } from './source.ts'
import { buildTrickle } from './trickle-builder.ts'

/** Where the blocks of a file go, and the memory that its chunks may lie in. */
export interface FileSink extends Pick<BlockSink, 'add'> {
  readonly buffers?: ChunkBuffers | undefined
}

/**
 * Builds the DAG of a file from its chunks as they come, in the layout of the recipe.
 *
 * Attributes go into the root. A raw block has no room for them: then no leaf is raw, as Kubo does it.
 */
export async function buildFile (chunks: AsyncIterable<Uint8Array>, recipe: ImportRecipe, sink: FileSink, attributes: ImportAttributes = {}): Promise<BuiltNode> {
  const parts = partsOf(recipe, sink, attributes)
  return recipe.layout === 'trickle' ? await buildTrickle(chunks, parts, attributes) : await buildBalanced(chunks, parts, attributes)
}

/** Builds the DAG of a file that is one chunk, or empty: the same that `buildFile` makes of it. */
export async function buildShortFile (content: Uint8Array, recipe: ImportRecipe, sink: FileSink, attributes: ImportAttributes = {}): Promise<BuiltNode> {
  const parts = partsOf(recipe, sink, attributes)
  if (recipe.layout === 'balanced') return await parts.store(await parts.leaf(content, 'file', attributes))
  return await parts.inner(content.byteLength === 0 ? [] : [await parts.store(await parts.leaf(content, 'raw'))], attributes)
}

function partsOf (recipe: ImportRecipe, sink: FileSink, attributes: ImportAttributes): FileParts {
  return new FileParts(recipe.rawLeaves && hasAttributes(attributes) ? { ...recipe, rawLeaves: false } : recipe, sink)
}

/** Builds leaves and inner nodes of one file. */
export class FileParts {
  readonly maxLinks: number
  readonly #recipe: ImportRecipe
  readonly #sink: FileSink

  constructor (recipe: ImportRecipe, sink: FileSink) {
    this.maxLinks = recipe.maxFileLinks
    this.#recipe = recipe
    this.#sink = sink
  }

  /** Names the leaves of all chunks, in their order. */
  leaves (chunks: AsyncIterable<Uint8Array>, type: LeafType): AsyncGenerator<NamedNode> {
    return hashAhead(chunks, async (chunk, beside) => await this.leaf(chunk, type, {}, beside))
  }

  /** Names a leaf: a raw block, or a UnixFS node of this type. */
  async leaf (chunk: Uint8Array, type: LeafType, attributes: ImportAttributes = {}, beside = false): Promise<NamedNode> {
    const { byteLength } = chunk
    if (this.#recipe.rawLeaves) return { ...await nameBlock(chunk, CODECS.raw, this.#recipe, beside), byteLength, tsize: byteLength }
    const { buffers } = this.#sink
    const node = buffers === undefined || hasAttributes(attributes) ? undefined : wrapLeaf(chunk, type, buffers)
    if (node !== undefined) return { ...await nameBlock(node, CODECS.dagPb, this.#recipe, beside), byteLength, tsize: node.byteLength }
    // An empty file has no Data field, not an empty one: that is what its well-known CID says.
    const data = byteLength === 0 ? undefined : chunk
    return await nameUnixFsNode({ type, data, byteLength, ...attributes }, [], this.#recipe)
  }

  async store (node: NamedNode): Promise<BuiltNode> {
    return await storeNode(node, this.#sink)
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
 * Holds at most `maxFileLinks` nodes of each level and the chunks that are being hashed: whether the first is also the root shows with
 * the second. All leaves lie at one depth, so the last inner node of a level may have a single child.
 *
 * @see https://specs.ipfs.tech/unixfs/ §"Balanced layout"
 */
async function buildBalanced (chunks: AsyncIterable<Uint8Array>, parts: FileParts, attributes: ImportAttributes): Promise<BuiltNode> {
  const levels = new Levels(parts)
  await using begun = await begin(chunks)
  const [first, second] = begun.head
  if (second === undefined) return await parts.store(await parts.leaf(first ?? new Uint8Array(), 'file', attributes))
  for await (const leaf of parts.leaves(begun.all(), 'file')) await levels.push(0, await parts.store(leaf))
  return await levels.close(attributes)
}

/** A sequence whose first two parts are known. */
interface Begun extends AsyncDisposable {
  readonly head: readonly Uint8Array[]
  /** All of it, once. */
  all(): AsyncGenerator<Uint8Array>
}

async function begin (chunks: AsyncIterable<Uint8Array>): Promise<Begun> {
  const iterator = chunks[Symbol.asyncIterator]()
  const head: Uint8Array[] = []
  while (head.length < 2) {
    const next = await iterator.next()
    if (next.done === true) break
    head.push(next.value)
  }
  return {
    head,
    async * all () {
      yield * head.splice(0)
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value
    },
    async [Symbol.asyncDispose] () { await iterator.return?.() }
  }
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
