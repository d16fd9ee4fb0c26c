/** Peers that lie, stall or flood, each next to an honest one that the fetch must complete from. */
import type { Block } from '@holdfast/core'
import { walkDag } from '@holdfast/dag'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import { MAX_STRIKES } from './bitswap/receiver.ts'
import { MAX_MESSAGE_BYTES } from './bitswap/limits.ts'
import { blocksOf, connectNodes, openTestNode, routingTo, type TestNode, treeOf } from './nodes.test.ts'
import { openRawPeer, payloadOf, type RawPeerOptions, until } from './raw-peer.test.ts'

const MIB = 1024 * 1024

/** Fetches a tree from an honest holder while a peer of the given kind is connected, which was there first. */
async function fetchNextTo (options: RawPeerOptions, check: (node: TestNode, elapsedMs: number) => void): Promise<void> {
  await using holder = await openTestNode()
  await using fetcher = await openTestNode()
  const { root, blocks } = await treeOf(40, 100_000)
  await holder.blocks.putMany(blocks)
  await using _liar = await openRawPeer(fetcher, options)
  await connectNodes(fetcher, holder)
  const start = performance.now()
  using session = fetcher.exchange.openSession(root.cid, { walk: true })
  const found = await Array.fromAsync(walkDag(session, [root.cid]))
  assert.deepEqual(found.map(({ cid }) => cid.toString()), blocks.map(({ cid }) => cid.toString()))
  check(fetcher, performance.now() - start)
}

test('wrong bytes are refused, the liar is left alone and another peer is used (T2.4-e)', async () => {
  let lieCount = 0
  await fetchNextTo({
    async onMessage ({ wants }, peer) {
      const lies = wants.filter(({ isCancel }) => !isCancel)
      lieCount += lies.length
      await peer.send({
        presences: lies.map(({ cid }) => ({ cid, type: 'have' })),
        blocks: lies.map(({ cid }, index) => ({ ...payloadOf({ cid, bytes: Uint8Array.of(index) } as Block) }))
      })
    }
  }, (node) => {
    const { wrongBlockCount, receivedBlockCount } = node.exchange.stats()
    assert.ok(lieCount > 0)
    assert.ok(wrongBlockCount > 0 && wrongBlockCount <= MAX_STRIKES, `${wrongBlockCount} lies were listened to`)
    assert.equal(receivedBlockCount, 41)
  })
})

/** Says HAVE to everything and sends nothing. */
const HAVE_LIAR: RawPeerOptions = {
  async onMessage ({ wants }, peer) {
    await peer.send({ presences: wants.filter(({ isCancel }) => !isCancel).map(({ cid }) => ({ cid, type: 'have' })) })
  }
}

test('a peer that says HAVE and never sends costs a fraction of a second, once', async () => {
  await fetchNextTo(HAVE_LIAR, (_node, elapsedMs) => { assert.ok(elapsedMs < 900, `${elapsedMs} ms`) })
})

test('a provider that is found while a liar owes the block is asked soon, and the liar last from then on', async () => {
  await using holder = await openTestNode()
  await using fetcher = await openTestNode({ routing: routingTo(holder) })
  const { root, blocks } = await treeOf(40, 100_000)
  const others = await treeOf(40, 90_000)
  await holder.blocks.putMany([...blocks, ...others.blocks])
  await using liar = await openRawPeer(fetcher, HAVE_LIAR)
  const fetchMs: number[] = []
  for (const { cid } of [root, others.root]) {
    const start = performance.now()
    using session = fetcher.exchange.openSession(cid, { walk: true })
    assert.equal((await Array.fromAsync(walkDag(session, [cid]))).length, 41)
    fetchMs.push(Math.round(performance.now() - start))
  }
  assert.ok(liar.wants.length > 0)
  assert.ok((fetchMs[0] ?? 0) < 900 && (fetchMs[1] ?? 0) < 600, `${fetchMs} ms`)
})

test('a provider that says nothing at all is found out within the second', async () => {
  await using fetcher = await openTestNode({ routing: { async * findProviders () { yield { peer: deaf.host.peer, addresses: [] } } } })
  await using holder = await openTestNode()
  const { root, blocks } = await treeOf(40, 100_000)
  await holder.blocks.putMany(blocks)
  await using deaf = await openRawPeer(fetcher, { deaf: true })
  using session = fetcher.exchange.openSession(root.cid, { walk: true })
  const start = performance.now()
  const found = Array.fromAsync(walkDag(session, [root.cid]))
  await until(() => session.report.peersAsked.length > 0)
  await connectNodes(fetcher, holder)
  assert.equal((await found).length, 41)
  const elapsedMs = performance.now() - start
  assert.ok(elapsedMs < 2000, `${elapsedMs} ms`)
})

test('a peer that says nothing at all does not hold up a fetch', async () => {
  await fetchNextTo({ deaf: true }, (_node, elapsedMs) => { assert.ok(elapsedMs < 1000, `${elapsedMs} ms`) })
})

test('a message above 4 MiB ends its stream and nothing else', async () => {
  await using holder = await openTestNode()
  await using fetcher = await openTestNode()
  await connectNodes(fetcher, holder)
  await using liar = await openRawPeer(fetcher)
  await liar.sendBytes(Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x0f))
  const stream = await liar.stream()
  await assert.rejects(Array.fromAsync(stream.read()))
  const [block] = await blocksOf(1, 1000)
  await holder.blocks.put(block)
  using session = fetcher.exchange.openSession(block.cid)
  assert.ok(await session.get(block.cid))
})

