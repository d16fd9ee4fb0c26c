import { silentLogger } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { addContent, collect, joinKeeper, type KeepingNode, openKeepers, putWithCopy, untilAcquainted } from '../../test/keeping-nodes.ts'
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

test('a copy that its adder made ends with the pin, at its time or by the word of another member; the user\'s own pin stays', async (context) => {
  let aheadMs = 0
  const nodes = await openKeepers(context, 2, { now: () => Date.now() + aheadMs })
  const [a, b] = nodes
  assert.ok(a !== undefined && b !== undefined)
  const ending = await putWithCopy(a, await addContent(a, 1), { copies: 2, expireAtMs: Date.now() + DAY_MS })
  const removed = await putWithCopy(a, await addContent(a, 2), { copies: 2 })
  const kept = await putWithCopy(a, await addContent(a, 3), { copies: 2 })
  await a.pins.add({ cid: kept.cid, kind: 'recursive', name: 'mine' })
  await until(() => [ending, removed, kept].every(({ id }) => isPinnedOn(nodes, id)))
  for (const { id } of [removed, kept]) await b.replication.deletePin(id)
  await until(() => a.pins.count === 2 && b.pins.count === 1)
  aheadMs = DAY_MS + 11 * 60_000
  await until(() => a.pins.count === 1 && b.pins.count === 0)
  assert.deepEqual([...a.pins.list()].map(({ name, owner }) => [name, owner]), [['mine', undefined]])
})

for (const isVerified of [true, false]) {
  test(`the adder's copy counts although it offers no space, ${isVerified ? 'verified by the adder' : 'to be verified by the keeper'}, stays, and is mended`, async (context) => {
    const nodes = await openKeepers(context, 3, (index) => index === 0 ? { capacityBytes: 0 } : {})
    const [adder, ...others] = nodes
    assert.ok(adder !== undefined)
    const cid = await addContent(adder, 1)
    const { id, pinKey } = await putWithCopy(adder, cid, { copies: 2, isVerified })
    await until(() => isPinnedOn(nodes, id))
    for (const { keeper } of nodes) {
      const status = keeper.status(id)
      assert.deepEqual([status?.state, status?.countedCount, status?.missing], ['pinned', 2, undefined])
      assert.equal(status?.holders.find(({ peer }) => peer === adder.identity.peerId)?.state, 'verified')
    }
    assert.equal(others.filter(({ pins }) => pins.count > 0).length, 1, 'no copy was made in its place')
    // What it did not add falls to others.
    const foreign = await others[0]?.replication.putPin({ cid: await addContent(others[0], 2), copies: 'all' })
    await until(() => isPinnedOn(nodes, foreign?.id ?? ''))
    assert.equal(adder.pins.count, 1)
    assert.equal(adder.keeper.status(foreign?.id ?? '')?.countedCount, 2)

    await adder.blocks.delete(cid)
    await others.find(({ pins }) => [...pins.list({ cid })].length > 0)?.replication.reportHold({ pinKey, state: 'verified', byteLength: 1, doubts: [adder.identity.peerId] })
    const endMs = performance.now() + 10_000
    while (!await adder.blocks.has(cid)) {
      assert.ok(performance.now() < endMs, 'the block is fetched again')
      await delay(20)
    }
    await until(() => isPinnedOn(nodes, id))
  })
}
