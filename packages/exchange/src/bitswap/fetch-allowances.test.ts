import { ByteLedger, MAX_PEER_BYTES } from '@holdfast/network'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FETCH_BYTES, FetchAllowances, MAX_WIDE_PEERS, WIDE_FROM_BYTES } from './fetch-allowances.ts'

test('a peer is allowed more from the moment that much is asked of it until it has owed nothing for a while', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const ledger = new ByteLedger(() => {})
  const allowance = new FetchAllowances((peer, maxBytes) => ledger.allow(peer, maxBytes)).open('peer')
  allowance.owes(WIDE_FROM_BYTES - 1)
  assert.equal(ledger.allowanceOf('peer'), MAX_PEER_BYTES)
  allowance.owes(WIDE_FROM_BYTES)
  allowance.owes(1)
  assert.equal(ledger.allowanceOf('peer'), FETCH_BYTES)
  allowance.owes(0)
  context.mock.timers.tick(9_000)
  allowance.owes(1)
  context.mock.timers.tick(9_000)
  assert.equal(ledger.allowanceOf('peer'), FETCH_BYTES, 'it owes again')
  allowance.owes(0)
  context.mock.timers.tick(10_000)
  assert.equal(ledger.allowanceOf('peer'), MAX_PEER_BYTES)
})

test('no more peers are allowed more than leave room in what all together may hold, and a place is free again when one is gone', () => {
  const ledger = new ByteLedger(() => {})
  const allowances = new FetchAllowances((peer, maxBytes) => ledger.allow(peer, maxBytes))
  const [first, ...others] = Array.from({ length: MAX_WIDE_PEERS + 1 }, (_, index) => allowances.open(`peer ${index}`))
  for (const each of [first, ...others]) each?.owes(WIDE_FROM_BYTES)
  const last = `peer ${MAX_WIDE_PEERS}`
  assert.equal(ledger.allowanceOf(last), MAX_PEER_BYTES)
  first?.[Symbol.dispose]()
  others.at(-1)?.owes(WIDE_FROM_BYTES)
  assert.equal(ledger.allowanceOf(last), FETCH_BYTES)
  assert.equal(ledger.allowanceOf('peer 0'), MAX_PEER_BYTES)
})
