/** Sessions that fetch from one peer at the same time. */
import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Line } from './far-host.test.ts'
import { blocksOf, connectNodes, openTestNode, type TestNode } from './nodes.test.ts'
import { openRawPeer, payloadOf, until } from './raw-peer.test.ts'

const MIB = 1024 * 1024

/** Opens a holder and a node that fetches from it over a line of this rate. */
async function openPair (opened: AsyncDisposableStack, line: Line): Promise<{ holder: TestNode, fetcher: TestNode }> {
  const holder = opened.use(await openTestNode())
  const fetcher = opened.use(await openTestNode({ lineTo: () => line }))
  await connectNodes(fetcher, holder)
  return { holder, fetcher }
}

test('sessions that fetch from one peer at once are served in turn', async () => {
  await using opened = new AsyncDisposableStack()
  const { holder, fetcher } = await openPair(opened, { delayMs: 2, bytesPerSecond: 80 * MIB })
  const sets = await Promise.all(Array.from({ length: 4 }, async (_, seed) => await blocksOf(64, MIB / 4, seed)))
  for (const blocks of sets) await holder.blocks.putMany(blocks)
  const counts = sets.map(() => 0)
  let countsAtFirstEnd: number[] | undefined
  // Turns are for those who wait: who finds the holder before the others has the line to itself until they come.
  const sessions = sets.map((blocks) => opened.use(fetcher.exchange.openSession(blocks[0].cid)))
  await Promise.all(sets.map(async ([first], index) => await sessions[index]?.get(first.cid)))
  await Promise.all(sets.map(async (blocks, index) => {
    const session = sessions[index]
    assert.ok(session !== undefined)
    session.prefetch(blocks.map(({ cid }) => cid))
    for (const { cid } of blocks) {
      assert.ok(await session.get(cid))
      counts[index] = (counts[index] ?? 0) + 1
    }
    countsAtFirstEnd ??= [...counts]
  }))
  assert.ok(Math.min(...countsAtFirstEnd ?? []) > 32, `blocks of each when the first had its 64: ${countsAtFirstEnd}`)
})

test('a session that waits its turn longer than blocks may take is not given up', async () => {
  await using opened = new AsyncDisposableStack()
  const { holder, fetcher } = await openPair(opened, { delayMs: 2, bytesPerSecond: 2 * MIB })
  const many = await blocksOf(12, MIB / 2)
  const few = await blocksOf(1, MIB / 2, 7)
  await holder.blocks.putMany([...many, ...few])
  using first = fetcher.exchange.openSession(many[0].cid)
  const firstDone = Promise.all(many.map(async ({ cid }) => await first.get(cid)))
  await until(() => fetcher.exchange.stats().receivedBlockCount > 1)
  using second = fetcher.exchange.openSession(few[0].cid, { stallMs: 1000 })
  assert.ok(await second.get(few[0].cid))
  await firstDone
})

test('a peer that serves others and never this one is given up all the same', async () => {
  await using fetcher = await openTestNode()
  const [withheld, ...served] = await blocksOf(400, 1000)
  let isOver = false
  await using _unfair = await openRawPeer(fetcher, {
    async onMessage ({ wants }, peer) {
      const answered = served.filter(({ cid }) => wants.some((want) => !want.isCancel && want.cid.equals(cid)))
      await peer.send({ blocks: answered.map(payloadOf) })
    }
  })
  const busy = (async () => {
    using session = fetcher.exchange.openSession(served[0].cid)
    for (let index = 0; !isOver && index < served.length; index++) {
      const block = served[index]
      if (block !== undefined) await session.get(block.cid)
      await new Promise((resolve) => { setTimeout(resolve, 10) })
    }
  })()
  using session = fetcher.exchange.openSession(withheld.cid, { stallMs: 300 })
  const start = performance.now()
  await assert.rejects(session.get(withheld.cid), (err) => isErrorCode(err, 'UNAVAILABLE'))
  const elapsedMs = performance.now() - start
  isOver = true
  await busy
  assert.ok(elapsedMs < 3000, `${elapsedMs} ms`)
})
