import { isErrorCode } from '@holdfast/core'
import { threadCpuMs } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAccept, qualityOf } from './accept.ts'
import { locationQuery, negotiateFormat } from './format.ts'

const CHROME = 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8'
const CAR = 'application/vnd.ipld.car'
const RAW = 'application/vnd.ipld.raw'

for (const [accept, query, format, why] of [
  ['', '', undefined, 'nothing asked'],
  ['*/*', '', undefined, 'anything'],
  [CHROME, '', undefined, 'a browser'],
  [RAW, '', 'raw', 'Accept alone'],
  [RAW, 'format=json', 'json', 'the query wins'],
  [RAW, 'format=nonsense', 'raw', 'an unknown format is a query of the content'],
  ['', 'format=toString', undefined, 'a name of Object.prototype is no format'],
  [RAW, 'format=car&format=raw', 'car', 'the first of two formats'],
  ['APPLICATION/VND.IPLD.RAW', '', 'raw', 'types have no case'],
  [`${RAW};q=0.1,${CAR};q=0.2`, '', 'car', 'the higher quality'],
  [`${RAW},${CAR}`, '', 'raw', 'the first of equals'],
  [`${RAW};q=0,${CAR};q=0.001`, '', 'car', 'q=0 is a refusal'],
  [`${RAW};q=0`, '', undefined, 'q=0 alone'],
  [`${RAW};q=0.5, text/html`, '', undefined, 'a page is liked better'],
  [`${RAW};q=0.5, */*;q=0.9`, '', undefined, 'anything else is liked better'],
  ['application/json, text/plain, */*', '', 'json', 'axios'],
  ['text/html, application/json', '', undefined, 'a page first'],
  ['application/json, text/html', '', 'json', 'JSON first'],
  ['application/vnd.ipld.unknown, */*', '', undefined, 'an unknown type among others'],
  ['application/vnd.oci.image.manifest.v1+json', '', undefined, 'types of other worlds are not ours to judge'],
  [`${RAW};q=7`, '', 'raw', 'a malformed quality counts as 1'],
  ['rubbish, , ;;, /, a/b/c', '', undefined, 'rubbish'],
  [`x/y;a="1,2;${RAW}", ${CAR}`, '', 'car', 'separators inside quotes']
] as const) {
  test(`a format is chosen: ${why}`, () => {
    assert.equal(negotiateFormat(accept, new URLSearchParams(query)).format, format)
  })
}

test('IPLD types that nobody knows are refused with 400 when nothing else is accepted', () => {
  assert.throws(() => negotiateFormat('application/vnd.ipld.dag-pb', new URLSearchParams()), (err) => isErrorCode(err, 'INVALID') && err.details.httpStatus === 400)
})

test('parameters come with the type that was chosen', () => {
  const accept = `${CAR}; version=1; order=dfs; dups="Y", ${RAW}; x=y`
  assert.deepEqual({ ...negotiateFormat(accept, new URLSearchParams()).parameters }, { version: '1', order: 'dfs', dups: 'y' })
  assert.deepEqual({ ...negotiateFormat(accept, new URLSearchParams('format=car')).parameters }, { version: '1', order: 'dfs', dups: 'y' })
  assert.deepEqual({ ...negotiateFormat(RAW, new URLSearchParams('format=car')).parameters }, {})
})

test('a CAR with parameters that nobody has gives way to one that can be had', () => {
  const accept = `${CAR};order=foo, ${CAR};order=dfs;dups=y;q=0.5`
  assert.deepEqual({ ...negotiateFormat(accept, new URLSearchParams()).parameters }, { order: 'dfs', dups: 'y' })
  assert.deepEqual({ ...negotiateFormat(accept, new URLSearchParams('format=car')).parameters }, { order: 'dfs', dups: 'y' })
  assert.equal(negotiateFormat(`${CAR};order=foo, ${RAW};q=0.1`, new URLSearchParams()).format, 'raw')
  assert.deepEqual({ ...negotiateFormat(`${CAR};order=foo`, new URLSearchParams()).parameters }, { order: 'foo' })
})

test('a client that also takes plain content says so, one that names only a format does not', () => {
  const choose = (accept: string, query = ''): boolean => negotiateFormat(accept, new URLSearchParams(query)).acceptsDefault
  assert.equal(choose('application/json, */*;q=0.1'), true)
  assert.equal(choose('application/json, text/html;q=0.1'), true)
  assert.equal(choose('application/json'), false)
  assert.equal(choose('*/*', 'format=json'), false)
})

test('text/html must be named to count as a person looking', () => {
  assert.equal(negotiateFormat(CHROME, new URLSearchParams()).acceptsHtml, true)
  assert.equal(negotiateFormat('*/*', new URLSearchParams()).acceptsHtml, false)
  assert.equal(negotiateFormat('text/html;q=0', new URLSearchParams()).acceptsHtml, false)
})

for (const [accept, query, location] of [
  [RAW, '', 'format=raw'],
  [RAW, 'filename=a b&x=1', 'filename=a%20b&x=1&format=raw'],
  [`${CAR};order=dfs;dups=y`, '', 'format=car&car-order=dfs&car-dups=y'],
  [`${CAR};order=dfs;dups=y`, 'car-dups=n', 'car-dups=n&format=car&car-order=dfs'],
  [`${CAR};dups=y`, 'format=car', 'format=car&car-dups=y'],
  [RAW, 'format=json', 'format=json'],
  ['', 'format=raw', undefined],
  [RAW, 'format=raw', undefined],
  [CHROME, 'format=raw', undefined],
  [CHROME, '', undefined]
] as const) {
  test(`Content-Location names the format when the URL does not: Accept ${accept.slice(0, 40)}, query ${query}`, () => {
    const parameters = new URLSearchParams(query)
    assert.equal(locationQuery(parameters, negotiateFormat(accept, parameters), accept), location)
  })
}

test('the most specific media range decides a quality', () => {
  const ranges = parseAccept('text/*;q=0.3, text/html;q=0.7, */*;q=0.1')
  assert.deepEqual(['text/html', 'text/plain', 'image/png'].map((type) => qualityOf(ranges, type)), [0.7, 0.3, 0.1])
})

test('a header made to be slow to split is read in linear time', () => {
  const started = threadCpuMs()
  parseAccept('"'.repeat(8192))
  parseAccept(`a/b;${'x="'.repeat(4096)}`)
  assert.ok(threadCpuMs() - started < 200)
})
