import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { BUSY_BYTES, BUSY_GROWTH_PERCENT, growthFlags, HeapGrowth, QUIET_LOOKS } from './heap-growth.ts'

test('the heap takes large steps while blocks move, and small ones again once they do not', () => {
  const percents: number[] = []
  const growth = new HeapGrowth((percent) => { percents.push(percent) })
  growth.look(BUSY_BYTES - 1)
  assert.deepEqual(percents, [])
  growth.look(2 * BUSY_BYTES)
  growth.look(3 * BUSY_BYTES)
  assert.deepEqual(percents, [BUSY_GROWTH_PERCENT])
  for (let look = 1; look < QUIET_LOOKS; look++) growth.look(3 * BUSY_BYTES)
  assert.deepEqual(percents, [BUSY_GROWTH_PERCENT], 'a pause is no end')
  growth.look(3 * BUSY_BYTES)
  assert.deepEqual(percents, [BUSY_GROWTH_PERCENT, 0])
})

test('V8 knows the flags, and takes them while it runs', () => {
  const set = [...growthFlags(BUSY_GROWTH_PERCENT), ...growthFlags(0)].map((flag) => `setFlagsFromString('${flag}')`).join()
  const { status, stderr } = spawnSync(process.execPath, ['--eval', `const { setFlagsFromString } = require('node:v8'); ${set}`], { encoding: 'utf8' })
  assert.deepEqual({ status, stderr }, { status: 0, stderr: '' })
})

test('while blocks move, buffers that wait to be collected are let grow beyond 64 MB', () => {
  const countCollections = (flags: readonly string[]): number => {
    const program = `const { setFlagsFromString } = require('node:v8')
      for (const flag of ${JSON.stringify(flags)}) setFlagsFromString(flag)
      let left = 512
      const next = () => { Buffer.allocUnsafeSlow(1 << 20); if (--left > 0) setImmediate(next) }
      next()`
    const { status, stdout } = spawnSync(process.execPath, ['--trace-gc', '--eval', program], { encoding: 'utf8' })
    assert.equal(status, 0)
    return stdout.split('Mark-Compact').length - 1
  }
  const [ordinary, busy] = [countCollections(growthFlags(0)), countCollections(growthFlags(BUSY_GROWTH_PERCENT))]
  assert.ok(busy < ordinary, `${busy} collections instead of ${ordinary}`)
})
