import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { contentRange, parseRange } from './byte-ranges.ts'
import { MAX_RANGE_COUNT } from './limits.ts'

for (const [header, expected, why] of [
  ['bytes=6-16', [[6, 11]], 'first to last, inclusive'],
  ['bytes=-3', [[28, 3]], 'suffix'],
  ['bytes=-999', [[0, 31]], 'suffix longer than the file'],
  ['bytes=30-', [[30, 1]], 'open end'],
  ['bytes=0-', [[0, 31]], 'all of it, as a range'],
  ['bytes=30-99999999999999999999', [[30, 1]], 'last beyond the file and beyond 2^53'],
  ['bytes=6-16,0-4', [[6, 11], [0, 5]], 'order of the request'],
  ['bytes=6-16,,0-4,', [[6, 11], [0, 5]], 'empty list members'],
  ['Bytes = 1-2', [[1, 2]], 'unit in any case'],
  ['bytes=99-100,1-2', [[1, 2]], 'what lies outside is left out'],
  [`bytes=${Array(MAX_RANGE_COUNT).fill('0-0').join()}`, Array.from({ length: MAX_RANGE_COUNT }, () => [0, 1]), 'the most ranges'],
  ['bytes=31-', 'unsatisfiable', 'starts at the end'],
  ['bytes=-0', 'unsatisfiable', 'empty suffix'],
  ['bytes=99-100,200-', 'unsatisfiable', 'all outside'],
  [undefined, 'whole', 'no header'],
  ['bytes=', 'whole', 'no range'],
  ['bytes=-', 'whole', 'no number'],
  ['bytes=5-2', 'whole', 'backwards'],
  ['bytes=1-2,x', 'whole', 'one of them malformed'],
  ['bytes=0x1-2', 'whole', 'not decimal'],
  ['items=0-1', 'whole', 'another unit'],
  ['bytes=0-20,10-30', 'whole', 'together more than the file'],
  [`bytes=${Array(MAX_RANGE_COUNT + 1).fill('0-0').join()}`, 'whole', 'one range too many']
] as const) {
  test(`a Range header of a 31-byte file is read: ${why}`, () => {
    const request = parseRange(header, 31)
    const found = request.kind === 'ranges' ? request.ranges.map(({ offset, byteLength }) => [offset, byteLength]) : request.kind
    assert.deepEqual(found, expected)
  })
}

test('an empty file has no ranges to refuse', () => {
  for (const header of ['bytes=0-', 'bytes=-1', 'bytes=5-9']) assert.equal(parseRange(header, 0).kind, 'whole')
})

test('ranges never leave the file nor exceed its length together', () => {
  const spec = fc.tuple(fc.option(fc.nat(99)), fc.option(fc.nat(99))).map(([from, to]) => `${from ?? ''}-${to ?? ''}`)
  fc.assert(fc.property(fc.array(spec, { minLength: 1, maxLength: 20 }), fc.nat(64), (specs, total) => {
    const request = parseRange(`bytes=${specs.join()}`, total)
    if (request.kind !== 'ranges') return
    for (const { offset, byteLength } of request.ranges) assert.ok(offset >= 0 && byteLength > 0 && offset + byteLength <= total)
    assert.ok(request.ranges.reduce((sum, { byteLength }) => sum + byteLength, 0) <= total)
  }))
})

test('Content-Range names first and last byte', () => {
  assert.equal(contentRange({ offset: 6, byteLength: 11 }, 31), 'bytes 6-16/31')
})
