import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BackgroundTurns } from './background-turns.ts'

const STEP_MS = 4
const DEADLINE_MS = 20_000

function work (ms: number): void {
  for (const begin = performance.now(); performance.now() - begin < ms;);
}

test('beside others who always have something to do it takes the smaller part of the time', async () => {
  let othersCount = 0
  let isOver = false
  const beginOthers = (): void => {
    if (isOver) return
    work(STEP_MS)
    othersCount++
    setImmediate(beginOthers)
  }
  setImmediate(beginOthers)
  const turns = new BackgroundTurns()
  const ownCount = 10
  for (let count = 0; count < ownCount; count++) {
    work(STEP_MS)
    await turns.next()
    assert.equal(turns.isBusy, true)
  }
  isOver = true
  assert.ok(othersCount >= 2 * ownCount, `${othersCount} steps of others beside ${ownCount}`)
})

test('busy others are forgotten when they have nothing to do any more', async () => {
  const turns = new BackgroundTurns()
  assert.equal(turns.isBusy, false)
  setImmediate(() => { work(STEP_MS) })
  await turns.next()
  assert.equal(turns.isBusy, true)
  const begin = performance.now()
  while (turns.isBusy) {
    assert.ok(performance.now() - begin < DEADLINE_MS, 'others are taken for busy still')
    await turns.next()
  }
})
