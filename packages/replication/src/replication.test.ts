import { isErrorCode, silentLogger } from '@holdfast/core'
import { offlineHost } from '@holdfast/network'
import { openJournal } from '@holdfast/pins'
import assert from 'node:assert/strict'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { cutApart, letMeet, openCluster, openNode, type TestNode, until, untilSame } from '../test/nodes.ts'
import { cidOf } from '../test/replica.ts'
import { PUSH_BURST } from './limits.ts'
import { openReplication, pinKeyOf } from './index.ts'

function namesOn ({ replication }: TestNode): string[] {
  return [...replication.pins()].map(({ name = '' }) => name).toSorted()
}

async function two (nodes: Promise<TestNode[]>): Promise<[TestNode, TestNode]> {
  const [a, b] = await nodes
  assert.ok(a !== undefined && b !== undefined)
  return [a, b]
}

test('a pin put on one member is found on the other, with all that was said of it', async (context) => {
  const [a, b] = await two(openCluster(context, 2))
  const pin = await a.replication.putPin({ cid: cidOf(1), name: 'photos', meta: { album: 'summer' }, copies: 3, zones: ['cellar'], expireAtMs: 4_000_000_000_000 })
  await until(() => b.replication.pin(pin.id) !== undefined)
  assert.deepEqual(b.replication.pin(pin.id), pin)
  assert.deepEqual(pin.copies, { min: 2, max: 3 })
  assert.equal(pin.origin, a.identity.peerId)
  assert.deepEqual([...b.replication.pins({ cid: cidOf(1) })], [pin])
  assert.deepEqual([...b.replication.pins({ cid: cidOf(2) })], [])

  const changed = await b.replication.putPin({ cid: cidOf(2), id: pin.id, name: 'others' })
  assert.equal(changed.createdMs, pin.createdMs)
  assert.equal(changed.origin, a.identity.peerId)
  await until(() => a.replication.pin(pin.id)?.name === 'others')
  await a.replication.deletePin(pin.id)
  await until(() => b.replication.pin(pin.id) === undefined)
  await untilSame([a, b])
})

test('five members converge, whoever writes', async (context) => {
  const nodes = await openCluster(context, 5)
  await Promise.all(nodes.map(async ({ replication }, index) => await replication.putPin({ cid: cidOf(index), name: `pin ${index}` })))
  await untilSame(nodes, 5)
  for (const node of nodes) {
    assert.deepEqual(namesOn(node), ['pin 0', 'pin 1', 'pin 2', 'pin 3', 'pin 4'])
    await until(() => node.replication.members().every(({ isAlive }) => isAlive))
    assert.equal(node.replication.members().length, 5)
  }
})

test('a member that was down catches up by itself, and keeps what it had', async (context) => {
  const [a, b] = await two(openCluster(context, 2))
  await b.replication.putPin({ cid: cidOf(0), name: 'before' })
  await untilSame([a, b], 1)
  await b[Symbol.asyncDispose]()
  await until(() => a.replication.members().some(({ isAlive, isSelf }) => !isAlive && !isSelf))
  await a.replication.putPin({ cid: cidOf(1), name: 'meanwhile' })

  const again = await openNode(context, { folder: b.folder })
  assert.deepEqual(namesOn(again), ['before'])
  await untilSame([a, again], 2)
  assert.deepEqual(namesOn(again), ['before', 'meanwhile'])
})

test('two halves that were cut apart converge when they meet: a put wins over a delete that had not seen it', async (context) => {
  const nodes = await openCluster(context, 5)
  const [a, b, c, d, e] = nodes
  assert.ok(a !== undefined && b !== undefined && c !== undefined && d !== undefined && e !== undefined)
  const [kept, deleted, changed] = [await a.replication.putPin({ cid: cidOf(0), name: 'kept' }), await a.replication.putPin({ cid: cidOf(1), name: 'deleted' }), await a.replication.putPin({ cid: cidOf(2), name: 'changed' })]
  await untilSame(nodes, 3)

  await cutApart([a, b], [c, d, e])
  await a.replication.deletePin(kept.id)
  await d.replication.putPin({ cid: cidOf(0), id: kept.id, name: 'kept after all' })
  await b.replication.deletePin(deleted.id)
  await b.replication.putPin({ cid: cidOf(2), id: changed.id, name: 'changed here' })
  await e.replication.putPin({ cid: cidOf(2), id: changed.id, name: 'changed there' })
  await Promise.all(nodes.map(async ({ replication }, index) => await replication.putPin({ cid: cidOf(10 + index), name: `new ${index}` })))
  await untilSame([a, b])
  await untilSame([c, d, e])
  assert.equal(a.replication.pin(kept.id), undefined)

  letMeet(nodes)
  await untilSame(nodes, 5)
  const names = namesOn(a)
  assert.deepEqual(names.filter((name) => !name.startsWith('changed')), ['kept after all', 'new 0', 'new 1', 'new 2', 'new 3', 'new 4'])
  for (const node of nodes) assert.deepEqual(namesOn(node), names)
})

