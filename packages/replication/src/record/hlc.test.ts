import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MAX_CLOCK_LEAD_MS } from '../limits.ts'
import { compareHlc, type Hlc, HlcClock, isFuture } from './hlc.ts'

const DAY_MS = 86_400_000

test('times rise strictly, whatever the wall clock does within the lead, and are above what was observed', () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: -1000, max: 1000 }), fc.integer({ min: -1000, max: 1000 }), fc.nat(3))), (steps) => {
    let nowMs = DAY_MS
    const clock = new HlcClock(() => nowMs)
    let last: Hlc = clock.next()
    for (const [change, remote, counter] of steps) {
      nowMs += change
      const observed: Hlc = [nowMs + remote, counter]
      clock.observe(observed)
      const next = clock.next()
      assert.ok(compareHlc(next, last) > 0)
      assert.ok(compareHlc(next, observed) > 0)
      last = next
    }
  }))
})

test('a time from the future is not followed', () => {
  const clock = new HlcClock(() => DAY_MS)
  clock.observe([2 * DAY_MS, 0])
  assert.deepEqual(clock.next(), [DAY_MS, 0])
  clock.observe([DAY_MS + MAX_CLOCK_LEAD_MS, 7])
  assert.deepEqual(clock.next(), [DAY_MS + MAX_CLOCK_LEAD_MS, 8])
})

test('a clock that was a day ahead and is set right gives right times again', () => {
  let nowMs = 2 * DAY_MS
  const clock = new HlcClock(() => nowMs)
  clock.next()
  nowMs = DAY_MS
  assert.deepEqual(clock.next(), [DAY_MS, 0])
})

test('the counter overflows into the millisecond', () => {
  const clock = new HlcClock(() => DAY_MS)
  clock.observe([DAY_MS, 0xffff_ffff])
  assert.deepEqual(clock.next(), [DAY_MS + 1, 0])
})

test('five minutes ahead are borne, and a millisecond more is the future', () => {
  assert.equal(isFuture([DAY_MS + MAX_CLOCK_LEAD_MS, 0], DAY_MS), false)
  assert.equal(isFuture([DAY_MS + MAX_CLOCK_LEAD_MS + 1, 0], DAY_MS), true)
})
