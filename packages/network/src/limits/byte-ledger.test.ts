import { isErrorCode } from '@holdfast/core'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { HeldBytes } from '../host.ts'
import { MAX_MEMBER_BYTES } from '../limits.ts'
import { ByteLedger } from './byte-ledger.ts'

function newLedger (limits: { maxPeerBytes?: number, maxBytes?: number }): { ledger: ByteLedger, reported: string[] } {
  const reported: string[] = []
  return { ledger: new ByteLedger(({ peer }) => { reported.push(peer) }, limits), reported }
}

test('one account counts what all parts hold for a peer', () => {
  const { ledger, reported } = newLedger({ maxPeerBytes: 10 })
  const [streams, exchange, other] = [ledger.hold('a'), ledger.hold('a'), ledger.hold('b')]
  streams.add(6)
  exchange.add(4)
  other.add(10)
  assert.equal(ledger.heldBytesOf('a'), 10)
  assert.equal(ledger.heldBytes, 20)
  assert.deepEqual(reported, [])
  assert.throws(() => { exchange.add(1) }, (err) => isErrorCode(err, 'LIMIT') && err.message.includes('10 bytes'))
  assert.deepEqual(reported, ['a'])
})

test('what is given back may be held again', () => {
  const { ledger, reported } = newLedger({ maxPeerBytes: 10 })
  const held = ledger.hold('a')
  for (let round = 0; round < 100; round++) {
    held.add(10)
    held.subtract(10)
  }
  held.add(7)
  held[Symbol.dispose]()
  held[Symbol.dispose]()
  assert.equal(ledger.heldBytes, 0)
  ledger.hold('a').add(10)
  assert.deepEqual(reported, [])
})

test('where all hold too much the one that holds most is reported, not the last to ask', () => {
  const { ledger, reported } = newLedger({ maxPeerBytes: 60, maxBytes: 100 })
  const [small, large, last] = [ledger.hold('small'), ledger.hold('large'), ledger.hold('last')]
  small.add(40)
  large.add(50)
  last.add(20)
  assert.deepEqual(reported, ['large'])
  assert.equal(ledger.heldBytes, 60)
})

test('the one that asks is refused where it holds most itself', () => {
  const { ledger, reported } = newLedger({ maxPeerBytes: 100, maxBytes: 100 })
  const [small, large] = [ledger.hold('small'), ledger.hold('large')]
  small.add(40)
  assert.throws(() => { large.add(70) }, (err) => isErrorCode(err, 'LIMIT'))
  assert.deepEqual(reported, ['large'])
  assert.equal(ledger.heldBytes, 40)
})

test('a reported peer begins anew, and what it still gives back changes nothing', () => {
  const { ledger, reported } = newLedger({ maxPeerBytes: 10 })
  const before = ledger.hold('a')
  before.add(8)
  assert.throws(() => { before.add(3) })
  assert.equal(ledger.heldBytes, 0)
  assert.throws(() => { before.add(1) }, (err) => isErrorCode(err, 'LIMIT'))
  const after = ledger.hold('a')
  after.add(5)
  before.subtract(8)
  before[Symbol.dispose]()
  assert.equal(ledger.heldBytesOf('a'), 5)
  assert.equal(ledger.heldBytes, 5)
  assert.deepEqual(reported, ['a'])
})

test('a member may hold more, until that is taken back', () => {
  const { ledger, reported } = newLedger({ maxPeerBytes: 10 })
  const held = ledger.hold('a')
  const allowance = ledger.allow('a', 30)
  held.add(30)
  held.subtract(20)
  allowance[Symbol.dispose]()
  assert.throws(() => { held.add(1) }, (err) => isErrorCode(err, 'LIMIT'))
  assert.deepEqual(reported, ['a'])
  assert.throws(() => ledger.allow('a', MAX_MEMBER_BYTES + 1), (err) => isErrorCode(err, 'INVALID'))
})

test('a line that was given back takes nothing more', () => {
  const { ledger } = newLedger({ maxPeerBytes: 10 })
  const held = ledger.hold('a')
  held[Symbol.dispose]()
  assert.throws(() => { held.add(1) })
  held.subtract(1)
  assert.equal(ledger.heldBytes, 0)
})

test('whatever is added and given back, no bound is passed and the sum is that of the lines', () => {
  const step = fc.record({ line: fc.nat(11), byteLength: fc.integer({ min: -40, max: 40 }), isEnd: fc.boolean() })
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const { ledger, reported } = newLedger({ maxPeerBytes: 60, maxBytes: 100 })
    const lines = new Map<number, { peer: string, held: HeldBytes, reportedBefore: number }>()
    const isOpen = ({ peer, reportedBefore }: { peer: string, reportedBefore: number }): boolean => reported.filter((each) => each === peer).length === reportedBefore
    for (const { line, byteLength, isEnd } of steps) {
      const peer = String(line % 3)
      const known = lines.get(line) ?? { peer, held: ledger.hold(peer), reportedBefore: reported.filter((each) => each === peer).length }
      lines.set(line, known)
      try {
        if (byteLength > 0) known.held.add(byteLength)
        else known.held.subtract(-byteLength)
      } catch (err) {
        assert.ok(isErrorCode(err, 'LIMIT'))
      }
      if (isEnd) {
        known.held[Symbol.dispose]()
        lines.delete(line)
      }
      assert.equal(ledger.heldBytes, lines.values().filter(isOpen).reduce((sum, { held }) => sum + held.heldBytes, 0))
      assert.ok(ledger.heldBytes <= 100)
      for (const name of ['0', '1', '2']) assert.ok(ledger.heldBytesOf(name) <= 60)
    }
    for (const { held } of lines.values()) held[Symbol.dispose]()
    assert.equal(ledger.heldBytes, 0)
  }))
})
