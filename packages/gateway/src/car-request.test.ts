import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CarRequest, entityRangeOf, parseCarRequest } from './car-request.ts'
import { negotiateFormat } from './format.ts'

function parse (query: string, accept = ''): CarRequest {
  const parameters = new URLSearchParams(query)
  return parseCarRequest(parameters, negotiateFormat(accept, parameters))
}

const DEFAULTS: CarRequest = { scope: 'all', entityBytes: undefined, duplicates: false }
const CAR = 'application/vnd.ipld.car'

for (const [query, accept, expected] of [
  ['format=car', '', DEFAULTS],
  ['format=car&dag-scope=block', '', { ...DEFAULTS, scope: 'block' }],
  ['format=car&dag-scope=entity', '', { ...DEFAULTS, scope: 'entity' }],
  ['format=car&car-dups=y&car-order=unk&car-version=1', '', { ...DEFAULTS, duplicates: true }],
  ['', `${CAR};version=1;order=dfs;dups=y`, { ...DEFAULTS, duplicates: true }],
  ['format=car&car-dups=n', `${CAR};dups=y`, DEFAULTS],
  ['format=car&entity-bytes=0:*', '', { ...DEFAULTS, scope: 'entity', entityBytes: { from: 0, to: undefined } }],
  ['format=car&entity-bytes=-5:-1&dag-scope=block', '', { ...DEFAULTS, scope: 'block', entityBytes: { from: -5, to: -1 } }],
  ['format=car&entity-bytes=512:-256', '', { ...DEFAULTS, scope: 'entity', entityBytes: { from: 512, to: -256 } }]
] as const) {
  test(`CAR parameters are read: ${query} ${accept}`, () => {
    assert.deepEqual(parse(query, accept), expected)
  })
}

for (const query of [
  'car-version=2', 'car-version=', 'car-order=bfs', 'car-dups=yes', 'dag-scope=everything', 'dag-scope=',
  'entity-bytes=', 'entity-bytes=5', 'entity-bytes=5:', 'entity-bytes=:5', 'entity-bytes=*:5', 'entity-bytes=a:b', 'entity-bytes=1:2:3',
  'entity-bytes=5:2', 'entity-bytes=-2:-5', 'entity-bytes=1e3:*', 'entity-bytes=0:9999999999999999'
]) {
  test(`a CAR parameter that means nothing is refused with 400: ${query}`, () => {
    assert.throws(() => parse(`format=car&${query}`), (err) => isErrorCode(err, 'INVALID') && err.details.httpStatus === 400)
  })
}

for (const [text, byteLength, expected, why] of [
  ['0:*', 1026, [0, 1026], 'all'],
  ['512:*', 1026, [512, 1026], 'the rest'],
  ['512:1023', 1026, [512, 1024], 'a middle, inclusive'],
  ['512:-256', 1026, [512, 771], 'up to the 256th byte from the end'],
  ['-5:*', 1026, [1021, 1026], 'a suffix'],
  ['-9999:*', 1026, [0, 1026], 'a suffix longer than the file'],
  ['-9999:-3', 1026, [0, 1024], 'a start before the file'],
  ['0:0', 1026, [0, 1], 'the first byte'],
  ['1000:9999', 1026, [1000, 1026], 'an end beyond the file'],
  ['500:-1000', 1026, [500, 500], 'empty: the end is before the start'],
  ['0:*', 0, [0, 0], 'an empty file']
] as const) {
  test(`entity-bytes is cut to the file: ${why}`, () => {
    const { offset, end } = entityRangeOf(parse(`format=car&entity-bytes=${text}`).entityBytes, byteLength)
    assert.deepEqual([offset, end], expected)
  })
}

for (const text of ['1026:*', '9999:99999', '-9999:-1027']) {
  test(`entity-bytes wholly outside of the file is refused with 400: ${text}`, () => {
    assert.throws(() => entityRangeOf(parse(`format=car&entity-bytes=${text}`).entityBytes, 1026), (err) => isErrorCode(err, 'INVALID') && err.details.httpStatus === 400)
  })
}
