import type { BlockReader } from '@holdfast/blockstore'
import { CODECS, decodeDagPb, HoldfastError, isHoldfastError, linksOf, multihashKey } from '@holdfast/core'
import { DEFAULT_MAX_DEPTH, DigestSet, requireBlock } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import { locateBlock } from '../../handlers/read.ts'
import { callerMistake } from '../rpc-request.ts'
import { type RpcCommand, rpcCommand } from '../rpc-command.ts'
import { callExchange } from './call-exchange.ts'

/** Links of one block, and how far they were followed. */
interface Frame {
  readonly from: CID
  readonly links: ReadonlyArray<{ readonly cid: CID, readonly name: string }>
  index: number
}

/**
 * Tells the links below some roots, depth first; with `unique` each CID once.
 *
 * A block that cannot be had ends its root with a line that says why, as Kubo does: the other roots follow.
 */
export const refs: RpcCommand = rpcCommand({
  args: { names: ['ipfs-path'], repeats: true },
  options: { format: ['string'], edges: ['bool', 'e'], unique: ['bool', 'u'], recursive: ['bool', 'r'], 'max-depth': ['int'] },

  async run (call) {
    const { node, args, options: { edges = false, unique = false, recursive = false, format = DEFAULT_FORMAT, 'max-depth': depth = -1 }, signal, reply } = call
    if (edges && format !== DEFAULT_FORMAT) throw callerMistake('using format argument with edges is not allowed')
    const walk = { maxDepth: recursive ? depthOf(depth) : 1, seen: unique ? seenLinks(recursive && depth >= 0) : undefined, isHere: async (cid: CID) => !recursive || await node.blocks.has(cid, { signal }), signal }
    reply.asValues()
    for (const path of args) {
      const { cid, blocks } = await locateBlock(node, path, callExchange(call), { walk: recursive })
      using _session = blocks
      try {
        for await (const { from, link } of linksBelow(blocks, cid, walk)) await reply.emit({ Ref: written(edges ? EDGES_FORMAT : format, from, link), Err: '' })
      } catch (err) {
        signal.throwIfAborted()
        if (!isHoldfastError(err)) throw err
        await reply.emit({ Ref: '', Err: err.message })
      }
    }
  }
})

const DEFAULT_FORMAT = '<dst>'
const EDGES_FORMAT = '<src> -> <dst>'

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

function depthOf (maxDepth: number): number {
  if (maxDepth < -1) throw callerMistake('max-depth must be -1 or more')
  return maxDepth === -1 ? DEFAULT_MAX_DEPTH : Math.min(maxDepth, DEFAULT_MAX_DEPTH)
}

/** The links of a block with their names, which only dag-pb has. */
function namedLinks (block: Awaited<ReturnType<typeof requireBlock>>): Frame['links'] {
  if (block.cid.code === CODECS.dagPb) return decodeDagPb(block.bytes).links.map(({ cid, name }) => ({ cid, name: Buffer.from(name).toString() }))
  return linksOf(block).map((cid) => ({ cid, name: '' }))
}

function written (format: string, from: CID, { cid, name }: Frame['links'][number]): string {
  const words: Readonly<Record<string, string>> = { '<src>': from.toString(), '<dst>': cid.toString(), '<linkname>': name }
  return format.replaceAll(/<src>|<dst>|<linkname>/g, (word) => words[word] ?? word)
}

/** Tells every block that lies here, as a CIDv1 with the raw codec: the store knows bytes by their multihash. */
export const refsLocal: RpcCommand = rpcCommand({
  async run ({ node, signal, reply }) {
    reply.asValues()
    for await (const cid of node.blocks.list({ signal })) await reply.emit({ Ref: cid.toString(), Err: '' })
  }
})
