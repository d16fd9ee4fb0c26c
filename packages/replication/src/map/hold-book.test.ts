import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HOLD_STATES } from '../record/record.ts'
import { HoldBook } from './hold-book.ts'
import type { StoredHold } from './stored-record.ts'

const hold: fc.Arbitrary<StoredHold> = fc.record({
  writer: fc.constantFrom('alice', 'bob'), pinKey: fc.constantFrom('aa', 'bb', 'cc'), seq: fc.nat(20), state: fc.constantFrom(...HOLD_STATES), byteLength: fc.nat(100)
}).map((fields) => ({ kind: 'hold', hash: JSON.stringify(fields), bucket: 0, bytes: '', hlc: [0, 0], ...fields }))

/** The totals, counted anew from what the book holds. */
function recounted (book: HoldBook): Map<string, { count: number, byteLength: number }> {
  const totals = new Map<string, { count: number, byteLength: number }>()
  for (const { writer, state, byteLength } of ['aa', 'bb', 'cc'].flatMap((pinKey) => [...book.of(pinKey)])) {
    if (state !== 'verified' && state !== 'complete') continue
    const { count, byteLength: before } = totals.get(writer) ?? { count: 0, byteLength: 0 }
    totals.set(writer, { count: count + 1, byteLength: before + byteLength })
  }
  return totals
}

test('the totals of copies are those of the holds that are there, whatever came, was replaced and went', () => {
  fc.assert(fc.property(fc.array(fc.tuple(fc.boolean(), hold), { maxLength: 60 }), (steps) => {
    const book = new HoldBook()
    for (const [isPut, word] of steps) {
      const known = book.get(word.pinKey, word.writer)
      if (isPut && book.isNews(word)) assert.equal(book.put(word), known)
      else if (!isPut && known !== undefined) book.delete(known)
      else if (!isPut) book.delete(word)
    }
    assert.deepEqual(new Map(book.totals), recounted(book))
    assert.equal(book.count, ['aa', 'bb', 'cc'].flatMap((pinKey) => [...book.of(pinKey)]).length)
  }))
})
