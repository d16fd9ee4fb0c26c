import { isErrorCode } from '@holdfast/core'
import type { PeerStream } from '@holdfast/network'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { blocksOf, openTestNode } from '../nodes.test.ts'
import { payloadOf, until, wantOf } from '../raw-peer.test.ts'
import { openTcpHost, type TcpHost } from '../tcp-host.test.ts'
import { readFrames } from './frames.ts'
import { type BitswapMessage, decodeMessage } from './message.ts'
import { Outbox } from './outbox.ts'
import { BITSWAP_PROTOCOLS } from './protocols.ts'

interface Pair {
  readonly from: TcpHost
  readonly to: TcpHost
  readonly outbox: Outbox
  /** What arrived. */
  readonly messages: BitswapMessage[]
  /** Streams that ended at the other end, by whether all of them came whole. */
  readonly ended: PeerStream[]
  readonly failures: unknown[]
}

async function openPair (context: TestContext): Promise<Pair> {
  const [from, to] = [await openTcpHost('from'), await openTcpHost('to')]
  context.after(async () => { for (const host of [from, to]) await host[Symbol.asyncDispose]() })
  const messages: BitswapMessage[] = []
  const ended: PeerStream[] = []
  const failures: unknown[] = []
  await to.handle(BITSWAP_PROTOCOLS, async (stream) => {
    using held = to.holdBytes(stream.peer)
    for await (const bytes of readFrames(stream.read(), { held })) messages.push(decodeMessage(bytes))
    ended.push(stream)
  })
  await from.connect(to.address)
  const outbox = new Outbox(from, to.peer, { onStream: async () => {}, onFailure: (err) => { failures.push(err) } })
  return { from, to, outbox, messages, ended, failures }
}

test('what is queued in one turn goes out in one message, over a stream that stays', async (context) => {
  const { from, outbox, messages } = await openPair(context)
  const blocks = await blocksOf(10, 1000)
  for (const { cid } of blocks) outbox.want(wantOf(cid))
  outbox.presence(blocks[0].cid, 'have')
  outbox.sendBlock(payloadOf(blocks[0]), () => {})
  await until(() => messages.length === 1)
  assert.deepEqual([messages[0]?.wants.length, messages[0]?.presences.length, messages[0]?.blocks.length], [10, 1, 1])
  outbox.want(wantOf(blocks[0].cid))
  await until(() => messages.length === 2)
  assert.equal(from.openedStreams.length, 1)
})

test('a stream that was prepared carries the first message; that none could be is told when there is one', async (context) => {
  const { from, to, outbox, messages, failures } = await openPair(context)
  const [{ cid }] = await blocksOf(1, 100)
  outbox.prepare()
  outbox.prepare()
  await until(() => from.openedStreams.length === 1)
  outbox.want(wantOf(cid))
  await until(() => messages.length === 1)
  assert.equal(from.openedStreams.length, 1)

  const stranger = new Outbox(to, 'nobody', { onStream: async () => {}, onFailure: (err) => { failures.push(err) } })
  stranger.prepare()
  await new Promise(setImmediate)
  assert.deepEqual(failures, [])
  stranger.want(wantOf(cid))
  await until(() => failures.length === 1)
})

test('a node that was asked opens its own stream before it has read what for', async (context) => {
  const serving = await openTestNode()
  context.after(async () => { await serving[Symbol.asyncDispose]() })
  const asking = await openTcpHost('asking')
  context.after(async () => { await asking[Symbol.asyncDispose]() })
  let openedCount = 0
  await asking.handle(BITSWAP_PROTOCOLS, async () => { openedCount++ })
  await asking.connect(serving.host.address)
  await until(() => serving.exchange.stats().peerCount === 1)
  await asking.openStream(serving.host.peer, BITSWAP_PROTOCOLS)
  await until(() => openedCount === 1)
})

test('of several wants and cancels of one CID the latest is sent', async (context) => {
  const { outbox, messages } = await openPair(context)
  const [{ cid }] = await blocksOf(1, 100)
  outbox.want(wantOf(cid))
  outbox.cancel(cid)
  outbox.want(wantOf(cid, { type: 'have' }))
  await until(() => messages.length === 1)
  assert.deepEqual(messages[0]?.wants.map(({ type, isCancel }) => ({ type, isCancel })), [{ type: 'have', isCancel: false }])
})

test('a stream without messages is closed before the peer would drop it, and the next message opens another', async (context) => {
  const { from, outbox, messages, ended } = await openPair(context)
  const [one, two] = await blocksOf(2, 100)
  outbox.want(wantOf(one.cid))
  await until(() => messages.length === 1)
  const sentAtMs = performance.now()
  await until(() => ended.length === 1)
  const idleMs = performance.now() - sentAtMs
  // Helia drops a stream that is idle for 10 s, with what is written to it then.
  assert.ok(idleMs > 3000 && idleMs < 9000, `closed after ${idleMs} ms`)
  outbox.want(wantOf(two.cid))
  await until(() => messages.length === 2)
  assert.equal(from.openedStreams.length, 2)
})

test('each queued block is told of once: sent, or dropped with the outbox', async (context) => {
  const { outbox, messages } = await openPair(context)
  const [one, two] = await blocksOf(2, 1000)
  const told: string[] = []
  outbox.sendBlock(payloadOf(one), (isSent) => { told.push(`one ${isSent}`) })
  await until(() => messages.length === 1 && told.length === 1)
  outbox.sendBlock(payloadOf(two), (isSent) => { told.push(`two ${isSent}`) })
  outbox[Symbol.dispose]()
  assert.deepEqual(told, ['one true', 'two false'])
})

test('a peer that is not connected is a failure, told once, and what was queued is dropped', async (context) => {
  const { from, to, failures } = await openPair(context)
  const outbox = new Outbox(from, 'stranger', { onStream: async () => {}, onFailure: (err) => { failures.push(err) } })
  const [block] = await blocksOf(1, 100)
  const told: boolean[] = []
  outbox.sendBlock(payloadOf(block), (isSent) => { told.push(isSent) })
  await until(() => failures.length === 1)
  assert.ok(isErrorCode(failures[0], 'UNAVAILABLE'))
  assert.deepEqual(told, [false])
  assert.ok(from.isConnected(to.peer))
})
