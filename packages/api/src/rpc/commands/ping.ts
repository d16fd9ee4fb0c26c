/**
 * `ping`, in the lines of Kubo.
 *
 * @see kubo core/commands/ping.go
 */
import { HoldfastError, isHoldfastError } from '@holdfast/core'
import { pingPeer } from '@holdfast/network'
import { setTimeout as sleep } from 'node:timers/promises'
import { callerMistake } from '../rpc-request.ts'
import { type RpcCall, type RpcCommand, rpcCommand } from '../rpc-command.ts'

const DEFAULT_COUNT = 10

/** Time from one ping to the next, in milliseconds. */
const INTERVAL_MS = 1000

const NANOSECONDS_PER_MS = 1e6

type Caller = Pick<RpcCall, 'node' | 'signal' | 'reply'>

/** Pings a peer a number of times, a second apart. It fails when no ping was answered. */
export const ping: RpcCommand = rpcCommand({
  args: { names: ['peer ID'], repeats: true },
  options: { count: ['int', 'n'] },

  async run (call) {
    const { node, args, options: { count = DEFAULT_COUNT }, signal, reply } = call
    if (args.length !== 1) throw callerMistake('One peer is pinged at a time')
    if (count < 1) throw callerMistake(`ping count must be greater than 0, was ${count}`)
    const peer = peerIn(args[0] ?? '')
    if (peer === node.describe().peerId) throw new HoldfastError('INVALID', "can't ping self")
    if (!node.host.isConnected(peer)) await lookUp(call, { peer, address: args[0] ?? '' })
    await reply.emit({ Success: true, Time: 0, Text: `PING ${peer}.` })
    const times: number[] = []
    for (let sent = 0; sent < count; sent++) {
      // The timer rejects with an error of its own; ours says why the call ended.
      if (sent > 0) await sleep(INTERVAL_MS, undefined, { signal }).catch(() => { signal.throwIfAborted() })
      times.push(...await pingOnce(call, peer))
    }
    if (times.length === 0) throw new HoldfastError('UNAVAILABLE', `ping failed: ${peer} did not answer`, { peer })
    const averageMs = times.reduce((sum, ms) => sum + ms, 0) / times.length
    await reply.emit({ Success: true, Time: 0, Text: `Average latency: ${averageMs.toFixed(2)}ms` })
  }
})

/** A peer that cannot be reached fails the call here, before its first line: many clients do not read the trailer of a later failure. */
async function lookUp ({ node, signal, reply }: Caller, { peer, address }: { peer: string, address: string }): Promise<void> {
  await node.host.connect(address, { signal })
  await reply.emit({ Success: true, Time: 0, Text: `Looking up peer ${peer}` })
}

async function pingOnce ({ node, signal, reply }: Caller, peer: string): Promise<[ms: number] | []> {
  try {
    const ms = await pingPeer(node.host, peer, { signal })
    await reply.emit({ Success: true, Time: Math.round(ms * NANOSECONDS_PER_MS), Text: '' })
    return [ms]
  } catch (err) {
    signal.throwIfAborted()
    if (!isHoldfastError(err)) throw err
    await reply.emit({ Success: false, Time: 0, Text: `Ping error: ${err.message}` })
    return []
  }
}

/** A peer is named by its id or by an address that ends with it. */
function peerIn (text: string): string {
  return text.startsWith('/') ? text.split('/').at(-1) ?? '' : text
}
