import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SharedRuns } from './shared-runs.ts'

/** An operation whose runs end when the test says so. */
function controlled (): { operation: () => Promise<void>, runs: Array<PromiseWithResolvers<void>> } {
  const runs: Array<PromiseWithResolvers<void>> = []
  return {
    runs,
    async operation () {
      const run = Promise.withResolvers<void>()
      runs.push(run)
      await run.promise
    }
  }
}

test('a call that comes while a run is on is answered by the next one, shared with the others', async () => {
  const { operation, runs } = controlled()
  const shared = new SharedRuns()
  const answered: string[] = []
  const first = shared.run('a', operation).then(() => answered.push('first'))
  const second = shared.run('a', operation).then(() => answered.push('second'))
  const third = shared.run('a', operation).then(() => answered.push('third'))

  runs[0]?.resolve()
  await first
  assert.deepEqual(answered, ['first'])
  assert.equal(runs.length, 2)
  runs[1]?.resolve()
  await Promise.all([second, third])
  assert.equal(runs.length, 2)
})

test('a failed run fails those who shared it, and the next one begins all the same', async () => {
  const { operation, runs } = controlled()
  const shared = new SharedRuns()
  const [first, second, third] = [shared.run('a', operation), shared.run('a', operation), shared.run('a', operation)]
  runs[0]?.reject(new Error('first run'))
  await assert.rejects(first, /first run/)
  runs[1]?.reject(new Error('second run'))
  await assert.rejects(second, /second run/)
  await assert.rejects(third, /second run/)

  const later = shared.run('a', operation)
  runs[2]?.resolve()
  await later
})

test('runs of different keys do not wait for each other', async () => {
  const { operation, runs } = controlled()
  const shared = new SharedRuns()
  const slow = shared.run('a', operation)
  const fast = shared.run('b', operation)
  runs[1]?.resolve()
  await fast
  runs[0]?.resolve()
  await slow
})
