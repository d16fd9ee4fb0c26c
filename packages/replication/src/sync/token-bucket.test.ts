import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TokenBucket } from './token-bucket.ts'

test('a burst goes through, then so many a second, and idleness saves up no more than the burst', () => {
  let nowMs = 0
  const bucket = new TokenBucket(100, 10, () => nowMs)
  assert.equal(bucket.take(60), 60)
  assert.equal(bucket.take(60), 40)
  assert.equal(bucket.take(1), 0)
  nowMs += 1_050
  assert.equal(bucket.take(60), 10)
  nowMs += 1_000_000
  assert.equal(bucket.take(1000), 100)
})

test('who takes what is not there yet waits for it, and longer with each', () => {
  let nowMs = 0
  const bucket = new TokenBucket(1, 10, () => nowMs)
  assert.equal(bucket.takeLater(), 0)
  assert.equal(bucket.takeLater(), 100)
  assert.equal(bucket.takeLater(), 200)
  nowMs += 300
  assert.equal(bucket.takeLater(), 0)
})
