import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEFAULT_STALL_MS } from './fetch-session.ts'
import { IDLE_PART, MAX_PATIENCE_PART, MIN_PATIENCE_MS, Patience } from './patience.ts'

const BUSY = { isBusy: true, isWaiting: true }
const IDLE = { isBusy: false, isWaiting: true }

test('the clock stands still while the own share comes', () => {
  const patience = new Patience(DEFAULT_STALL_MS)
  patience.look(0, BUSY)
  patience.look(50_000, BUSY)
  assert.equal(patience.isOver(50_000, 0), false)
  patience.look(50_000 + MIN_PATIENCE_MS - 1, IDLE)
  assert.equal(patience.isOver(50_000 + MIN_PATIENCE_MS - 1, 0), false)
  assert.equal(patience.isOver(50_000 + MIN_PATIENCE_MS, 0), true)
  assert.equal(patience.isOver(50_000 + MIN_PATIENCE_MS, 50_001), false, 'who sent something since has its time anew')
})

test('where blocks of the own share are far apart, those of companions may be, too, but not for ever', () => {
  const patience = new Patience(DEFAULT_STALL_MS)
  patience.look(0, BUSY)
  for (const nowMs of [3_000, 6_000]) {
    patience.ownArrived(nowMs)
    patience.look(nowMs, BUSY)
  }
  assert.equal(patience.limitMs, 6_000)
  patience.ownArrived(60_000)
  assert.equal(patience.limitMs, DEFAULT_STALL_MS * MAX_PATIENCE_PART)
})

test('time in which nothing of the own share was wanted is no gap between its blocks', () => {
  const patience = new Patience(DEFAULT_STALL_MS)
  patience.look(0, BUSY)
  patience.ownArrived(10)
  patience.look(10, IDLE)
  patience.look(9_000, BUSY)
  patience.ownArrived(9_010)
  assert.equal(patience.limitMs, MIN_PATIENCE_MS)
})

test('a session that gives up sooner has less patience', () => {
  assert.equal(new Patience(2_000).limitMs, 2_000 * MAX_PATIENCE_PART)
})

test('companions that send something now and then may take as long again as the own share, and ten seconds at least', () => {
  for (const busyMs of [100, 30_000]) {
    const patience = new Patience(DEFAULT_STALL_MS)
    patience.look(0, BUSY)
    patience.look(busyMs, IDLE)
    const allowedMs = Math.max(busyMs, DEFAULT_STALL_MS * IDLE_PART)
    patience.look(busyMs + allowedMs, IDLE)
    assert.equal(patience.isSpent, false)
    patience.look(busyMs + allowedMs + 1, IDLE)
    assert.equal(patience.isSpent, true)
    patience.renew(busyMs + allowedMs + 1)
    assert.equal(patience.isSpent, false, 'the next one has its time anew')
  }
})