test('a removed member is shut out at once and everywhere, its copies are not counted, and it learns why', async (context) => {
  const nodes = await openCluster(context, 3)
  const [a, b, c] = nodes
  assert.ok(a !== undefined && b !== undefined && c !== undefined)
  const pinKey = pinKeyOf(cidOf(0), 'recursive')
  await c.replication.putPin({ cid: cidOf(0), name: 'early' })
  await c.replication.reportHold({ pinKey, state: 'verified', byteLength: 10 })
  await untilSame(nodes, 1)
  assert.deepEqual(b.replication.holds(pinKey).map(({ holder, state }) => `${holder} ${state}`), [`${c.identity.peerId} verified`])

  await a.replication.remove(c.identity.peerId)
  await until(() => b.replication.members().length === 2 && c.replication.cluster?.role === 'removed')
  assert.deepEqual(b.replication.holds(pinKey), [])
  await assert.rejects(c.replication.putPin({ cid: cidOf(1), name: 'late' }), (err) => isErrorCode(err, 'INVALID') && err.details['reason'] === 'removed')
  await untilSame([a, b], 1)
  assert.deepEqual(namesOn(b), ['early'])

  // It may come back with a new invite.
  const { invite } = await a.replication.invite({ role: 'reader' })
  assert.equal((await c.replication.join(invite)).role, 'reader')
  await untilSame(nodes, 1)
  await assert.rejects(c.replication.putPin({ cid: cidOf(1) }), (err) => isErrorCode(err, 'INVALID') && err.details['reason'] === 'reader')
})

test('what a removed member wrote after its removal is ignored by all', async (context) => {
  const nodes = await openCluster(context, 3)
  const [a, b, c] = nodes
  assert.ok(a !== undefined && b !== undefined && c !== undefined)
  const pin = await a.replication.putPin({ cid: cidOf(0), name: 'ours' })
  await untilSame(nodes, 1)
  await cutApart([a, b], [c])
  await a.replication.remove(c.identity.peerId)
  await until(() => b.replication.members().length === 2)
  // It does not know yet.
  await c.replication.deletePin(pin.id)
  await c.replication.putPin({ cid: cidOf(1), name: 'theirs' })
  letMeet(nodes)
  await until(() => c.replication.cluster?.role === 'removed')
  await untilSame([a, b])
  for (const node of [a, b]) assert.deepEqual(namesOn(node), ['ours'])
})

test('what a member deleted after its removal comes back where the delete arrived first', async (context) => {
  const nodes = await openCluster(context, 3)
  const [a, b, c] = nodes
  assert.ok(a !== undefined && b !== undefined && c !== undefined)
  const pin = await a.replication.putPin({ cid: cidOf(0), name: 'ours' })
  await untilSame(nodes, 1)
  await cutApart([a], [b, c])
  await a.replication.remove(c.identity.peerId)
  await c.replication.deletePin(pin.id)
  await until(() => b.replication.pin(pin.id) === undefined)
  letMeet(nodes)
  await until(() => b.replication.pin(pin.id) !== undefined, 60_000)
  await untilSame([a, b], 1)
})

for (const [what, offsetMs] of [['ahead', 86_400_000], ['behind', -86_400_000]] as const) {
  test(`a member whose clock is a day ${what} disturbs nobody: it takes the time of the others, and all know`, async (context) => {
    const [a, b] = await two(openCluster(context, 2))
    const { invite } = await a.replication.invite()
    const c = await openNode(context, { now: () => Date.now() + offsetMs })
    await c.replication.join(invite)
    const isTold = ({ replication }: TestNode): boolean => replication.members().every(({ peer, clockAheadMs = NaN }) => Math.abs(clockAheadMs - (peer === c.identity.peerId ? offsetMs : 0)) < 60_000)
    await until(() => [a, b, c].every(isTold))
    assert.ok(Math.abs(c.replication.now() - Date.now()) < 60_000)
    const pin = await c.replication.putPin({ cid: cidOf(0), name: 'from another day' })
    await a.replication.putPin({ cid: cidOf(1), name: 'today' })
    await untilSame([a, b, c], 2)
    await b.replication.deletePin(pin.id)
    await until(() => [a, b, c].every((node) => namesOn(node).join() === 'today'))
    assert.deepEqual([a, b, c].map(({ replication }) => replication.stats().waitingCount), [0, 0, 0])
  })
}

test('thousands of pins that come faster than a member takes them all arrive', async (context) => {
  const nodes = await openCluster(context, 3)
  const [a] = nodes
  assert.ok(a !== undefined)
  const count = PUSH_BURST + 500
  await Promise.all(Array.from({ length: count }, async (_, index) => await a.replication.putPin({ cid: cidOf(index) })))
  await untilSame(nodes, count, 60_000)
})

