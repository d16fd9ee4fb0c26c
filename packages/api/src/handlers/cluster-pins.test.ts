import { HoldfastError, isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { ApiNode } from '../api-node.ts'
import type { Exchange } from '../exchange.ts'
import { openApiNode } from '../harness.test.ts'
import type { EventOf, OperationName } from '../operations.ts'
import { HANDLERS } from './table.ts'

async function until (isTrue: () => boolean): Promise<void> {
  const endMs = performance.now() + 20_000
  while (!isTrue()) {
    assert.ok(performance.now() < endMs, String(isTrue))
    await new Promise((resolve) => { setTimeout(resolve, 10) })
  }
}

type Args<Name extends OperationName> = Parameters<typeof HANDLERS[Name]>[1]

/** Carries out an operation and returns its events. */
async function call<Name extends OperationName> (node: ApiNode, name: Name, args: Args<Name>, body: string = ''): Promise<Array<EventOf<Name>>> {
  const events: Array<EventOf<Name>> = []
  const exchange: Exchange<EventOf<Name>> = {
    signal: AbortSignal.timeout(20_000),
    body: (async function * () { yield Buffer.from(body) })(),
    emit: async (event) => { events.push(event) },
    send: async () => {}
  }
  await HANDLERS[name](node, args, exchange)
  return events
}

async function addTwice (context: TestContext): Promise<{ node: ApiNode, cid: string, id: string }> {
  const node = await openApiNode(context)
  const events = await call(node, 'add', { paths: [], copies: 2, name: 'twice', meta: { a: 'b' } }, 'content')
  const pin = events.flatMap((event) => 'pin' in event ? [event.pin] : [])[0]
  assert.ok(pin?.cluster)
  return { node, cid: pin.cid, id: pin.cluster.id }
}

test('copies on a node in no cluster make one, and a pin for it: here first, then the record', async (context) => {
  const { node, cid, id } = await addTwice(context)
  assert.equal(node.replication.cluster?.role, 'admin')
  assert.deepEqual([...node.pins.list()].map((pin) => [pin.cid.toString(), pin.owner]), [[cid, 'cluster']])
  for (const args of [{}, { name: 'twice' }]) assert.deepEqual((await call(node, 'pin-ls', args)).map(({ cid, owner, name }) => [cid, owner, name]), [[cid, 'cluster', 'twice']])
  assert.deepEqual(await call(node, 'pin-ls', { name: 'other' }), [])
  const [event] = await call(node, 'pin-status', { path: cid })
  assert.deepEqual([event?.status.id, event?.status.copies, event?.status.meta, event?.status.holders.length], [id, { min: 1, max: 2 }, { a: 'b' }, 1])
})

test('a wait is over when there are enough copies, and at its deadline says what is missing', async (context) => {
  const { node, id } = await addTwice(context)
  const events = await call(node, 'pin-status', { id, wait: true })
  assert.equal(events.at(-1)?.status.countedCount, 1)
  await assert.rejects(call(node, 'pin-status', { id, wait: true, waitFor: 2, timeoutMs: 300 }), (err) => isErrorCode(err, 'UNAVAILABLE') && /has 1 of 2 copies after .*waiting for members/.test(err.message))
  await assert.rejects(call(node, 'pin-status', { id, wait: true, waitFor: 3 }), (err) => isErrorCode(err, 'INVALID'))
  const waiting = call(node, 'pin-status', { id, wait: true, waitFor: 2 })
  await call(node, 'pin-rm', { id })
  await assert.rejects(waiting, (err) => isErrorCode(err, 'NOT_FOUND'))
})

test('unpinning here leaves the cluster\'s pin, unpinning by id leaves the user\'s, and unpinning the CID takes both', async (context) => {
  const { node, cid, id } = await addTwice(context)
  await assert.rejects(call(node, 'pin-rm', { path: cid, local: true }), (err) => isErrorCode(err, 'NOT_FOUND') && /is kept here for the cluster/.test(err.message))
  await call(node, 'pin-add', { path: cid, kind: 'recursive' })
  const local = await call(node, 'pin-rm', { path: cid, local: true })
  assert.deepEqual(local.map(({ pin: { cluster } }) => cluster), [undefined])
  assert.equal(node.replication.pin(id)?.cid.toString(), cid)

  await call(node, 'pin-add', { path: cid, kind: 'recursive' })
  await call(node, 'pin-rm', { id })
  assert.equal(node.replication.pin(id), undefined)
  assert.equal([...node.pins.list({ owner: 'user' })].length, 1)

  await call(node, 'pin-add', { path: cid, kind: 'recursive', copies: 1 })
  assert.equal((await call(node, 'pin-rm', { path: cid })).length, 2)
  assert.equal([...node.pins.list({ owner: 'user' })].length + [...node.replication.pins()].length, 0)
})

test('what a cluster would refuse is refused before anything is fetched, and without copies nothing is asked of it', async (context) => {
  const node = await openApiNode(context)
  const path = 'bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy'
  for (const args of [{ meta: { a: 'b' } }, { zones: ['x'] }, { expireAtMs: 1 }, { local: false }]) {
    await assert.rejects(call(node, 'pin-add', { path, kind: 'recursive', ...args }), (err) => isErrorCode(err, 'INVALID'), Object.keys(args).join())
  }
  assert.equal(node.replication.cluster, undefined)
  for (const args of [{ name: 'n'.repeat(256) }, { zones: [''] }, { meta: { key: 'x'.repeat(5000) } }]) {
    await assert.rejects(call(node, 'pin-add', { path, kind: 'recursive', copies: 2, ...args }), (err) => isErrorCode(err, 'INVALID'), Object.keys(args).join())
  }
  await assert.rejects(call(node, 'pin-add', { path, kind: 'recursive', copies: 2 }), (err) => isErrorCode(err, 'NOT_FOUND'))
  assert.equal([...node.replication.pins()].length, 0)
})

test('an update takes over what the old pin asked for, and with unpin: false keeps both', async (context) => {
  const { node, cid, id } = await addTwice(context)
  const [next] = (await call(node, 'add', { paths: [], pin: false }, 'next')).flatMap((event) => 'entry' in event ? [event.entry.cid] : [])
  assert.ok(next)
  await call(node, 'pin-update', { from: cid, to: next, unpin: false })
  assert.equal([...node.replication.pins()].length, 2)
  await call(node, 'pin-update', { from: cid, to: next })
  assert.equal(node.replication.pin(id), undefined)
  const pins = [...node.replication.pins()]
  assert.ok(pins.length > 0 && pins.every((pin) => pin.cid.toString() === next && pin.name === 'twice' && pin.meta.a === 'b' && pin.copies.max === 2))
  const ofNext = (): string[] => [...new Set([...node.pins.list()].map((pin) => `${pin.cid} ${pin.owner}`))]
  await until(() => ofNext().join() === `${next} cluster`)
})

test('what was added with copies goes when another member unpins it, unless the user pinned it here besides', async (context) => {
  const { node, cid, id } = await addTwice(context)
  await call(node, 'pin-status', { id, wait: true })
  await node.replication.deletePin(id)
  await until(() => node.pins.count === 0)

  for (const order of ['before', 'after']) {
    if (order === 'before') await call(node, 'pin-add', { path: cid, kind: 'recursive', name: 'mine' })
    const [added] = (await call(node, 'pin-add', { path: cid, kind: 'recursive', copies: 2 })).flatMap((event) => 'pin' in event ? [event.pin] : [])
    if (order === 'after') await call(node, 'pin-add', { path: cid, kind: 'recursive', name: 'mine' })
    await node.replication.deletePin(added?.cluster?.id ?? '')
    await until(() => node.pins.count === 1)
    assert.deepEqual((await call(node, 'pin-ls', {})).map(({ owner, name }) => [owner, name]), [[undefined, 'mine']], order)
    await call(node, 'pin-rm', { path: cid })
  }
})

test('a pin for the cluster whose record could not be put is not kept', async (context) => {
  const { node, cid, id } = await addTwice(context)
  await call(node, 'pin-rm', { id })
  await until(() => node.pins.count === 0)
  const replication = { ...node.replication, requirePinnable: () => {}, putPin: async () => { throw new HoldfastError('LIMIT', 'No room') }, cluster: node.replication.cluster }
  await assert.rejects(call({ ...node, replication }, 'pin-add', { path: cid, kind: 'recursive', copies: 2 }), (err) => isErrorCode(err, 'LIMIT'))
  await until(() => node.pins.count === 0)
})
