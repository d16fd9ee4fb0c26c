import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TokenBuckets } from './token-buckets.ts'

function takeAll (buckets: TokenBuckets, key: string, tries: number): number {
  return Array.from({ length: tries }, () => buckets.take(key)).filter(Boolean).length
}

test('a burst is let through once, then the rate', () => {
  let nowMs = 0
  const buckets = new TokenBuckets({ perSecond: 100, burst: 1000, maxKeys: 10 }, () => nowMs)
  assert.equal(takeAll(buckets, 'a', 5000), 1000)
  nowMs += 1000
  assert.equal(takeAll(buckets, 'a', 5000), 100)
  for (let step = 0; step < 100; step++) {
    nowMs += 5
    buckets.take('a')
  }
  assert.equal(takeAll(buckets, 'a', 5000), 0, 'half tokens are neither lost nor rounded up')
  nowMs += 3_600_000
  assert.equal(takeAll(buckets, 'a', 5000), 1000)
})

test('each key has its own rate', () => {
  const buckets = new TokenBuckets({ perSecond: 1, burst: 2, maxKeys: 10 }, () => 0)
  assert.equal(takeAll(buckets, 'a', 5), 2)
  assert.equal(takeAll(buckets, 'b', 5), 2)
})

test('the key that was unused longest is forgotten', () => {
  const buckets = new TokenBuckets({ perSecond: 1, burst: 1, maxKeys: 2 }, () => 0)
  for (const key of ['a', 'b', 'a', 'c']) buckets.take(key)
  assert.equal(buckets.keyCount, 2)
  assert.equal(buckets.take('a'), false, 'still known')
  assert.equal(buckets.take('b'), true, 'forgotten')
})
