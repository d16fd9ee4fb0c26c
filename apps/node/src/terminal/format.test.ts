import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatBytes, formatSeconds, formatTable, printable } from './format.ts'
import { lineOf } from './progress.ts'

test('bytes are told in the largest unit that leaves a number to read', () => {
  const cases: ReadonlyArray<[number, string]> = [[0, '0 B'], [1023, '1023 B'], [1024, '1.0 KiB'], [1536, '1.5 KiB'], [102_400, '100 KiB'], [2 ** 30, '1.0 GiB'], [2 ** 60, '1024 PiB']]
  for (const [bytes, text] of cases) assert.equal(formatBytes(bytes), text)
})

test('durations are told in two units at most', () => {
  const cases: ReadonlyArray<[number, string]> = [[-1, '0 s'], [0.4, '0 s'], [59, '59 s'], [61, '1 min 1 s'], [3700, '1 h 1 min']]
  for (const [seconds, text] of cases) assert.equal(formatSeconds(seconds), text)
})

test('names cannot move the cursor, set the title or reorder the line', () => {
  const hostile = ['\u001b[2J', '\u001b]0;title\u0007', 'a\rb', 'a\nb', '\u202egnp.exe', '\u2066x', '\u0085', '\u2028']
  for (const name of hostile) {
    const shown = printable(name)
    assert.ok(!/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u.test(shown), JSON.stringify(shown))
  }
  assert.equal(printable('snow ☃ naïve 日本'), 'snow ☃ naïve 日本')
})

test('columns line up and the last one keeps its length', () => {
  assert.deepEqual(formatTable([['a', 'bb'], ['ccc', 'd']]), ['a    bb', 'ccc  d'])
})

test('a progress line tells fraction, rate and time left when the total is known', () => {
  const line = lineOf('Adding', { byteLength: 50 * 2 ** 20, totalByteLength: 100 * 2 ** 20 }, 0.5, 0, 10_000)
  assert.match(line, /^Adding {2}█{12}░{12} 50 % {2}50\.0 MiB {2}5\.0 MiB\/s {2}10 s left$/)
})

test('a progress line without a total counts', () => {
  assert.equal(lineOf('Adding', { byteLength: 2 ** 20, fileCount: 3 }, 0, 0, 1000), 'Adding  3 files  1.0 MiB  1.0 MiB/s')
})
