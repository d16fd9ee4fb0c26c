import { type RpcCommand, rpcCommand } from '../rpc-command.ts'

/** Tells what happens in the node from now on, a line each, until the caller goes. A caller that does not keep up is cut off. */
export const events: RpcCommand = rpcCommand({
  async run ({ node, signal, reply }) {
    const events = node.events.listen({ signal, onCut: () => { reply.cut() } })
    reply.asValues()
    reply.flush()
    for await (const event of events) await reply.emit(event)
  }
})
