/**
 * The blocks of one entity, for `dag-scope=entity`: what it takes to read a file, or a range of it, or to list a directory.
 *
 * @see https://specs.ipfs.tech/http-gateways/trustless-gateway/ §"dag-scope", §"entity-bytes"
 */
import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, type Block, CODECS, decodeDagPb, HoldfastError } from '@holdfast/core'
import { decodeUnixFs, type DagEntry, DigestSet, MAX_FILE_LEVELS, requireBlock } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import type { EntityRange } from './car-request.ts'

/** Most levels of shards: 64 bits of hash at 3 bits a level, the least fanout. */
const MAX_SHARD_LEVELS = 21

export interface EntityOptions extends AbortOptions {
  /** The bytes that are asked for; `undefined` for the whole entity. */
  readonly range: EntityRange | undefined
  /** Whether a block is given out every time it occurs. */
  readonly duplicates: boolean
}

/** A block on the way, and where its bytes lie in the file. */
interface Part {
  readonly cid: CID
  readonly level: number
  readonly start: number
  readonly byteLength: number
}

/**
 * Yields the blocks of an entity depth first, its root before all others; a range gets only the blocks it needs.
 *
 * @throws `NOT_FOUND` when a block that is needed is absent, `CORRUPT` for a node whose lengths and links differ in
 * number, `LIMIT` for one nested too deep.
 */
export async function * entityBlocks (blocks: BlockReader, root: Block, entry: DagEntry, options: EntityOptions): AsyncIterable<Block> {
  const whole = { cid: root.cid, level: 1, start: 0, byteLength: 'byteLength' in entry ? entry.byteLength : 0 }
  const { range } = options
  if (entry.kind === 'file' && (range === undefined || range.end > range.offset)) {
    yield * walkParts(blocks, whole, { ...options, childrenOf: fileParts })
  } else if (entry.kind === 'directory' && entry.sharded) {
    yield * walkParts(blocks, whole, { ...options, range: undefined, childrenOf: shardParts })
  } else {
    yield root
  }
}

async function * walkParts (blocks: BlockReader, root: Part, { range, duplicates, signal, childrenOf }: EntityOptions & { childrenOf: (block: Block, part: Part) => Part[] }): AsyncIterable<Block> {
  const sent = new DigestSet()
  const done = new DigestSet()
  const stack = [root]
  for (let part = stack.pop(); part !== undefined; part = stack.pop()) {
    signal?.throwIfAborted()
    // A node that occurs again is passed over only when all of it was wanted before: at the edge of a range it was not.
    if (!duplicates && covers(range, part) && !done.add(part.cid)) continue
    const block = await requireBlock(blocks, part.cid, { signal })
    if (duplicates || sent.add(part.cid)) yield block
    stack.push(...childrenOf(block, part).filter((child) => overlaps(range, child)).reverse())
  }
}

function covers (range: EntityRange | undefined, { start, byteLength }: Part): boolean {
  return range === undefined || (range.offset <= start && start + byteLength <= range.end)
}

function overlaps (range: EntityRange | undefined, { start, byteLength }: Part): boolean {
  return range === undefined || (start < range.end && start + byteLength > range.offset)
}

function fileParts (block: Block, { level, start }: Part): Part[] {
  if (block.cid.code !== CODECS.dagPb) return []
  if (level > MAX_FILE_LEVELS) throw tooDeep(block.cid, MAX_FILE_LEVELS)
  const { links, data } = decodeDagPb(block.bytes)
  const unixfs = decodeUnixFs(data ?? new Uint8Array())
  const lengths = unixfs.blockByteLengths ?? []
  if (lengths.length !== links.length) {
    throw new HoldfastError('CORRUPT', `File node ${block.cid} has ${links.length} links but the lengths of ${lengths.length}`, { cid: block.cid.toString() })
  }
  let at = start + (unixfs.data?.byteLength ?? 0)
  return links.map(({ cid }, index) => {
    const byteLength = lengths[index] ?? 0
    const part = { cid, level: level + 1, start: at, byteLength }
    at += byteLength
    return part
  })
}

/** The sub-shards: links whose name is a slot and nothing more. */
function shardParts (block: Block, { level }: Part): Part[] {
  if (level > MAX_SHARD_LEVELS) throw tooDeep(block.cid, MAX_SHARD_LEVELS)
  const { links, data } = decodeDagPb(block.bytes)
  const { fanout = 0 } = decodeUnixFs(data ?? new Uint8Array())
  const slotLength = (fanout - 1).toString(16).length
  return links.filter(({ name }) => name.byteLength === slotLength).map(({ cid }) => ({ cid, level: level + 1, start: 0, byteLength: 0 }))
}

function tooDeep (cid: CID, maxLevels: number): HoldfastError {
  return new HoldfastError('LIMIT', `Content is nested deeper than ${maxLevels} levels at ${cid}`, { cid: cid.toString() })
}
