import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { Turnstile } from './turnstile.ts'

test('of a crowd so many go through in each turn, in order, and who comes later waits behind them', async () => {
  const turnstile = new Turnstile(3)
  const through: number[] = []
  const go = async (index: number): Promise<void> => {
    await turnstile.pass()
    through.push(index)
  }
  const crowd = Array.from({ length: 8 }, async (_, index) => { await go(index) })
  await Promise.resolve()
  assert.deepEqual(through, [0, 1, 2])
  await turn()
  assert.deepEqual(through, [0, 1, 2, 3, 4, 5])
  crowd.push(go(8))
  await turn()
  assert.deepEqual(through, [0, 1, 2, 3, 4, 5, 6, 7, 8].slice(0, through.length))
  await Promise.all(crowd)
  assert.deepEqual(through, [0, 1, 2, 3, 4, 5, 6, 7, 8])
})

test('who comes alone does not wait', async () => {
  const turnstile = new Turnstile(1)
  for (let round = 0; round < 3; round++) {
    let isThrough = false
    void turnstile.pass().then(() => { isThrough = true })
    await Promise.resolve()
    assert.ok(isThrough)
    await turn()
    await turn()
  }
})
