import { HoldfastError, isErrorCode, parseCid } from '@holdfast/core'
import { walkDag } from '@holdfast/dag'
import { findProviders, provide as provideHandler } from '../../handlers/network.ts'
import { callerMistake } from '../rpc-request.ts'
import { type RpcCommand, rpcCommand } from '../rpc-command.ts'
import { callExchange } from './call-exchange.ts'

/** Numbers of go-libp2p for what happened in a query. @see go-libp2p core/routing/query.go */
const FINAL_PEER = 2
const QUERY_ERROR = 3
const PROVIDER = 4

interface QueryEvent {
  readonly ID: string
  readonly Type: number
  readonly Responses: ReadonlyArray<{ readonly ID: string, readonly Addrs: readonly string[] }> | null
  readonly Extra: string
}

function queryEvent (type: number, { peer, addresses = [], extra = '' }: { peer?: string, addresses?: readonly string[], extra?: string }): QueryEvent {
  return { ID: '', Type: type, Responses: peer === undefined ? null : [{ ID: peer, Addrs: addresses }], Extra: extra }
}

export const findprovs: RpcCommand = rpcCommand({
  args: { names: ['key'] },
  options: { verbose: ['bool', 'v'], 'num-providers': ['int', 'n'] },
  async run (call) {
    const { node, args: [cid = ''], options: { 'num-providers': limit = 20 }, reply } = call
    if (limit < 1) throw callerMistake('number of providers must be greater than 0')
    reply.asValues()
    try {
      await findProviders(node, { cid, limit }, callExchange(call, async ({ peer, addresses }) => { await reply.emit(queryEvent(PROVIDER, { peer, addresses })) }))
    } catch (err) {
      // Kubo ends an empty search without a word.
      if (!isErrorCode(err, 'NOT_FOUND')) throw err
    }
  }
})

export const findpeer: RpcCommand = rpcCommand({
  args: { names: ['peerid'] },
  options: { verbose: ['bool', 'v'] },
  async run ({ node, args: [peer = ''], signal, reply }) {
    const found = await node.findPeer(peer, { signal })
    if (found === undefined) throw new HoldfastError('NOT_FOUND', `routing: not found: nobody knows where peer ${peer.slice(0, 128)} is`)
    await reply.emit(queryEvent(FINAL_PEER, found))
  }
})

/** Announces blocks that lie here, with `recursive` also all below them; resolves when those who keep the records have answered. */
export const provide: RpcCommand = rpcCommand({
  args: { names: ['key'], repeats: true },
  options: { verbose: ['bool', 'v'], recursive: ['bool', 'r'] },
  async run (call) {
    const { node, args, options: { recursive = false }, signal, reply } = call
    reply.asValues()
    const announce = async (cid: string): Promise<void> => {
      await provideHandler(node, { cid }, callExchange(call, async ({ acceptedCount, failures }) => {
        if (acceptedCount === 0) throw new HoldfastError('UNAVAILABLE', `Nobody took the announcement of ${cid}: ${failures.join('; ') || 'no peer is known'}`)
        for (const failure of failures) await reply.emit(queryEvent(QUERY_ERROR, { extra: failure }))
      }))
    }
    if (!recursive) for (const cid of args) await announce(cid)
    // Only what lies here: the walk fails at a block that does not, as the announcement of it would.
    else for await (const { cid } of walkDag(node.blocks, args.map((text) => parseCid(text)), { signal })) await announce(cid.toString())
  }
})
