import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, type Block, type DagPbLink, HoldfastError } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { requireBlock } from './entry.ts'
import { hamtHashOf, type HamtLink, type HamtShard, shardOf, slotAt } from './hamt-shard.ts'
import { ReadAheadStack } from './read-ahead-stack.ts'
import { unixFsNodeOf } from './unixfs-node.ts'

/**
 * Most shards in a row that hold no entry.
 *
 * A shard exists because two names share its slot, so an honest listing meets an entry within a
 * few shards; without a bound, eight blocks that link to each other 256 times would be read 2^64 times.
 */
export const MAX_BARREN_SHARDS = 1024

/**
 * Yields the entries of a HAMT directory in runs, depth first in the order of the links.
 *
 * @throws `LIMIT` for shards nested deeper than the hash has bits, `INVALID` for a malformed one.
 */
export async function * listHamt (blocks: BlockReader, root: HamtShard, options: AbortOptions = {}): AsyncGenerator<readonly HamtLink[]> {
  using stack = new ReadAheadStack<ListingStep>(blocks, options)
  stack.push(stepsOf(root, 0))
  let barrenCount = 0
  for (let next = await stack.pop(); next !== undefined; next = await stack.pop()) {
    const { entries, level } = next.item
    if (entries.length > 0) {
      barrenCount = 0
      yield entries
    }
    if (next.block === undefined) continue
    if (++barrenCount > MAX_BARREN_SHARDS) {
      throw new HoldfastError('LIMIT', `HAMT ${root.cid} has more than ${MAX_BARREN_SHARDS} shards in a row without an entry`, { cid: root.cid.toString() })
    }
    stack.push(stepsOf(subShardOf(next.block, root, level), level))
  }
}

/** What to yield, and the sub-shard (of this level) that follows it. */
interface ListingStep {
  readonly entries: readonly HamtLink[]
  readonly cid: CID | undefined
  readonly level: number
}

function stepsOf (shard: HamtShard, level: number): ListingStep[] {
  const steps: ListingStep[] = []
  let entries: HamtLink[] = []
  for (const link of shard.slots) {
    if (link.name.byteLength > 0) {
      entries.push(link)
    } else {
      steps.push({ entries, cid: link.link.cid, level: level + 1 })
      entries = []
    }
  }
  steps.push({ entries, cid: undefined, level })
  return steps
}

/** What a lookup found, and the shards that it read below the root, in order. */
export interface HamtLookup {
  readonly link: DagPbLink | undefined
  readonly path: readonly Block[]
}

/**
 * Looks one name up, reading one shard a level.
 *
 * The root may be an inner shard of a larger directory, to which nothing in it points: then a
 * miss is looked for again at the level where the entries that are there belong (boxo#1126).
 *
 * @throws as `listHamt`.
 */
export async function findInHamt (blocks: BlockReader, root: HamtShard, name: Uint8Array, options: AbortOptions = {}): Promise<HamtLookup> {
  const hash = await hamtHashOf(name)
  const miss = await descend({ blocks, root, name, hash, firstLevel: 0 }, options)
  if (miss.link !== undefined) return miss
  for (const firstLevel of await possibleLevels(blocks, root, options)) {
    if (firstLevel === 0) break
    const found = await descend({ blocks, root, name, hash, firstLevel }, options)
    if (found.link !== undefined) return found
  }
  return miss
}

interface Descent {
  readonly blocks: BlockReader
  readonly root: HamtShard
  readonly name: Uint8Array
  readonly hash: bigint
  readonly firstLevel: number
}

async function descend ({ blocks, root, name, hash, firstLevel }: Descent, options: AbortOptions): Promise<HamtLookup> {
  const path: Block[] = []
  let shard = root
  for (let level = firstLevel; level < root.maxLevels; level++) {
    const slot = slotAt(hash, level, root)
    const inSlot = shard.slots.filter((link) => link.slot === slot)
    const entry = inSlot.find((link) => link.name.byteLength > 0 && Buffer.compare(link.name, name) === 0)
    if (entry !== undefined) return { link: entry.link, path }
    const below = inSlot.find((link) => link.name.byteLength === 0)
    if (below === undefined) return { link: undefined, path }
    const block = await requireBlock(blocks, below.link.cid, options)
    path.push(block)
    shard = subShardOf(block, root, level + 1)
  }
  return { link: undefined, path }
}

/** Returns the levels at which the entries of the topmost shard that has any would be in their right slots. */
async function possibleLevels (blocks: BlockReader, root: HamtShard, options: AbortOptions): Promise<number[]> {
  let shard = root
  for (let depth = 0; depth < root.maxLevels; depth++) {
    const entries = shard.slots.filter(({ name }) => name.byteLength > 0)
    if (entries.length > 0) {
      const hashes = await Promise.all(entries.map(async ({ name, slot }) => ({ slot, hash: await hamtHashOf(name) })))
      const levels = Array.from({ length: root.maxLevels - depth }, (_, firstLevel) => firstLevel)
      return levels.filter((firstLevel) => hashes.every(({ slot, hash }) => slotAt(hash, firstLevel + depth, root) === slot))
    }
    const [first] = shard.slots
    if (first === undefined) return []
    shard = subShardOf(await requireBlock(blocks, first.link.cid, options), root, depth + 1)
  }
  return []
}

/**
 * Reads a shard of `root` that lies at `level`, the root having level 0.
 *
 * @throws `LIMIT` at a level for which the hash has no bits left, `INVALID` for a block that is not such a shard.
 */
export function subShardOf (block: Block, root: HamtShard, level: number): HamtShard {
  if (level >= root.maxLevels) {
    throw new HoldfastError('LIMIT', `HAMT ${root.cid} is nested deeper than the ${root.maxLevels} levels that its hash has bits for`, { cid: root.cid.toString(), level })
  }
  const node = unixFsNodeOf(block)
  const shard = node === undefined ? undefined : shardOf(node)
  if (shard?.fanout !== root.fanout) {
    throw new HoldfastError('INVALID', `Block ${block.cid} is not a shard with the fanout ${root.fanout} of HAMT ${root.cid}`, { cid: block.cid.toString() })
  }
  return shard
}
