import type { PeerId } from '@holdfast/network'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HoldView } from '../cluster/own-holds.ts'
import { type Claim, isRepair, judgeClaims } from './claims.ts'
import type { KeepingMember } from './cluster-watch.ts'
import { FRESH_MS } from './limits.ts'

const NOW_MS = 2 * FRESH_MS

function hold (holder: PeerId, fields: Partial<HoldView> = {}): HoldView {
  return { holder, state: 'verified', byteLength: 1, atMs: NOW_MS, doubts: [], ...fields }
}

function membersOf (...peers: string[]): Map<PeerId, KeepingMember> {
  return new Map(peers.map((peer) => [peer, { peer, zone: undefined, weight: 1, isFull: false, isSelf: false, goneMs: 0, isDown: peer === 'gone', fetching: [] }]))
}

function countedOf (...holds: HoldView[]): PeerId[] {
  return judgeClaims(holds, { members: membersOf('a', 'b', 'c', 'd', 'gone'), nowMs: NOW_MS }).filter(({ isCounted }) => isCounted).map(({ holder }) => holder)
}

test('a copy counts while it is verified, fresh, and its holder a member that is there', () => {
  assert.deepEqual(countedOf(hold('a'), hold('b', { state: 'complete' }), hold('c', { atMs: NOW_MS - FRESH_MS - 1 }), hold('d', { atMs: NOW_MS - FRESH_MS }), hold('gone'), hold('stranger')), ['a', 'd'])
})

test('a copy that a holder doubts does not count, and a doubt of who has none is nothing', () => {
  assert.deepEqual(countedOf(hold('a', { doubts: ['b'] }), hold('b'), hold('c')), ['a', 'c'])
  assert.deepEqual(countedOf(hold('a', { doubts: ['b'], state: 'queued' }), hold('gone', { doubts: ['b'] }), hold('b')), ['b'])
  assert.deepEqual(countedOf(hold('a', { doubts: ['a'] })), ['a'], 'nobody doubts itself')
})

test('who doubts everybody and is doubted by everybody is not believed', () => {
  assert.deepEqual(countedOf(hold('a', { doubts: ['d'] }), hold('b', { doubts: ['d'] }), hold('c'), hold('d', { doubts: ['a', 'b', 'c'] })), ['a', 'b', 'c'])
})

test('a missing copy is a repair when somebody had one: who lost it, or who may have been removed with it', () => {
  const claims = (...holds: HoldView[]): Claim[] => judgeClaims(holds, { members: membersOf('a', 'b', 'gone'), nowMs: NOW_MS })
  const never = { lastRemovalMs: -Infinity }
  const removed = { lastRemovalMs: 100 }
  assert.ok(isRepair(claims(hold('a'), hold('gone')), [{ createdMs: 1 }], never))
  assert.ok(!isRepair(claims(hold('a'), hold('b', { state: 'fetching' })), [{ createdMs: 1 }], never))
  assert.ok(isRepair(claims(hold('a')), [{ createdMs: 99 }], removed))
  assert.ok(!isRepair(claims(hold('a')), [{ createdMs: 99 }, { createdMs: 100 }], removed), 'one of the pins is new')
  assert.ok(!isRepair(claims(hold('a', { state: 'complete' })), [{ createdMs: 99 }], removed), 'nobody has one yet')
})