test('a member whose disk is full refuses what it cannot keep, stays a member, and catches up once there is room', async (context) => {
  let isFull = false
  const fs = {
    open: async (path: string, flags: 'r' | 'r+' | 'w' | 'wx', mode?: number) => {
      const file = await open(path, flags, mode)
      const write = file.write.bind(file) as (bytes: Uint8Array, offset: number, byteLength: number, position: number) => Promise<{ bytesWritten: number }>
      return Object.assign(file, {
        write: async (bytes: Uint8Array, offset: number, byteLength: number, position: number) => {
          if (isFull) throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' })
          return await write(bytes, offset, byteLength, position)
        }
      })
    }
  }
  const [a, b] = [await openNode(context), await openNode(context, { fs })]
  await b.replication.join((await a.replication.invite()).invite)
  await untilSame([a, b])

  isFull = true
  await a.replication.putPin({ cid: cidOf(0), name: 'pushed' })
  await assert.rejects(b.replication.putPin({ cid: cidOf(1), name: 'refused' }), (err) => isErrorCode(err, 'LIMIT'))
  const { roundCount } = b.replication.stats()
  await until(() => b.replication.stats().roundCount > roundCount + 1)
  assert.deepEqual(namesOn(b), [])
  await until(() => a.replication.members().every(({ isAlive }) => isAlive))

  isFull = false
  await untilSame([a, b], 1)
  assert.deepEqual(namesOn(b), ['pushed'])
})

test('with the network off a node keeps what it decides, for later', async (context) => {
  const node = await openNode(context)
  const { identity, folder } = node
  await node[Symbol.asyncDispose]()
  await using journal = await openJournal(join(folder, 'journal'))
  await using replication = await openReplication({ identity, host: offlineHost(identity.peerId), journal, log: silentLogger }, { profile: { zone: '', capacityBytes: 1, version: '1' } })
  await replication.createCluster({ name: 'alone' })
  const pin = await replication.putPin({ cid: cidOf(0) })
  assert.deepEqual([...replication.pins()], [pin])
  assert.deepEqual(replication.members().map(({ peer, isAlive }) => ({ peer, isAlive })), [{ peer: identity.peerId, isAlive: true }])
})

test('changes are told when they are durable, whoever made them', async (context) => {
  const [a, b] = await two(openCluster(context, 2))
  await untilSame([a, b])
  const told: string[] = []
  using _ = b.replication.watch((changes) => { told.push(...changes.map(({ kind }) => kind)) })
  await a.replication.putPin({ cid: cidOf(0) })
  await until(() => told.includes('pin'))
  await b.replication.reportHold({ pinKey: pinKeyOf(cidOf(0), 'recursive'), state: 'complete', byteLength: 1 })
  await b.replication.reportHold({ pinKey: pinKeyOf(cidOf(0), 'recursive'), state: 'complete', byteLength: 1 })
  assert.deepEqual(told.filter((kind) => kind === 'hold'), ['hold'])
})

test('a copy count of 0, negative or by the millions, and names that are too long, are refused; one of 10,000 is taken', async (context) => {
  const node = await openNode(context)
  await assert.rejects(node.replication.putPin({ cid: cidOf(0) }), (err) => isErrorCode(err, 'INVALID') && err.details['reason'] === 'no-cluster')
  await node.replication.createCluster()
  for (const copies of [0, -1, 1.5, NaN, 1_000_001]) await assert.rejects(node.replication.putPin({ cid: cidOf(0), copies }), (err) => isErrorCode(err, 'INVALID'))
  await assert.rejects(node.replication.putPin({ cid: cidOf(0), name: 'x'.repeat(256) }), (err) => isErrorCode(err, 'INVALID'))
  await assert.rejects(node.replication.putPin({ cid: cidOf(0), name: '\ud800' }), (err) => isErrorCode(err, 'INVALID'))
  await assert.rejects(node.replication.putPin({ cid: cidOf(0), meta: { key: 'x'.repeat(5000) } }), (err) => isErrorCode(err, 'INVALID'))
  await assert.rejects(node.replication.putPin({ cid: cidOf(0), id: '00'.repeat(16) }), (err) => isErrorCode(err, 'NOT_FOUND'))
  await assert.rejects(node.replication.deletePin('no id'), (err) => isErrorCode(err, 'NOT_FOUND'))
  assert.deepEqual((await node.replication.putPin({ cid: cidOf(0), copies: 'all' })).copies, { min: 1, max: 'all' })
  assert.deepEqual((await node.replication.putPin({ cid: cidOf(1), copies: 10_000 })).copies, { min: 5000, max: 10_000 })
  assert.equal([...node.replication.pins()].length, 2)
})
