import { isErrorCode } from '@holdfast/core'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { rpcCommand } from './rpc-command.ts'
import { parseDuration, parseQuery } from './rpc-request.ts'

const command = rpcCommand({
  args: { names: ['first', 'second'], required: 1, repeats: true },
  options: { recursive: ['bool', 'r'], offset: ['int'], name: ['string'] },
  async run () {}
})

test('arguments keep their order among the options', () => {
  assert.deepEqual(parseQuery('arg=b&recursive=true&arg=a&arg=b', command).args, ['b', 'a', 'b'])
})

test('values are read by the type of their option, under each of its names', () => {
  const cases: ReadonlyArray<readonly [string, object]> = [
    ['recursive=true', { recursive: true }],
    ['r=0', { recursive: false }],
    ['recursive', { recursive: true }],
    ['offset=-12', { offset: -12 }],
    ['name=a+b%2Bc', { name: 'a b+c' }],
    ['unheard-of=1&another', {}]
  ]
  for (const [query, options] of cases) assert.deepEqual(parseQuery(`arg=x&${query}`, command).options, options, query)
})

test('what is not of its type, given twice, missing or too much is refused with 400', () => {
  for (const query of ['', 'arg=x&recursive=maybe', 'arg=x&offset=1.5', 'arg=x&offset=99999999999999999', 'arg=x&name=a&name=b', 'arg=x&recursive=1&r=1', 'arg=x&encoding=xml', 'arg=x&timeout=soon', 'arg=x&cid-base=base2', 'arg=x'.repeat(1) + '&arg=x'.repeat(1024)]) {
    assert.throws(() => parseQuery(query, command), (err) => {
      assert.ok(isErrorCode(err, 'INVALID'))
      assert.deepEqual(err.details.refusal, { status: 400 }, query.slice(0, 50))
      return true
    })
  }
})

test('names of objects are options like any other, and known to nobody', () => {
  assert.deepEqual(parseQuery('arg=x&__proto__=1&constructor=2&hasOwnProperty=3', command).options, {})
})

test('durations are those of Go', () => {
  const cases: ReadonlyArray<readonly [string, number]> = [['300ms', 300], ['1.5s', 1500], ['1h30m', 5_400_000], ['10us', 1], ['2m0.5s', 120_500], ['999999h', 2 ** 31 - 1]]
  for (const [text, expected] of cases) assert.equal(parseDuration(text), expected, text)
  for (const text of ['', '5', 's', '-1s', '1 s', '1d', '1e3s', '1s'.repeat(9)]) assert.throws(() => parseDuration(text), (err) => isErrorCode(err, 'INVALID'), text)
})

test('any query is read or refused', () => {
  fc.assert(fc.property(fc.string({ maxLength: 60 }), (query) => {
    try {
      parseQuery(query, command)
    } catch (err) {
      assert.ok(isErrorCode(err, 'INVALID'), String(err))
    }
  }), { numRuns: 500 })
})
