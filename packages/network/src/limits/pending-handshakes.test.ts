import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Handshake, PendingHandshakes } from './pending-handshakes.ts'

interface Caller extends Handshake {
  isClosed: boolean
  hasSpokenAlready: boolean
}

function caller (group?: string, maxCount = 2): Caller {
  const made: Caller = {
    ...(group === undefined ? {} : { group: { name: group, maxCount } }),
    isClosed: false,
    hasSpokenAlready: false,
    hasSpoken: () => made.hasSpokenAlready,
    close: () => { made.isClosed = true }
  }
  return made
}

test('the oldest silent handshake makes room for a new one', () => {
  const pending = new PendingHandshakes(3)
  const callers = [caller(), caller(), caller(), caller(), caller()]
  const [first] = callers
  assert.ok(first !== undefined)
  first.hasSpokenAlready = true
  for (const each of callers) pending.enter(each)
  assert.deepEqual(callers.map(({ isClosed }) => isClosed), [false, true, true, false, false])
  assert.equal(pending.count, 3)
})

test('where all have spoken the oldest makes room', () => {
  const pending = new PendingHandshakes(2)
  const callers = [caller(), caller(), caller()]
  for (const each of callers) {
    each.hasSpokenAlready = true
    pending.enter(each)
  }
  assert.deepEqual(callers.map(({ isClosed }) => isClosed), [true, false, false])
})

test('a group that is full makes room among its own', () => {
  const pending = new PendingHandshakes(10)
  const other = caller()
  pending.enter(other)
  const callers = [caller('a'), caller('a'), caller('b'), caller('a')]
  for (const each of callers) pending.enter(each)
  assert.deepEqual(callers.map(({ isClosed }) => isClosed), [true, false, false, false])
  assert.equal(other.isClosed, false)
  assert.equal(pending.count, 4)
})

test('a handshake that ended makes room by itself', () => {
  const pending = new PendingHandshakes(1)
  const [first, second] = [caller(), caller()]
  pending.enter(first)[Symbol.dispose]()
  pending.enter(second)
  assert.equal(first.isClosed, false)
  assert.equal(pending.count, 1)
})

test('a flood never holds more than the bound, and never the newest out', () => {
  const pending = new PendingHandshakes(8)
  for (let index = 0; index < 10_000; index++) {
    const each = caller(`group ${index % 7}`)
    each.hasSpokenAlready = index % 3 === 0
    pending.enter(each)
    assert.ok(pending.count <= 8)
    assert.equal(each.isClosed, false)
  }
})
