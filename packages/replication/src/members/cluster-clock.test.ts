import { silentLogger } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CLOCK_TOLERANCE_MS } from '../limits.ts'
import { ClusterClock } from './cluster-clock.ts'

const DAY_MS = 86_400_000
const NOW_MS = 1_000 * DAY_MS

interface Heard {
  /** How far the clock of each is ahead, this node's first; `undefined` when it was not heard. */
  readonly ahead: ReadonlyArray<number | undefined>
  /** Places of the admins. */
  readonly admins: readonly number[]
}

/** The clock of a node that heard the others once. */
function clockOf ({ ahead, admins }: Heard): ClusterClock {
  const [own = 0, ...others] = ahead
  const clock = new ClusterClock({
    self: '0',
    now: () => NOW_MS + own,
    owners: () => ahead.map((_, index) => ({ peer: String(index), isAdmin: admins.includes(index) })),
    log: silentLogger
  })
  for (const [index, aheadMs] of others.entries()) if (aheadMs !== undefined) clock.hear(String(index + 1), NOW_MS + aheadMs)
  return clock
}

const ROWS: ReadonlyArray<readonly [what: string, heard: Heard, ahead: number]> = [
  ['alone', { ahead: [DAY_MS], admins: [0] }, DAY_MS],
  ['right, as all', { ahead: [0, 0, 0], admins: [0] }, 0],
  ['right, one other wrong', { ahead: [0, 0, DAY_MS], admins: [2] }, 0],
  ['a day ahead of two others', { ahead: [DAY_MS, 0, 0], admins: [1] }, 0],
  ['a day behind two others', { ahead: [-DAY_MS, 0, 0], admins: [1] }, 0],
  ['an admin ahead of two members', { ahead: [DAY_MS, 0, 0], admins: [0] }, 0],
  ['behind the admin that let it in', { ahead: [-DAY_MS, 0], admins: [1] }, 0],
  ['an admin that let in a member with another clock', { ahead: [DAY_MS, 0], admins: [0] }, DAY_MS],
  ['one of two admins', { ahead: [DAY_MS, 0], admins: [0, 1] }, DAY_MS],
  ['wrong, most not heard', { ahead: [DAY_MS, 0, 0, undefined, undefined, undefined], admins: [1] }, DAY_MS],
  ['wrong, most heard', { ahead: [DAY_MS, 0, 0, 0, undefined, undefined], admins: [1] }, 0],
  ['right, a minority tells the same lie', { ahead: [0, 0, 0, DAY_MS, DAY_MS], admins: [3] }, 0],
  ['a little ahead', { ahead: [CLOCK_TOLERANCE_MS, 0, 0], admins: [1] }, CLOCK_TOLERANCE_MS],
  ['between two that differ', { ahead: [0, CLOCK_TOLERANCE_MS, -CLOCK_TOLERANCE_MS], admins: [1, 2] }, 0]
]

for (const [what, heard, aheadMs] of ROWS) {
  test(`a node that is ${what} takes the time ${aheadMs === 0 ? 'that is right' : 'of its own'}`, () => {
    const clock = clockOf(heard)
    assert.equal(clock.now(), NOW_MS + aheadMs)
    assert.equal(clock.aheadMs('0'), (heard.ahead[0] ?? 0) - aheadMs)
  })
}

test('a clock that is set right is followed again', () => {
  let nowMs = NOW_MS + DAY_MS
  const clock = new ClusterClock({ self: '0', now: () => nowMs, owners: () => ['0', '1', '2'].map((peer) => ({ peer, isAdmin: peer === '1' })), log: silentLogger })
  for (const peer of ['1', '2']) clock.hear(peer, NOW_MS)
  assert.equal(clock.now(), NOW_MS)
  nowMs = NOW_MS
  for (const peer of ['1', '2']) clock.hear(peer, NOW_MS)
  assert.equal(clock.now(), NOW_MS)
  assert.equal(clock.aheadMs('0'), 0)
})

for (const wrongMs of [DAY_MS, -DAY_MS]) {
  test(`a clock that was a day ${wrongMs > 0 ? 'ahead' : 'behind'} and is set right counts before anybody is heard again, and while only one was`, () => {
    let nowMs = NOW_MS + wrongMs
    const clock = new ClusterClock({ self: '0', now: () => nowMs, elapsedMs: () => 0, owners: () => ['0', '1', '2', '3', '4'].map((peer) => ({ peer, isAdmin: peer === '1' })), log: silentLogger })
    for (const peer of ['1', '2', '3', '4']) clock.hear(peer, NOW_MS)
    nowMs = NOW_MS
    assert.equal(clock.now(), NOW_MS)
    assert.equal(clock.aheadMs('2'), 0)
    clock.hear('1', NOW_MS)
    assert.equal(clock.now(), NOW_MS)
  })
}

test('a wrong clock stays corrected while the machine sleeps', () => {
  let nowMs = NOW_MS + DAY_MS
  const clock = new ClusterClock({ self: '0', now: () => nowMs, elapsedMs: () => 0, owners: () => ['0', '1', '2'].map((peer) => ({ peer, isAdmin: peer === '1' })), log: silentLogger })
  for (const peer of ['1', '2']) clock.hear(peer, NOW_MS)
  nowMs += DAY_MS / 2
  assert.equal(clock.now(), NOW_MS + DAY_MS / 2)
})

test('who is no member any more has no say', () => {
  const owners = ['0', '1', '2'].map((peer) => ({ peer, isAdmin: peer !== '0' }))
  const clock = new ClusterClock({ self: '0', now: () => NOW_MS, owners: () => owners, log: silentLogger })
  for (const peer of ['1', '2']) clock.hear(peer, NOW_MS + DAY_MS)
  assert.equal(clock.now(), NOW_MS + DAY_MS)
  owners.pop()
  owners.push({ peer: '3', isAdmin: true })
  clock.hear('3', NOW_MS)
  assert.equal(clock.now(), NOW_MS)
  assert.equal(clock.aheadMs('2'), undefined)
})

test('a wrong clock is told once, and once more when it is right again', () => {
  const lines: string[] = []
  const log = { ...silentLogger, warn: (message: string) => { lines.push(message) }, info: (message: string) => { lines.push(message) } }
  const clock = new ClusterClock({ self: '0', now: () => NOW_MS, owners: () => ['0', '1', '2'].map((peer) => ({ peer, isAdmin: false })), log })
  for (const aheadMs of [DAY_MS, DAY_MS, 0]) for (const peer of ['1', '2']) clock.hear(peer, NOW_MS + aheadMs)
  assert.equal(lines.filter((line) => line.includes('clock of this node is wrong')).length, 1)
  assert.equal(lines.filter((line) => line.includes('of this node is right again')).length, 1)
})
