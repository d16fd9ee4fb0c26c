import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Watchdog } from './watchdog.ts'

test('a watchdog barks once when nobody disarmed it in time, and again when it was armed again', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  let barkCount = 0
  using watchdog = new Watchdog(100, () => { barkCount++ })
  watchdog.arm()
  context.mock.timers.tick(99)
  assert.equal(barkCount, 0)
  context.mock.timers.tick(1)
  assert.equal(barkCount, 1)
  context.mock.timers.tick(1000)
  assert.equal(barkCount, 1)
  watchdog.arm()
  context.mock.timers.tick(100)
  assert.equal(barkCount, 2)
})

test('a watchdog that is disarmed, or gone, keeps silent', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  let barkCount = 0
  {
    using watchdog = new Watchdog(100, () => { barkCount++ })
    watchdog.arm()
    watchdog.disarm()
    context.mock.timers.tick(1000)
    watchdog.arm()
  }
  context.mock.timers.tick(1000)
  assert.equal(barkCount, 0)
})

test('arming an armed watchdog begins its time anew', async () => {
  let barkedAtMs = 0
  const barked = Promise.withResolvers<void>()
  using watchdog = new Watchdog(80, () => {
    barkedAtMs = performance.now()
    barked.resolve()
  })
  watchdog.arm()
  await new Promise((resolve) => { setTimeout(resolve, 40) })
  const armedAtMs = performance.now()
  watchdog.arm()
  await barked.promise
  assert.ok(barkedAtMs - armedAtMs >= 75, `${barkedAtMs - armedAtMs} ms after it was armed again`)
})
