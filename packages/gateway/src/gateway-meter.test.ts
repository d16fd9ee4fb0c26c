import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GatewayMeter, type RequestOutcome } from './gateway-meter.ts'

const WHOLE: RequestOutcome = { format: 'raw', status: 200, sentByteLength: 10, durationMs: 3, headerDurationMs: 1, isWhole: true }

test('requests are counted by form and class of status, and those that broke off besides', () => {
  const meter = new GatewayMeter()
  for (let count = 0; count < 4; count++) meter.began()
  meter.ended(WHOLE)
  meter.ended({ ...WHOLE, status: 206 })
  meter.ended({ ...WHOLE, format: 'none', status: undefined, sentByteLength: 0, headerDurationMs: undefined, isWhole: false })
  const { openCount, requests, cutCount, sentByteLengthByFormat } = meter.figures()
  assert.deepEqual([openCount, cutCount, sentByteLengthByFormat], [1, 1, { raw: 20, none: 0 }])
  assert.deepEqual(requests, [{ format: 'raw', status: '2xx', count: 2 }, { format: 'none', status: 'none', count: 1 }])
})

test('durations fall into the bucket whose bound they do not exceed, and those above all into the last', () => {
  const meter = new GatewayMeter()
  for (const durationMs of [0, 1, 1.1, 30_000, 30_001, 4_000_000]) {
    meter.began()
    meter.ended({ ...WHOLE, durationMs })
  }
  const { boundsSeconds, counts, sumSeconds } = meter.figures().durationsByFormat['raw'] ?? assert.fail()
  assert.equal(counts.length, boundsSeconds.length + 1)
  assert.deepEqual(boundsSeconds, boundsSeconds.toSorted((a, b) => a - b))
  const inBucket = (seconds: number): number | undefined => counts[boundsSeconds.indexOf(seconds)]
  assert.deepEqual([inBucket(0.001), inBucket(0.0025), inBucket(30), inBucket(60), counts.at(-1)], [2, 1, 1, 1, 1])
  assert.ok(Math.abs(sumSeconds - 4060.0031) < 1e-6)
})
