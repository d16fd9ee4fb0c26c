import { MemoryBlockstore } from '@holdfast/blockstore'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addContent, openKeepers } from '../../test/keeping-nodes.ts'
import { until } from '../../test/nodes.ts'
import { cidOf } from '../../test/replica.ts'

const MIB = 1024 * 1024

test('a member without space refuses before it fetches, says so, and the next in order takes the pin', async (context) => {
  const nodes = await openKeepers(context, 3, (index) => ({ capacityBytes: index === 1 ? 2 * MIB : 100 * MIB }))
  const [a, b, c] = nodes
  assert.ok(a !== undefined && b !== undefined && c !== undefined)
  const cids = await Promise.all([1, 2, 3, 4, 5, 6].map(async (seed) => await addContent(a, seed, 3 * MIB)))
  const ids = await Promise.all(cids.map(async (cid) => (await a.replication.putPin({ cid, copies: 2 })).id))
  await until(() => ids.every((id) => nodes.every(({ keeper }) => keeper.status(id)?.state === 'pinned')))
  assert.equal(b.keeper.stats.usedBytes, 0)
  assert.equal(b.pins.count, 0)
  assert.ok(!await b.blocks.has(cids[0] ?? assert.fail()), 'nothing was kept of what did not fit')

  // What cannot be placed is shown: a third copy of each has nowhere to go.
  const { id } = await a.replication.putPin({ cid: cids[0] ?? assert.fail(), copies: 3 })
  await until(() => a.keeper.status(id)?.holders.some(({ state }) => state === 'refused') === true)
  const status = a.keeper.status(id)
  assert.equal(status?.state, 'degraded')
  assert.equal(status.missing, 'no space on 1 member')
  assert.deepEqual(status.holders.find(({ state }) => state === 'refused'), { peer: b.identity.peerId, state: 'refused', isCounted: false, byteLength: 0, why: 'no space' })
  assert.equal(b.keeper.stats.refusedCount > 0, true)
})

/** The root of content that is nowhere yet. */
async function lateCid (): Promise<CID> {
  return await addContent({ blocks: new MemoryBlockstore() }, 77)
}

test('content that nobody has is told as such, is tried again, and holds nothing up', async (context) => {
  const nodes = await openKeepers(context, 2, { stallMs: 500, retryMs: 60_000 })
  const [a, b] = nodes
  assert.ok(a !== undefined && b !== undefined)
  const absent = await Promise.all(Array.from({ length: 20 }, async (_, index) => await a.replication.putPin({ cid: cidOf(1000 + index), copies: 2 })))
  const cid = await addContent(a, 1, MIB)
  await a.pins.add({ cid, kind: 'recursive' })
  const { id } = await a.replication.putPin({ cid, copies: 2 })
  const startMs = performance.now()
  await until(() => b.keeper.status(id)?.state === 'pinned')
  assert.ok(performance.now() - startMs < 20 / 4 * 500, 'what can be had does not wait for what cannot')

  const [first] = absent
  assert.ok(first !== undefined)
  await until(() => a.keeper.status(first.id)?.holders.every(({ state }) => state === 'failed') === true)
  const status = a.keeper.status(first.id)
  assert.equal(status?.state, 'unavailable')
  assert.match(status.missing ?? '', /^nobody has it: asked [01] peers?$/)

  // Somebody has it after all: who waits for it hears of that, and does not wait on.
  const late = await b.replication.putPin({ cid: await lateCid(), copies: 2 })
  await until(() => b.keeper.status(late.id)?.state === 'unavailable')
  const found = await addContent(a, 77)
  assert.ok(found.equals(late.cid))
  await a.replication.putPin({ cid: found, copies: 2 })
  await a.pins.add({ cid: found, kind: 'recursive' })
  await a.keeper[Symbol.asyncDispose]()
  await a.replication.reportHold({ pinKey: late.pinKey, state: 'verified', byteLength: 1000 })
  await until(() => b.keeper.status(late.id)?.holders.find(({ peer }) => peer === b.identity.peerId)?.state === 'verified')
})
