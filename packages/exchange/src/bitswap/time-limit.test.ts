import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { withTimeLimit } from './time-limit.ts'

const forEver = async (signal: AbortSignal): Promise<void> => { await delay(60_000, undefined, { signal }) }

test('what takes too long is aborted, and so is what the caller ends', async () => {
  let reason: unknown
  await assert.rejects(withTimeLimit({ timeoutMs: 5, what: 'Waiting' }, async (signal) => {
    signal.addEventListener('abort', () => { reason = signal.reason })
    await forEver(signal)
  }))
  assert.ok(isErrorCode(reason, 'UNAVAILABLE'))

  const ended = new AbortController()
  const waiting = withTimeLimit({ timeoutMs: 60_000, what: 'Waiting', signal: ended.signal }, forEver)
  ended.abort()
  await assert.rejects(waiting)
  await assert.rejects(withTimeLimit({ timeoutMs: 60_000, what: 'Waiting', signal: ended.signal }, forEver))
})

test('nothing of it stays in a signal that lives longer', async () => {
  const { signal } = new AbortController()
  for (let count = 0; count < 100; count++) await withTimeLimit({ timeoutMs: 60_000, what: 'Waiting', signal }, async () => {})
  assert.equal(getEventListeners(signal, 'abort').length, 0)
})
