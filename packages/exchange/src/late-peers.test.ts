/** Peers that a session learns of late: connected, but not ready, or not there when everything was asked for. */
import { MemoryBlockstore } from '@holdfast/blockstore'
import { silentLogger } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openExchange } from './exchange.ts'
import { blocksOf, connectNodes, NO_ROUTING, openTestNode, treeOf } from './nodes.test.ts'
import { until } from './raw-peer.test.ts'
import { openTcpHost } from './tcp-host.test.ts'

const MIB = 1024 * 1024

test('a peer that listens before it speaks Bitswap is asked again soon, while somebody waits', async () => {
  await using opened = new AsyncDisposableStack()
  const fetcher = opened.use(await openTestNode())
  const host = opened.use(await openTcpHost('late'))
  const blocks = new MemoryBlockstore()
  const [block] = await blocksOf(1, 100)
  await blocks.put(block)
  await fetcher.host.connect(host.address)
  // Far below what a connected peer that cannot be sent to is left alone for in the end.
  using session = fetcher.exchange.openSession(block.cid, { stallMs: 20_000 })
  const found = session.get(block.cid)
  // It was asked in vain: it is nobody's partner until it is tried again.
  await until(() => fetcher.exchange.stats().peerCount === 0)
  opened.use(await openExchange({ host, routing: NO_ROUTING, blocks, log: silentLogger }))
  assert.ok((await found)?.cid.equals(block.cid))
})

test('a holder that connects when all was asked of a slow one takes its part', async () => {
  await using opened = new AsyncDisposableStack()
  const { root, blocks } = await treeOf(12, MIB / 4)
  const slow = opened.use(await openTestNode())
  const late = opened.use(await openTestNode())
  for (const { blocks: store } of [slow, late]) await store.putMany(blocks)
  const fetcher = opened.use(await openTestNode({ lineTo: (peer) => peer === slow.host.peer ? { delayMs: 5, bytesPerSecond: MIB / 2 } : { delayMs: 5 } }))
  await connectNodes(fetcher, slow)
  using session = fetcher.exchange.openSession(root.cid, { walk: true })
  await session.get(root.cid)
  const reading = Promise.all(blocks.map(async ({ cid }) => await session.get(cid)))
  await until(() => fetcher.exchange.stats().receivedBlockCount > 2)
  await connectNodes(fetcher, late)
  await reading
  assert.ok(late.exchange.stats().sentBlockCount > 0)
})
