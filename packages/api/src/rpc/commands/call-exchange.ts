import type { Exchange } from '../../exchange.ts'
import type { RpcCall } from '../rpc-command.ts'

async function * nothing (): AsyncIterable<Uint8Array> {}

/** The exchange through which a handler of the door answers a call of the RPC: its events go to `emit`, its content to the reply. */
export function callExchange<Event> ({ signal, reply }: Pick<RpcCall, 'signal' | 'reply'>, emit: (event: Event) => Promise<void> = async () => {}): Exchange<Event> {
  return { signal, body: nothing(), emit, send: async (bytes) => { await reply.bytes(bytes) } }
}
