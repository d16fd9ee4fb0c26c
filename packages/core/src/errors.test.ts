import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ERROR_CODES, type ErrorCode, HoldfastError, isErrorCode, isHoldfastError } from './errors.ts'

test('the cause is kept whole and is no detail', () => {
  const cause = new TypeError('underneath')
  const err = new HoldfastError('UNAVAILABLE', 'Disk does not answer', { cause, path: 'blocks' })
  assert.equal(err.cause, cause)
  assert.deepEqual(err.details, { path: 'blocks' })
})

test('an error without a cause has none, not an undefined one', () => {
  assert.equal('cause' in new HoldfastError('INVALID', 'Not a CID'), false)
})

test('an error says its name, code and message when it is printed', () => {
  const err = new HoldfastError('LIMIT', 'Store is full')
  assert.equal(String(err), 'HoldfastError: Store is full')
  assert.equal(err.code, 'LIMIT')
  assert.ok(err instanceof Error && err.stack?.includes('errors.test.ts'))
})

test('each code matches itself only', () => {
  for (const code of ERROR_CODES) {
    const matching = ERROR_CODES.filter((other) => isErrorCode(new HoldfastError(code, 'x'), other))
    assert.deepEqual(matching, [code])
  }
})

test('the list of codes has every code once', () => {
  const all: Record<ErrorCode, true> = { INVALID: true, CORRUPT: true, NOT_FOUND: true, LIMIT: true, UNAVAILABLE: true, UNSUPPORTED: true }
  assert.deepEqual(ERROR_CODES.toSorted(), Object.keys(all).toSorted())
})

test('errors of another copy of the package match too', () => {
  class OtherCopy extends Error {
    override readonly name = 'HoldfastError'
    readonly code = 'LIMIT'
    readonly details = {}
  }
  assert.equal(isHoldfastError(new OtherCopy()), true)
  assert.equal(isErrorCode(new OtherCopy(), 'LIMIT'), true)
})

test('what is no error of ours matches no code', () => {
  const lookalike = { name: 'HoldfastError', code: 'LIMIT', details: {} }
  for (const other of [undefined, null, 'LIMIT', new Error('LIMIT'), Object.assign(new Error('x'), { code: 'LIMIT' }), lookalike]) {
    assert.equal(isHoldfastError(other), false)
    for (const code of ERROR_CODES) assert.equal(isErrorCode(other, code), false)
  }
})
