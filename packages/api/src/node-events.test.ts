import { isErrorCode } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openApiNode } from './harness.test.ts'
import { MAX_WAITING_EVENTS, NodeEvents, type TimedNodeEvent } from './node-events.ts'

const CID_TEXT = 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e'

test('listeners get every event from when they begin, each its own', async () => {
  const events = new NodeEvents()
  const leaving = new AbortController()
  events.tell({ type: 'added', cid: 'before' })
  const [first, second] = [1, 2].map(() => events.listen({ signal: leaving.signal, onCut: assert.fail })[Symbol.asyncIterator]())
  events.tell({ type: 'added', cid: 'a' })
  const waiting = second?.next()
  events.tell({ type: 'added', cid: 'b' })
  const cidOf = (result: IteratorResult<TimedNodeEvent> | undefined): unknown => result?.done === false && 'cid' in result.value ? result.value.cid : undefined
  assert.deepEqual([cidOf(await first?.next()), cidOf(await first?.next()), cidOf(await waiting), cidOf(await second?.next())], ['a', 'b', 'a', 'b'])
  const ended = first?.next()
  const reason = new Error('gone')
  leaving.abort(reason)
  await assert.rejects(ended ?? Promise.resolve(), (err) => err === reason)
  assert.equal(events.listenerCount, 0)
})

test('a listener that does not keep up is cut off, and the others go on', async () => {
  const events = new NodeEvents()
  const { signal } = new AbortController()
  let cuts = 0
  const slow = events.listen({ signal, onCut: () => { cuts++ } })
  for (let index = 0; index <= MAX_WAITING_EVENTS; index++) events.tell({ type: 'added', cid: String(index) })
  assert.equal(cuts, 1)
  await assert.rejects(Array.fromAsync(slow), (err) => isErrorCode(err, 'LIMIT'))
  const other = events.listen({ signal, onCut: assert.fail })[Symbol.asyncIterator]()
  events.tell({ type: 'added', cid: 'x' })
  assert.equal((await other.next()).done, false)
})

test('when the node ends, listeners get what waits and then the end', async () => {
  const events = new NodeEvents()
  const told = events.listen({ signal: new AbortController().signal, onCut: assert.fail })
  const idle = events.listen({ signal: new AbortController().signal, onCut: assert.fail })[Symbol.asyncIterator]()
  const ending = idle.next()
  events.tell({ type: 'added', cid: 'last' })
  assert.equal((await ending).done, false)
  const end = idle.next()
  events[Symbol.dispose]()
  events.tell({ type: 'added', cid: 'too late' })
  assert.deepEqual((await Array.fromAsync(told)).map((event) => 'cid' in event && event.cid), ['last'])
  assert.equal((await end).done, true)
})

test('pins are told when they are durable, and only when something changed', async (context) => {
  const { pins, events } = await openApiNode(context)
  const leaving = new AbortController()
  const told = events.listen({ signal: leaving.signal, onCut: assert.fail })[Symbol.asyncIterator]()
  const cid = CID.parse(CID_TEXT)
  for (let turn = 0; turn < 2; turn++) await pins.add({ cid, kind: 'direct', name: 'n' })
  await pins.remove({ cid })
  await assert.rejects(pins.remove({ cid }), (err) => isErrorCode(err, 'NOT_FOUND'))
  const seen = [await told.next(), await told.next()].map(({ value }) => ({ ...value, atMs: 0 }))
  assert.deepEqual(seen, [{ type: 'pinned', cid: CID_TEXT, kind: 'direct', name: 'n', atMs: 0 }, { type: 'unpinned', cid: CID_TEXT, kind: 'direct', name: 'n', atMs: 0 }])
  const next = told.next()
  leaving.abort(new Error('nothing more came'))
  await assert.rejects(next, /nothing more came/)
})
