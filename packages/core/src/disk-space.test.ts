import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { test } from 'node:test'
import { isDiskFull, writeFailureOf } from './disk-space.ts'

function failure (code: number | string): Error {
  return Object.assign(new Error('Commit failed'), { code })
}

test('what a system says of a full disk, or of a share that is used up, is told as full', () => {
  for (const code of [28, 122, 'ENOSPC', 'EDQUOT']) assert.equal(writeFailureOf(tmpdir(), failure(code)), 'full', String(code))
})

test('a failure of a disk that has space is one of the disk', () => {
  assert.equal(isDiskFull(tmpdir()), false, 'the tests need some space')
  for (const code of [5, 'EIO']) assert.equal(writeFailureOf(tmpdir(), failure(code)), 'failed')
})

test('a disk that does not answer has failed', () => {
  assert.equal(isDiskFull('/nonexistent/folder'), false)
  assert.equal(writeFailureOf('/nonexistent/folder', failure(5)), 'failed')
})

test('whatever else went wrong is no failure to write', () => {
  for (const cause of [failure(-30_791), failure('EACCES'), new Error('no code'), 'text', undefined]) assert.equal(writeFailureOf(tmpdir(), cause), undefined)
})
