import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LruCache } from './lru-cache.ts'

test('a full cache lets go of what was used longest ago', () => {
  const cache = new LruCache<string, number>(2)
  cache.set('a', 1)
  cache.set('b', 2)
  assert.equal(cache.get('a'), 1)
  cache.set('c', 3)
  assert.deepEqual(['a', 'b', 'c'].map((key) => cache.get(key)), [1, undefined, 3])
  cache.set('a', 4)
  assert.deepEqual([cache.get('a'), cache.count], [4, 2])
})

test('a cache tells how often it had what it was asked for', () => {
  const cache = new LruCache<string, number>(1)
  cache.set('a', 1)
  for (const key of ['a', 'b', 'a']) cache.get(key)
  cache.set('b', 2)
  cache.get('a')
  assert.deepEqual([cache.hitCount, cache.missCount], [2, 2])
})
