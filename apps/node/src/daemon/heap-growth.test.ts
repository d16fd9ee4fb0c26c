import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { BUSY_BYTES, BUSY_GROWTH_PERCENT, HeapGrowth, QUIET_LOOKS } from './heap-growth.ts'

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

test('V8 knows the flag, and takes it while it runs', () => {
  const { status, stderr } = spawnSync(process.execPath, [`--heap-growing-percent=${BUSY_GROWTH_PERCENT}`, '--eval', 'require("node:v8").setFlagsFromString("--heap-growing-percent=0")'], { encoding: 'utf8' })
  assert.deepEqual({ status, stderr }, { status: 0, stderr: '' })
})
