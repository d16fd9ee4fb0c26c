import { silentLogger } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addContent, collect, joinKeeper, type KeepingNode, openKeepers, untilAcquainted } from '../../test/keeping-nodes.ts'
import { until } from '../../test/nodes.ts'
import { openKeeper } from './open-keeper.ts'

const DAY_MS = 24 * 60 * 60 * 1000

function isPinnedOn (nodes: readonly KeepingNode[], id: string): boolean {
  return nodes.every(({ keeper }) => keeper.status(id)?.state === 'pinned')
}

test('when a pin is deleted its copies go, but for what another pin or a user keeps; put again it comes back', async (context) => {
  const nodes = await openKeepers(context, 2)
  const [a, b] = nodes
  assert.ok(a !== undefined && b !== undefined)
  const cid = await addContent(a, 1)
  await a.pins.add({ cid, kind: 'recursive', name: 'mine' })
  const [one, two] = [await a.replication.putPin({ cid, copies: 2 }), await a.replication.putPin({ cid, copies: 2 })]
  await until(() => isPinnedOn(nodes, one.id) && isPinnedOn(nodes, two.id))
  await b.replication.deletePin(one.id)
  await until(() => a.keeper.status(one.id) === undefined)
  assert.equal(a.keeper.status(two.id)?.state, 'pinned')

  await b.replication.deletePin(two.id)
  await until(() => a.pins.count === 1 && b.pins.count === 0)
  assert.equal(await collect(a), 0, 'the user keeps it')
  assert.equal(await collect(b), 1)
  assert.equal(b.keeper.stats.usedBytes, 0)

  const again = await b.replication.putPin({ cid, copies: 2 })
  await until(() => isPinnedOn(nodes, again.id))
  assert.ok(await b.blocks.has(cid))
})

test('a copy whose pin was deleted while the node was down goes when it is back', async (context) => {
  const nodes = await openKeepers(context, 2)
  const [a, b] = nodes
  assert.ok(a !== undefined && b !== undefined)
  const { id } = await a.replication.putPin({ cid: await addContent(a, 1), copies: 2 })
  await until(() => isPinnedOn(nodes, id))
  // The record is durable and the copy is not dropped yet: as after a crash between the two.
  await b.keeper[Symbol.asyncDispose]()
  await b.replication.deletePin(id)
  assert.equal(b.pins.count, 1)
  await using again = openKeeper({ ...b, log: silentLogger }, { capacityBytes: 1 << 20 })
  await until(() => b.pins.count === 0)
  assert.equal(again.stats.usedBytes, 0)
})

test('a pin ends at its time, everywhere; a member whose clock is a day ahead ends none and stops none', async (context) => {
  let aheadMs = 0
  const now = (): number => Date.now() + aheadMs
  const nodes = await openKeepers(context, 4, (index) => ({ now: index === 3 ? () => now() + DAY_MS : now }))
  const [a, b, c, wrong] = nodes
  assert.ok(a !== undefined && b !== undefined && c !== undefined && wrong !== undefined)
  const lasting = await a.replication.putPin({ cid: await addContent(a, 1), copies: 4 })
  const ending = await a.replication.putPin({ cid: await addContent(a, 2), copies: 4, expireAtMs: Date.now() + DAY_MS / 2 })
  const right = [a, b, c]
  const holdsBoth = ({ pins }: KeepingNode): boolean => pins.count === 2
  await until(() => nodes.every(holdsBoth))
  await until(() => right.every(({ keeper }) => (keeper.status(ending.id)?.countedCount ?? 0) >= 3))
  // For the one that is ahead the pin is over; the median of the clocks says that it is not.
  assert.ok(holdsBoth(wrong))
  assert.equal(wrong.keeper.status(ending.id)?.missing === 'expired', false)

  aheadMs = DAY_MS / 2 + 11 * 60_000
  await until(() => nodes.every(({ pins }) => pins.count === 1))
  await until(() => right.every(({ keeper }) => keeper.status(ending.id) === undefined))
  assert.ok(right.every(({ keeper }) => (keeper.status(lasting.id)?.countedCount ?? 0) >= 3))
})

test('copies of a removed member are not counted any more, and others take its place; it keeps nothing new', async (context) => {
  const nodes = await openKeepers(context, 3)
  const [a, b, c] = nodes
  assert.ok(a !== undefined && b !== undefined && c !== undefined)
  const first = await a.replication.putPin({ cid: await addContent(a, 1), copies: 3 })
  await until(() => isPinnedOn(nodes, first.id))
  await a.replication.remove(c.identity.peerId)
  await until(() => b.keeper.status(first.id)?.countedCount === 2)
  assert.equal(b.keeper.status(first.id)?.missing, 'waiting for members (2 of 3)')
  assert.equal(b.keeper.status(first.id)?.state, 'degraded')
  await until(() => c.replication.cluster?.role === 'removed')
  const second = await a.replication.putPin({ cid: await addContent(a, 2), copies: 3 })
  await until(() => b.keeper.status(second.id)?.countedCount === 2)
  assert.equal(c.pins.count, 1, 'it dropped nothing, and took nothing')

  const d = await joinKeeper(context, a)
  await untilAcquainted([a, b, d])
  await until(() => isPinnedOn([a, b, d], first.id) && isPinnedOn([a, b, d], second.id))
})

test('a node that was removed and joins another cluster keeps what that one wants, and leaves the pins of the former alone', async (context) => {
  const ours = await openKeepers(context, 2)
  const theirs = await openKeepers(context, 1)
  const [a, b] = ours
  const [x] = theirs
  assert.ok(a !== undefined && b !== undefined && x !== undefined)
  const old = await a.replication.putPin({ cid: await addContent(a, 1), copies: 2 })
  await until(() => isPinnedOn(ours, old.id))
  await a.replication.remove(b.identity.peerId)
  await until(() => b.replication.cluster?.role === 'removed')
  const { invite } = await x.replication.invite()
  await b.replication.join(invite)
  const { id } = await x.replication.putPin({ cid: await addContent(x, 2), copies: 2 })
  await until(() => isPinnedOn([x, b], id))
  assert.equal(b.keeper.status(old.id), undefined)
  assert.deepEqual([...b.keeper.statuses()].map(({ pin }) => pin.id), [id])
  assert.equal(b.replication.stats().holdCount, 2)
  assert.equal(b.pins.count, 2)
})
