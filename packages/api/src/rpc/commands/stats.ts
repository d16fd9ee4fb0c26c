import { setTimeout as sleep } from 'node:timers/promises'
import { parseDuration } from '../rpc-request.ts'
import { type RpcCommand, rpcCommand } from '../rpc-command.ts'

export const bitswap: RpcCommand = rpcCommand({
  options: { verbose: ['bool', 'v'], human: ['bool'] },
  async run ({ node, reply }) {
    const stats = node.exchangeStats()
    await reply.one({
      Wantlist: [],
      Peers: node.host.peers().map(({ peer }) => peer),
      BlocksReceived: stats.receivedBlockCount,
      DataReceived: stats.receivedByteLength,
      DupBlksReceived: stats.duplicateBlockCount,
      DupDataReceived: stats.duplicateByteLength,
      MessagesReceived: 0,
      BlocksSent: stats.sentBlockCount,
      DataSent: stats.sentByteLength
    })
  }
})

/** Shortest time between two lines of `stats bw`, in milliseconds. */
const MIN_INTERVAL_MS = 100

/** Tells what was sent and received since the start; rates are those since the line before. */
export const bw: RpcCommand = rpcCommand({
  options: { peer: ['string', 'p'], proto: ['string', 't'], poll: ['bool'], interval: ['string', 'i'] },
  async run ({ node, options: { peer, proto, poll = false, interval = '1s' }, signal, reply }) {
    const intervalMs = Math.max(MIN_INTERVAL_MS, parseDuration(interval))
    const counted = (): { sentBytes: number, receivedBytes: number } => {
      const { total, byPeer, byProtocol } = node.host.traffic()
      const some = peer !== undefined ? byPeer[peer] : proto !== undefined ? byProtocol[proto] : total
      return some ?? { sentBytes: 0, receivedBytes: 0 }
    }
    let before = { ...counted(), atMs: performance.now() }
    for (let isFirst = true; ; isFirst = false) {
      const now = { ...counted(), atMs: performance.now() }
      const seconds = Math.max(1, now.atMs - before.atMs) / 1000
      await reply.emit({
        TotalIn: now.receivedBytes,
        TotalOut: now.sentBytes,
        RateIn: isFirst ? 0 : (now.receivedBytes - before.receivedBytes) / seconds,
        RateOut: isFirst ? 0 : (now.sentBytes - before.sentBytes) / seconds
      })
      if (!poll) return
      before = now
      // The timer rejects with an error of its own; ours says why the call ended.
      await sleep(intervalMs, undefined, { signal }).catch(() => { signal.throwIfAborted() })
    }
  }
})
