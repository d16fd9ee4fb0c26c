import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, type Block, CODECS, codecName, decodeIpld, HoldfastError, type Ipld } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import { findInDirectory, isDirectory, linkNamed } from './directory.ts'
import { requireBlock } from './entry.ts'
import { dagPbNodeOf, unixFsNodeOf } from './unixfs-node.ts'

/** Most segments of a path. */
export const MAX_PATH_SEGMENTS = 128

/** Where a path leads. */
export interface Resolution {
  readonly root: CID
  /** The CID at the end of the last link that was followed. */
  readonly cid: CID
  /** The root, and each CID that a segment led to: what `X-Ipfs-Roots` lists. */
  readonly cids: readonly CID[]
  /** The blocks read to get from the root to `cid`, in order and without the block of `cid`; inner shards of a HAMT included. */
  readonly blocks: readonly Block[]
  /** Segments that lead to a value inside of the dag-cbor or dag-json block of `cid`. */
  readonly remainder: readonly string[]
}

/**
 * Follows `segments` from `root` through UnixFS directories and the names of other dag-pb links, and through
 * the maps, lists and links of dag-cbor and dag-json. Symlinks are not followed. The block of the terminus is
 * not read.
 *
 * @throws `NOT_FOUND` with `details.reason` `'no-link'` (`details.name`, `details.at`: the CID without it) or
 * `'no-block'` (`details.cid`); `UNSUPPORTED` for segments below a block whose codec is not traversed; `LIMIT`
 * above `MAX_PATH_SEGMENTS`; `INVALID` for a malformed block.
 */
export async function resolvePath (blocks: BlockReader, root: CID, segments: readonly string[], options: AbortOptions = {}): Promise<Resolution> {
  if (segments.length > MAX_PATH_SEGMENTS) {
    throw new HoldfastError('LIMIT', `Path has ${segments.length} segments; at most ${MAX_PATH_SEGMENTS} are followed`, { root: root.toString(), segmentCount: segments.length })
  }
  const cids = [root]
  const read: Block[] = []
  let cid = root
  let rest = segments
  while (rest.length > 0) {
    options.signal?.throwIfAborted()
    const step = await stepFrom(blocks, cid, rest, options)
    if (step.cid === undefined) break
    read.push(...step.blocks)
    cids.push(step.cid)
    cid = step.cid
    rest = rest.slice(step.segmentCount)
  }
  return { root, cid, cids, blocks: read, remainder: rest }
}

/** How far one block leads: along a link, or, without a CID, to a value inside of the block. */
interface Step {
  readonly cid: CID | undefined
  readonly blocks: readonly Block[]
  readonly segmentCount: number
}

async function stepFrom (blocks: BlockReader, cid: CID, segments: readonly string[], options: AbortOptions): Promise<Step> {
  switch (cid.code) {
    case CODECS.dagPb: return await stepFromDagPb(blocks, cid, segments[0] ?? '', options)
    case CODECS.dagCbor:
    case CODECS.dagJson: return stepFromIpld(await requireBlock(blocks, cid, options), segments)
    case CODECS.raw: throw noLink(cid, segments[0] ?? '')
    default: throw new HoldfastError('UNSUPPORTED', `Cannot follow a path below ${cid}: its codec ${codecName(cid.code)} is not traversed`, { cid: cid.toString(), codec: cid.code })
  }
}

async function stepFromDagPb (blocks: BlockReader, cid: CID, name: string, { signal }: AbortOptions): Promise<Step> {
  const block = await requireBlock(blocks, cid, { signal })
  const node = unixFsNodeOf(block)
  const nameBytes = Buffer.from(name)
  if (node === undefined) {
    const link = linkNamed(dagPbNodeOf(block).links, nameBytes)
    if (link !== undefined) return { cid: link.cid, blocks: [block], segmentCount: 1 }
  } else if (isDirectory(node)) {
    const { link, path } = await findInDirectory(blocks, { block, node }, { name: nameBytes, signal })
    if (link !== undefined) return { cid: link.cid, blocks: path, segmentCount: 1 }
  }
  throw noLink(cid, name)
}

function stepFromIpld (block: Block, segments: readonly string[]): Step {
  let value = decodeIpld(block)
  for (const [index, segment] of segments.entries()) {
    const child = childOf(value, segment)
    if (child === undefined) throw noLink(block.cid, segment)
    const cid = CID.asCID(child)
    if (cid !== null) return { cid, blocks: [block], segmentCount: index + 1 }
    value = child
  }
  return { cid: undefined, blocks: [], segmentCount: segments.length }
}

function childOf (value: Ipld, segment: string): Ipld | undefined {
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array || CID.asCID(value) !== null) return undefined
  if (Array.isArray(value)) return /^(0|[1-9]\d{0,9})$/.test(segment) ? value[Number(segment)] : undefined
  return Object.hasOwn(value, segment) ? Reflect.get(value, segment) : undefined
}

function noLink (at: CID, name: string): HoldfastError {
  return new HoldfastError('NOT_FOUND', `No link named ${JSON.stringify(name.slice(0, 255))} in ${at}`, { reason: 'no-link', name, at: at.toString() })
}
