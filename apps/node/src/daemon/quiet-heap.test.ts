import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { BUSY_SHARE, QUIET_LOOKS, QuietWatch } from './quiet-heap.ts'

function watched (): { watch: QuietWatch, told: boolean[] } {
  const told: boolean[] = []
  return { watch: new QuietWatch((isSaving) => { told.push(isSaving) }), told }
}

test('memory is saved once, after the node was quiet for long enough', () => {
  const { watch, told } = watched()
  for (let count = 1; count < QUIET_LOOKS; count++) watch.look(0)
  assert.deepEqual(told, [])
  for (let count = 0; count < QUIET_LOOKS; count++) watch.look(BUSY_SHARE / 2)
  assert.deepEqual(told, [true])
})

test('the first look that finds work ends the saving', () => {
  const { watch, told } = watched()
  for (let count = 0; count < QUIET_LOOKS; count++) watch.look(0)
  watch.look(BUSY_SHARE)
  assert.deepEqual(told, [true, false])
})

test('work now and then begins the wait anew', () => {
  const { watch, told } = watched()
  for (let count = 0; count < 3 * QUIET_LOOKS; count++) watch.look(count % QUIET_LOOKS === 0 ? 1 : 0)
  assert.deepEqual(told, [])
})

test('this V8 knows the memory saver', () => {
  const { stderr, status } = spawnSync(process.execPath, ['--memory-saver-mode', '--no-memory-saver-mode', '-e', ''], { encoding: 'utf8' })
  assert.deepEqual([stderr, status], ['', 0])
})
