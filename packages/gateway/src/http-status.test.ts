import { ERROR_CODES } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { httpStatusOf } from './http-status.ts'

test('each error code has the status that clients know it by', () => {
  assert.deepEqual(Object.fromEntries(ERROR_CODES.map((code) => [code, httpStatusOf(code)])), {
    INVALID: 400, CORRUPT: 500, NOT_FOUND: 404, LIMIT: 413, UNAVAILABLE: 503, UNSUPPORTED: 501
  })
})
