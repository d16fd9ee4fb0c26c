import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { KeyLocks } from './key-locks.ts'

test('holders of a common key take turns in the order in which they asked', async () => {
  const locks = new KeyLocks()
  const order: number[] = []
  let holderCount = 0
  await Promise.all([['a'], ['a', 'b'], ['b', 'a'], ['b'], ['a']].map(async (keys, index) => {
    using _ = await locks.acquire(keys)
    if (keys.includes('a')) assert.equal(++holderCount, 1)
    await setImmediate()
    if (keys.includes('a')) holderCount--
    order.push(index)
  }))
  assert.deepEqual(order, [0, 1, 2, 3, 4])
})

test('holders of different keys do not wait for each other', async () => {
  const locks = new KeyLocks()
  using _a = await locks.acquire(['a'])
  using _b = await locks.acquire(['b', 'c'])
})

test('a caller that gives up leaves its place, and those behind it still wait for those before it', async () => {
  const locks = new KeyLocks()
  const first = await locks.acquire(['a'])
  const reason = new Error('changed my mind')
  const controller = new AbortController()
  const second = locks.acquire(['a'], controller.signal)
  let hasThird = false
  const third = locks.acquire(['a']).then((lock) => {
    hasThird = true
    return lock
  })
  controller.abort(reason)
  await assert.rejects(second, (err) => err === reason)
  await setImmediate()
  assert.equal(hasThird, false)
  first[Symbol.dispose]()
  using _ = await third
})

test('a lock that was let go of is free at once', async () => {
  const locks = new KeyLocks()
  for (let turn = 0; turn < 3; turn++) {
    using _ = await locks.acquire(['a'])
  }
})
