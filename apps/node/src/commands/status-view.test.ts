import type { PinStatusEvent } from '@holdfast/api/client'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { statusCells, statusLines, waitedWords } from './status-view.ts'

const NOW_MS = 1_700_000_000_000

const STATUS: PinStatusEvent = {
  cid: 'bafy1',
  kind: 'recursive',
  name: 'photos',
  id: '0f'.repeat(16),
  meta: { from: 'camera' },
  origin: 'peer-a',
  expireAtMs: NOW_MS,
  state: 'degraded',
  copies: { min: 2, max: 4 },
  countedCount: 1,
  zoneCount: 1,
  missing: '1 copy is on its way',
  holders: [
    { peer: 'peer-a', name: 'attic', zone: 'home', state: 'verified', isCounted: true, byteLength: 2048, verifiedAtMs: NOW_MS - 250_000 },
    { peer: 'peer-b', state: 'fetching', isCounted: false, byteLength: 0, percent: 42.9, bytesPerSecond: 12 * 2 ** 20 },
    { peer: 'peer-c', state: 'refused', isCounted: false, byteLength: 0, why: 'no space' },
    { peer: 'peer-d', state: 'verified', isCounted: false, byteLength: 2048, verifiedAtMs: NOW_MS - 4_000, why: 'unreachable for 12 min' }
  ]
}

test('the state of a pin is a line of counts, and a line a member with state, percent, rate and reason', () => {
  assert.deepEqual(statusLines(STATUS, NOW_MS), [
    'bafy1  recursive  photos',
    '  copies 1/4, zones 1, verified 4 min ago: 1 copy is on its way',
    `  id ${'0f'.repeat(16)}  until 2023-11-14T22:13:20.000Z  from=camera`,
    '  peer-a  attic  zone home  2.0 KiB  verified 4 min ago',
    '  peer-b  -      -          -        fetching 42 %, 12.0 MiB/s',
    '  peer-c  -      -          -        refused: no space',
    '  peer-d  -      -          2.0 KiB  verified 4 s ago, does not count: unreachable for 12 min'
  ])
})

test('a copy is as old as the verification that is longest ago, and a clock that is behind makes none younger than now', () => {
  const holders: PinStatusEvent['holders'] = [100, -5, 3 * 3600].map((ageSeconds, index) => ({ peer: `peer-${index}`, state: 'verified', isCounted: true, byteLength: 1, verifiedAtMs: NOW_MS - ageSeconds * 1000 }))
  const lines = statusLines({ ...STATUS, holders }, NOW_MS)
  assert.match(lines[1] ?? '', /verified 3 h 0 min ago/)
  assert.match(lines[4] ?? '', /verified 0 s ago$/)
})

test('what other members wrote cannot write on the terminal', () => {
  const lines = statusLines({ ...STATUS, name: 'a\u001b[2Jb\u202e', meta: { 'k\n': 'v\r' }, zones: ['\u0007'], missing: '\u001b]0;x\u0007', holders: [{ peer: 'peer-a', name: '\u001b[31m', zone: '\n', state: 'failed', isCounted: false, byteLength: 0, why: '\u009b1m' }] }, NOW_MS)
  for (const line of [...lines, ...statusCells({ ...STATUS, name: '\u001b[2J' })]) assert.doesNotMatch(line, /[\p{Cc}\u202e]/u)
})

test('who waited for fewer copies than all reads what was waited for', () => {
  assert.deepEqual(waitedWords({ ...STATUS, countedCount: 2 }), ['Waited for 2 of 4 copies of bafy1: --wait waits for half of them at least, --wait-for 4 for all'])
  for (const countedCount of [1, 4]) assert.deepEqual(waitedWords({ ...STATUS, countedCount }), [], `${countedCount} of 4`)
})
