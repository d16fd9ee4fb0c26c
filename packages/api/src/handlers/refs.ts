import type { BlockReader } from '@holdfast/blockstore'
import { CODECS, decodeDagPb, HoldfastError, isHoldfastError, linksOf, multihashKey } from '@holdfast/core'
import { DEFAULT_MAX_DEPTH, DigestSet, requireBlock } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import type { ApiNode } from '../api-node.ts'
import type { Exchange } from '../exchange.ts'
import type { ArgsOf, EventOf } from '../operations.ts'
import { locateBlock } from './read.ts'

/** Links of one block, and how far they were followed. */
interface Frame {
  readonly from: CID
  readonly links: ReadonlyArray<{ readonly cid: CID, readonly name: string }>
  index: number
}

/**
 * Tells the links below some roots, depth first; with `unique` each CID once.
 *
 * A block that cannot be had ends its root with an event that says why: the other roots follow.
 */
export async function refs (node: ApiNode, { paths, recursive = false, unique = false, maxDepth }: ArgsOf<'refs'>, exchange: Exchange<EventOf<'refs'>>): Promise<void> {
  const { signal } = exchange
  const walk: RefsWalk = {
    maxDepth: recursive ? Math.min(maxDepth ?? DEFAULT_MAX_DEPTH, DEFAULT_MAX_DEPTH) : 1,
    seen: unique ? seenLinks(recursive && maxDepth !== undefined) : undefined,
    isHere: async (cid) => !recursive || await node.blocks.has(cid, { signal }),
    signal
  }
  for (const path of paths) {
    const { cid: root, blocks } = await locateBlock(node, path, exchange, { walk: recursive })
    using _session = blocks
    try {
      for await (const { from, link: { cid, name } } of linksBelow(blocks, root, walk)) await exchange.emit({ ref: { from: from.toString(), cid: cid.toString(), name } })
    } catch (err) {
      signal.throwIfAborted()
      if (!isHoldfastError(err)) throw err
      await exchange.emit({ unreachable: { path, reason: err.message } })
    }
  }
}

interface RefsWalk {
  readonly maxDepth: number
  readonly seen: SeenLinks | undefined
  /** Whether a leaf needs no fetching: who asks for all links of a DAG wants to have it, as with Kubo. */
  isHere(cid: CID): Promise<boolean>
  readonly signal: AbortSignal
}

async function * linksBelow (blocks: BlockReader, root: CID, { maxDepth, seen, isHere, signal }: RefsWalk): AsyncIterable<{ readonly from: CID, readonly link: Frame['links'][number] }> {
  const frameOf = async (from: CID): Promise<Frame> => ({ from, index: 0, links: namedLinks(await requireBlock(blocks, from, { signal })) })
  const open = maxDepth === 0 ? [] : [await frameOf(root)]
  for (let frame = open.at(-1); frame !== undefined; frame = open.at(-1)) {
    signal.throwIfAborted()
    const link = frame.links[frame.index++]
    if (link === undefined) {
      open.pop()
      continue
    }
    const visit = seen?.visit(link.cid, open.length) ?? { isNew: true, leadsFurther: true }
    if (visit.isNew && link.cid.code === CODECS.raw && !await isHere(link.cid)) await requireBlock(blocks, link.cid, { signal })
    if (visit.isNew) yield { from: frame.from, link }
    if (visit.leadsFurther && open.length < maxDepth && link.cid.code !== CODECS.raw) open.push(await frameOf(link.cid))
  }
}

/** Most links that are told once each where there is a deepest depth: some 150 bytes of memory for each. */
const MAX_UNIQUE_LINKS = 262_144

/** Reports of a link at a depth whether it was not told yet, and whether what is below it was not. */
interface SeenLinks {
  visit(cid: CID, depth: number): { readonly isNew: boolean, readonly leadsFurther: boolean }
}

/** @param byDepth Whether there is a deepest depth: a link that comes again higher up leads to more then. */
function seenLinks (byDepth: boolean): SeenLinks {
  if (byDepth) return linksByDepth()
  const seen = new DigestSet()
  return {
    visit: (cid) => {
      const isNew = seen.add(cid)
      return { isNew, leadsFurther: isNew }
    }
  }
}

function linksByDepth (): SeenLinks {
  const depths = new Map<string, number>()
  return {
    visit: (cid, depth) => {
      const key = multihashKey(cid)
      const before = depths.get(key)
      const leadsFurther = before === undefined || depth < before
      if (before === undefined && depths.size >= MAX_UNIQUE_LINKS) throw new HoldfastError('LIMIT', `More than ${MAX_UNIQUE_LINKS} different links; ask without unique or max-depth, or for a part of the DAG`)
      if (leadsFurther) depths.set(key, depth)
      return { isNew: before === undefined, leadsFurther }
    }
  }
}

/** The links of a block with their names, which only dag-pb has. */
function namedLinks (block: Awaited<ReturnType<typeof requireBlock>>): Frame['links'] {
  if (block.cid.code === CODECS.dagPb) return decodeDagPb(block.bytes).links.map(({ cid, name }) => ({ cid, name: Buffer.from(name).toString() }))
  return linksOf(block).map((cid) => ({ cid, name: '' }))
}
