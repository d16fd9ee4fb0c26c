import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CONNECTION_GRACE_MS, USEFUL_BYTES } from '../limits.ts'
import { type ConnectionFacts, leastValuable } from './connection-value.ts'

const NOW_MS = 10_000_000

interface Named extends ConnectionFacts {
  readonly name: string
}

function idle (name: string, facts: Partial<ConnectionFacts> = {}): Named {
  return { name, isInbound: true, isProtected: false, isTagged: false, streamCount: 0, movedBytes: 0, openedMs: NOW_MS - 2 * CONNECTION_GRACE_MS, ...facts }
}

/** The names in the order in which they would be ended. */
function order (connections: readonly Named[], isInbound = true): string[] {
  const names: string[] = []
  for (let left = connections; ;) {
    const least = leastValuable(left, { isInbound, nowMs: NOW_MS })
    if (least === undefined) return names
    names.push(least.name)
    left = left.filter((connection) => connection !== least)
  }
}

test('what is idle ends before what is in use, and that before members of a routing table', () => {
  assert.deepEqual(order([
    idle('tagged', { isTagged: true }),
    idle('streams', { streamCount: 1 }),
    idle('idle'),
    idle('bytes', { movedBytes: USEFUL_BYTES, openedMs: 0 })
  ]), ['idle', 'streams', 'bytes', 'tagged'])
})

test('of equals the youngest ends, for the others have shown that they last', () => {
  assert.deepEqual(order([idle('old', { openedMs: 1 }), idle('young'), idle('older', { openedMs: 0 })]), ['young', 'old', 'older'])
})

test('a new connection is spared until it had time to be of use', () => {
  assert.deepEqual(order([idle('second', { openedMs: NOW_MS - 10 }), idle('first', { openedMs: NOW_MS - 20 }), idle('idle', { openedMs: 0 })]), ['idle', 'first', 'second'])
})

test('a few bytes, as identify takes, are no use', () => {
  assert.deepEqual(order([idle('young', { movedBytes: USEFUL_BYTES - 1 }), idle('old', { openedMs: 0 })]), ['young', 'old'])
})

test('for a stranger nothing ends that we dialled or that is protected', () => {
  assert.equal(leastValuable([idle('dialled', { isInbound: false }), idle('protected', { isProtected: true })], { isInbound: true, nowMs: NOW_MS }), undefined)
})

test('for a connection of ours a stranger ends, else one that we dialled and do not need', () => {
  assert.deepEqual(order([
    idle('dialled', { isInbound: false }),
    idle('protected', { isInbound: false, isProtected: true }),
    idle('stranger', { streamCount: 3, isTagged: true })
  ], false), ['stranger', 'dialled'])
})

test('with no connections there is nothing to end', () => {
  assert.equal(leastValuable([], { isInbound: true, nowMs: NOW_MS }), undefined)
})
