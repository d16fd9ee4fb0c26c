import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { BackgroundTurns } from './background-turns.ts'

const STEP_MS = 4

/** Longer than busy others are remembered. */
const QUIET_MS = 200
const ATTEMPTS = 100

/** Takes `ms` of the processor, however long that takes beside other processes. */
function work (ms: number): void {
  for (const begin = cpuMs(); cpuMs() - begin < ms;);
}

function cpuMs (): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
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
  // One turn may take long by itself, as when the collector of garbage comes.
  for (let attempt = 1; turns.isBusy; attempt++) {
    assert.ok(attempt < ATTEMPTS, 'others are taken for busy still')
    await sleep(QUIET_MS)
    await turns.next()
  }
})