test('blocks that nobody asked for are dropped without a hash (T2.4-d)', async () => {
  await using holder = await openTestNode()
  await using fetcher = await openTestNode()
  await connectNodes(fetcher, holder)
  await using flood = await openRawPeer(fetcher)
  const unasked = await blocksOf(3, MIB)
  for (let count = 0; count < 200; count++) await flood.send({ blocks: unasked.map(payloadOf) })
  await until(() => fetcher.exchange.stats().unrequestedBlockCount === 600)
  const { hashedBlockCount } = fetcher.exchange.stats()
  assert.equal(hashedBlockCount, 0)
  assert.deepEqual(await fetcher.blocks.usage(), { blockCount: 0, byteLength: 0 })
})

test('a right block that was asked of another peer is not taken from one that was not asked', async () => {
  await using fetcher = await openTestNode()
  const [wanted, other] = await blocksOf(2, 1000)
  await using silent = await openRawPeer(fetcher)
  using session = fetcher.exchange.openSession(wanted.cid, { stallMs: 400 })
  const fetched = session.get(wanted.cid)
  await until(() => silent.wants.length > 0)
  await using pusher = await openRawPeer(fetcher)
  await until(() => pusher.wants.length > 0)
  await pusher.send({ blocks: [payloadOf(other)] })
  await assert.rejects(fetched)
  assert.equal(fetcher.exchange.stats().wrongBlockCount, 1)
  assert.equal((await fetcher.blocks.usage()).blockCount, 0)
})

test('a message that is dripped takes no more memory than came, and messages that never end are bounded', async () => {
  await using node = await openTestNode()
  await using drip = await openRawPeer(node)
  const header = Uint8Array.of(0x80, 0x80, 0x80, 2) // 4 MiB.
  const streams = await Promise.all(Array.from({ length: 4 }, async () => await drip.host.openStream(node.host.peer, ['/ipfs/bitswap/1.2.0'])))
  const ended = streams.map(async (stream) => {
    try {
      await Array.fromAsync(stream.read())
    } catch { /* It was aborted, which is what is waited for. */ }
  })
  for (const stream of streams) void stream.write([header, new Uint8Array(MAX_MESSAGE_BYTES - 1)]).catch(() => {})
  await Promise.race(ended)
})

test('an honest fetch goes on while want-lists without end come in', async () => {
  await using holder = await openTestNode()
  await using fetcher = await openTestNode()
  await using flood = await openRawPeer(fetcher)
  const { root, blocks } = await treeOf(40, 100_000)
  await holder.blocks.putMany(blocks)
  await connectNodes(fetcher, holder)
  const unknown = await blocksOf(1000, 40, 5)
  const wants = unknown.map(({ cid }) => ({ cid, priority: 1, isCancel: false, type: 'block' as const, sendDontHave: true }))
  let isOver = false
  const flooding = (async () => {
    for (; !isOver; await nextTurn()) await flood.send({ wants })
  })()
  using session = fetcher.exchange.openSession(root.cid, { walk: true })
  assert.equal((await Array.fromAsync(walkDag(session, [root.cid]))).length, 41)
  isOver = true
  await flooding
})

test('a holder that goes away in the middle is replaced by another', async () => {
  await using first = await openTestNode()
  await using second = await openTestNode()
  await using fetcher = await openTestNode()
  const { root, blocks } = await treeOf(300, 100_000)
  await Promise.all([first, second].map(async ({ blocks: store }) => { await store.putMany(blocks) }))
  await connectNodes(fetcher, first, second)
  using session = fetcher.exchange.openSession(root.cid)
  let count = 0
  for await (const _ of walkDag(session, [root.cid])) if (++count === 50) await fetcher.host.disconnect(first.host.peer)
  assert.equal(count, 301)
})

test('the bytes of a DAG come from all who hold it, each block once', async () => {
  await using fetcher = await openTestNode()
  const holders = await Promise.all(Array.from({ length: 4 }, async () => await openTestNode()))
  const { root, blocks } = await treeOf(400, 100_000)
  for (const holder of holders) await holder.blocks.putMany(blocks)
  await connectNodes(fetcher, ...holders)
  using session = fetcher.exchange.openSession(root.cid, { walk: true })
  assert.equal((await Array.fromAsync(walkDag(session, [root.cid]))).length, 401)
  await delay(50)
  const sent = holders.map(({ exchange }) => exchange.stats().sentBlockCount)
  assert.ok(sent.every((count) => count > 20), `shares: ${sent}`)
  assert.ok(sent.reduce((sum, count) => sum + count) <= 401 * 1.02, `${sent} blocks were sent for 401`)
  for (const holder of holders) await holder[Symbol.asyncDispose]()
})

test('a peer that lost a want is asked again', async () => {
  await using fetcher = await openTestNode()
  const [block] = await blocksOf(1, 1000)
  let askedCount = 0
  await using _forgetful = await openRawPeer(fetcher, {
    async onMessage ({ wants }, peer) {
      if (wants.some(({ isCancel, type }) => !isCancel && type === 'block') && ++askedCount > 1) await peer.send({ blocks: [payloadOf(block)] })
    }
  })
  using session = fetcher.exchange.openSession(block.cid)
  assert.ok(await session.get(block.cid))
  assert.equal(askedCount, 2)
})
