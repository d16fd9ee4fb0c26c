import { refs as tellRefs } from '../../handlers/refs.ts'
import type { EventOf } from '../../operations.ts'
import { callerMistake } from '../rpc-request.ts'
import { type RpcCommand, rpcCommand } from '../rpc-command.ts'
import { callExchange } from './call-exchange.ts'

/** Tells the links below some roots, as Kubo writes them. */
export const refs: RpcCommand = rpcCommand({
  args: { names: ['ipfs-path'], repeats: true },
  options: { format: ['string'], edges: ['bool', 'e'], unique: ['bool', 'u'], recursive: ['bool', 'r'], 'max-depth': ['int'] },

  async run (call) {
    const { node, args, options: { edges = false, unique, recursive, format = DEFAULT_FORMAT, 'max-depth': depth = -1 }, reply } = call
    if (edges && format !== DEFAULT_FORMAT) throw callerMistake('using format argument with edges is not allowed')
    if (depth < -1) throw callerMistake('max-depth must be -1 or more')
    reply.asValues()
    await tellRefs(node, { paths: args, recursive, unique, maxDepth: depth === -1 ? undefined : depth }, callExchange<EventOf<'refs'>>(call, async (event) => {
      if ('ref' in event) await reply.emit({ Ref: written(edges ? EDGES_FORMAT : format, event.ref), Err: '' })
      else if ('unreachable' in event) await reply.emit({ Ref: '', Err: event.unreachable.reason })
    }))
  }
})

const DEFAULT_FORMAT = '<dst>'
const EDGES_FORMAT = '<src> -> <dst>'

function written (format: string, { from, cid, name }: { from: string, cid: string, name: string }): string {
  const words: Readonly<Record<string, string>> = { '<src>': from, '<dst>': cid, '<linkname>': name }
  return format.replaceAll(/<src>|<dst>|<linkname>/g, (word) => words[word] ?? word)
}

/** Tells every block that lies here, as a CIDv1 with the raw codec: the store knows bytes by their multihash. */
export const refsLocal: RpcCommand = rpcCommand({
  async run ({ node, signal, reply }) {
    reply.asValues()
    for await (const cid of node.blocks.list({ signal })) await reply.emit({ Ref: cid.toString(), Err: '' })
  }
})
