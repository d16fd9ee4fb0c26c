import assert from 'node:assert/strict'
import { test } from 'node:test'
import { measured, openPeers, wantsOf } from './asked-peers.test.ts'
import { MIN_GAIN_FOR_DUPLICATE_MS, stealFrom } from './steal.ts'

const MIB = 1024 * 1024
const FAST = { rttMs: 50, bytesPerSecond: 20 * MIB }
const SLOW = { rttMs: 50, bytesPerSecond: MIB }

test('an idle peer takes the last block that a slower one owes, when a cancel still reaches that one', async () => {
  await using made = await openPeers()
  const [idle, slow] = made.peers
  measured(idle, FAST)
  measured(slow, SLOW)
  const wants = await wantsOf(4, MIB)
  for (const want of wants) slow.askForBlock(want)
  const stolen = stealFrom(idle, { holders: made.peers, isOurs: () => true, nowMs: performance.now() })
  assert.equal(stolen?.want, wants.at(-1))
  assert.equal(stolen?.from, slow)
})

test('what is on its way already is asked for twice only when its peer is later by a second', async () => {
  await using made = await openPeers()
  const [idle, slow, slowest] = made.peers
  measured(idle, FAST)
  measured(slow, { rttMs: 50, bytesPerSecond: 2 * MIB })
  const [one, two] = await wantsOf(2, MIB)
  slow.askForBlock(one)
  assert.equal(stealFrom(idle, { holders: made.peers, isOurs: () => true, nowMs: performance.now() }), undefined, 'half a second late')

  measured(slowest, { rttMs: 50, bytesPerSecond: MIB / 4 })
  slowest.askForBlock(two)
  assert.equal(stealFrom(idle, { holders: made.peers, isOurs: () => true, nowMs: performance.now() })?.from, slowest, 'four seconds late')
})

test('nothing is taken from peers that go on as they were measured, by a busy peer, or of another session', async () => {
  await using made = await openPeers()
  const [idle, other] = made.peers
  measured(idle, FAST)
  measured(other, FAST)
  const wants = await wantsOf(4, MIB)
  for (const want of wants) other.askForBlock(want)
  const nowMs = performance.now()
  assert.equal(stealFrom(idle, { holders: made.peers, isOurs: () => true, nowMs }), undefined)

  const late = { holders: made.peers, nowMs: nowMs + 10 * MIN_GAIN_FOR_DUPLICATE_MS }
  assert.equal(stealFrom(idle, { ...late, isOurs: () => false }), undefined)
  assert.equal(stealFrom(other, { ...late, isOurs: () => true }), undefined)
  assert.equal(stealFrom(idle, { ...late, isOurs: () => true })?.from, other, 'one that has been silent for ten seconds is late')
})

test('a peer that lacks a block, or did not send it before, does not take it', async () => {
  await using made = await openPeers()
  const [idle, slow] = made.peers
  measured(idle, FAST)
  measured(slow, SLOW)
  const [one, two, three, four] = await wantsOf(4, MIB)
  assert.ok(three && four)
  for (const want of [one, two, three, four]) slow.askForBlock(want)
  four.lackedBy.add(idle.id)
  three.missedBy.add(idle.id)
  assert.equal(stealFrom(idle, { holders: made.peers, isOurs: () => true, nowMs: performance.now() })?.want, two)
})

test('a holder that is found when all was asked of another takes over from that one, though nobody knows yet how fast it is', async () => {
  await using made = await openPeers()
  const [found, busy] = made.peers
  measured(busy, FAST)
  for (const want of await wantsOf(12, MIB)) busy.askForBlock(want)
  assert.equal(stealFrom(found, { holders: made.peers, isOurs: () => true, nowMs: performance.now() })?.from, busy)

  found.trust.missed(performance.now())
  assert.equal(stealFrom(found, { holders: made.peers, isOurs: () => true, nowMs: performance.now() }), undefined, 'one that failed before does not')
})
