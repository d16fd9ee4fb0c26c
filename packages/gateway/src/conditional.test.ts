import assert from 'node:assert/strict'
import { test } from 'node:test'
import { evaluatePreconditions, rangeStillValid } from './conditional.ts'
import type { GatewayRequest } from './exchange.ts'

const ETAG = '"bafy"'
const MODIFIED_MS = Date.UTC(2024, 4, 5, 6, 7, 8, 900)
const DATE = 'Sun, 05 May 2024 06:07:08 GMT'
const LATER = 'Sun, 05 May 2024 06:07:09 GMT'
const EARLIER = 'Sun, 05 May 2024 06:07:07 GMT'

function request (headers: Record<string, string>): GatewayRequest {
  return { method: 'GET', target: '/', headers, signal: new AbortController().signal }
}

for (const [headers, verdict, why] of [
  [{}, 'send', 'no precondition'],
  [{ 'if-none-match': ETAG }, 'not-modified', 'the same tag'],
  [{ 'if-none-match': `W/${ETAG}` }, 'not-modified', 'the same tag, weak'],
  [{ 'if-none-match': `"a", W/"b,c",${ETAG}` }, 'not-modified', 'third of a list, with a comma inside a tag'],
  [{ 'if-none-match': ' * ' }, 'not-modified', 'any'],
  [{ 'if-none-match': '"other"' }, 'send', 'another tag'],
  [{ 'if-none-match': 'bafy' }, 'send', 'a tag without quotes is none'],
  [{ 'if-none-match': '"baf"' }, 'send', 'a part of the tag'],
  [{ 'if-none-match': '' }, 'send', 'an empty header'],
  [{ 'if-none-match': '"other"', 'if-modified-since': DATE }, 'send', 'tags go before dates'],
  [{ 'if-modified-since': DATE }, 'not-modified', 'same second'],
  [{ 'if-modified-since': LATER }, 'not-modified', 'a later date'],
  [{ 'if-modified-since': EARLIER }, 'send', 'an earlier date'],
  [{ 'if-modified-since': 'Sunday, 05-May-24 06:07:08 GMT' }, 'not-modified', 'a date of RFC 850'],
  [{ 'if-modified-since': 'Sun May  5 06:07:08 2024' }, 'not-modified', 'a date of asctime'],
  [{ 'if-modified-since': 'yesterday' }, 'send', 'not a date'],
  [{ 'if-modified-since': '2024-05-05T06:07:08Z' }, 'send', 'not an HTTP date'],
  [{ 'if-match': ETAG }, 'send', 'If-Match holds'],
  [{ 'if-match': '*' }, 'send', 'If-Match holds for any'],
  [{ 'if-match': `W/${ETAG}` }, 'failed', 'If-Match compares strongly'],
  [{ 'if-match': '"other"' }, 'failed', 'If-Match does not hold'],
  [{ 'if-unmodified-since': EARLIER }, 'failed', 'modified since'],
  [{ 'if-unmodified-since': DATE }, 'send', 'not modified since'],
  [{ 'if-match': ETAG, 'if-none-match': ETAG }, 'not-modified', 'both hold']
] as const) {
  test(`preconditions are evaluated: ${why}`, () => {
    assert.equal(evaluatePreconditions(request(headers), { etag: ETAG, modifiedMs: MODIFIED_MS }), verdict)
  })
}

test('dates say nothing about content without a modification time', () => {
  assert.equal(evaluatePreconditions(request({ 'if-modified-since': DATE }), { etag: ETAG }), 'send')
  assert.equal(evaluatePreconditions(request({ 'if-unmodified-since': EARLIER }), { etag: ETAG }), 'send')
})

test('a weak tag matches a weak tag for If-None-Match only', () => {
  const validators = { etag: 'W/"car"' }
  assert.equal(evaluatePreconditions(request({ 'if-none-match': 'W/"car"' }), validators), 'not-modified')
  assert.equal(evaluatePreconditions(request({ 'if-none-match': '"car"' }), validators), 'not-modified')
  assert.equal(evaluatePreconditions(request({ 'if-match': 'W/"car"' }), validators), 'failed')
})

for (const [ifRange, valid] of [
  [ETAG, true], ['"other"', false], [`W/${ETAG}`, false], [DATE, true], [LATER, false], [EARLIER, false], ['rubbish', false]
] as const) {
  test(`If-Range ${ifRange} ${valid ? 'keeps' : 'drops'} the range`, () => {
    assert.equal(rangeStillValid(request({ 'if-range': ifRange }), { etag: ETAG, modifiedMs: MODIFIED_MS }), valid)
  })
}
