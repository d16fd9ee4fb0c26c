import { CODECS, decodeDagPb, linksOf } from '@holdfast/core'
import { DEFAULT_MAX_DEPTH, DigestSet, requireBlock } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import { locateBlock } from '../../handlers/read.ts'
import { badRequest } from '../rpc-request.ts'
import { type RpcCommand, rpcCommand } from '../rpc-command.ts'
import { callExchange } from './call-exchange.ts'

/** Links of one block, and how far they were followed. */
interface Frame {
  readonly from: CID
  readonly links: ReadonlyArray<{ readonly cid: CID, readonly name: string }>
  index: number
}

/** Tells the links below some roots, depth first; with `unique` each CID once. */
export const refs: RpcCommand = rpcCommand({
  args: { names: ['ipfs-path'], repeats: true },
  options: { format: ['string'], edges: ['bool', 'e'], unique: ['bool', 'u'], recursive: ['bool', 'r'], 'max-depth': ['int'] },

  async run (call) {
    const { node, args, options, signal, reply } = call
    const { edges = false, unique = false, recursive = false } = options
    const format = edges ? '<src> -> <dst>' : options.format ?? '<dst>'
    if (edges && options.format !== undefined) throw badRequest('using format argument with edges is not allowed')
    const maxDepth = recursive ? depthOf(options['max-depth'] ?? -1) : 1
    reply.asValues()
    const seen = unique ? new DigestSet() : undefined
    for (const path of args) {
      const { cid: root, blocks } = await locateBlock(node, path, callExchange(call), { walk: recursive })
      using _session = blocks
      const frameOf = async (from: CID): Promise<Frame> => ({ from, index: 0, links: namedLinks(await requireBlock(blocks, from, { signal })) })
      const open = maxDepth === 0 ? [] : [await frameOf(root)]
      for (let frame = open.at(-1); frame !== undefined; frame = open.at(-1)) {
        signal.throwIfAborted()
        const link = frame.links[frame.index++]
        if (link === undefined) open.pop()
        else if (seen?.add(link.cid) !== false) {
          await reply.emit({ Ref: written(format, frame.from, link), Err: '' })
          if (open.length < maxDepth && link.cid.code !== CODECS.raw) open.push(await frameOf(link.cid))
        }
      }
    }
  }
})

function depthOf (maxDepth: number): number {
  if (maxDepth < -1) throw badRequest('max-depth must be -1 or more')
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
