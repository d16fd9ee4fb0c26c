import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { forEachConcurrently, Semaphore } from './concurrency.ts'

test('no more tasks run at once than allowed, and all of them run', async () => {
  const semaphore = new Semaphore(3)
  let running = 0
  let maxRunning = 0
  const results = await Promise.all(Array.from({ length: 20 }, (_, index) => semaphore.run(async () => {
    maxRunning = Math.max(maxRunning, ++running)
    await setImmediate()
    running--
    return index
  })))
  assert.equal(maxRunning, 3)
  assert.deepEqual(results, Array.from({ length: 20 }, (_, index) => index))
})

test('a task that fails, or whose caller gave up, makes room for the next', async () => {
  const semaphore = new Semaphore(1)
  const reason = new Error('changed my mind')
  await assert.rejects(semaphore.run(async () => { throw new Error('task') }), /task/)
  let wasRun = false
  await assert.rejects(semaphore.run(async () => { wasRun = true }, AbortSignal.abort(reason)), (err) => err === reason)
  assert.equal(wasRun, false)
  assert.equal(await semaphore.run(async () => 'next'), 'next')
})

test('after a failure nothing more begins, and what runs has ended before it is told', async () => {
  const begun: number[] = []
  const ended: number[] = []
  await assert.rejects(forEachConcurrently([0, 1, 2, 3, 4, 5], 2, async (item) => {
    begun.push(item)
    if (item === 1) throw new Error('second item')
    for (let turn = 0; turn < 5; turn++) await setImmediate()
    ended.push(item)
  }), /second item/)
  assert.deepEqual([begun, ended], [[0, 1], [0]])
})

test('a failure that is no error is told too', async () => {
  await assert.rejects(forEachConcurrently([1], 1, async () => await Promise.reject(undefined)), (err) => err === undefined)
})
