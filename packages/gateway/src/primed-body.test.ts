import { HoldfastError } from '@holdfast/core'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { Body } from './exchange.ts'
import { coalesce, PRIMED_BYTES, primeBody } from './primed-body.ts'

/** A body of these pieces that notes how much of it was pulled and whether it was closed. */
function bodyOf (lengths: readonly number[], byteLength?: number): { body: Body, seen: { pulled: number, closed: boolean } } {
  const seen = { pulled: 0, closed: false }
  const body: Body = {
    byteLength,
    async * read () {
      try {
        for (const length of lengths) {
          seen.pulled++
          yield Buffer.alloc(length, seen.pulled)
        }
      } finally {
        seen.closed = true
      }
    }
  }
  return { body, seen }
}

test('a body that ends early is in memory afterwards, in one piece', async () => {
  const { body, seen } = bodyOf([1, 2, 3])
  const primed = await primeBody(body)
  assert.deepEqual([primed.byteLength, primed.bytes?.byteLength, seen.closed], [6, 6, true])
})

test('of a long body only the beginning is read, and nothing is lost', async () => {
  const lengths = [10, PRIMED_BYTES, 7, 8]
  const { body, seen } = bodyOf(lengths)
  const primed = await primeBody(body)
  assert.deepEqual([primed.bytes, seen.pulled], [undefined, 2])
  assert.deepEqual((await Array.fromAsync(primed.read())).map(({ byteLength }) => byteLength), lengths)
})

test('a body that nobody reads is closed all the same', async () => {
  const { body, seen } = bodyOf([PRIMED_BYTES, 1])
  const primed = await primeBody(body)
  await primed.read()[Symbol.asyncIterator]().return?.()
  assert.equal(seen.closed, true)
})

test('a body that is as long as announced is not pulled further', async () => {
  const { body, seen } = bodyOf([5, 5, 5], 10)
  assert.equal((await primeBody(body)).bytes?.byteLength, 10)
  assert.deepEqual(seen, { pulled: 2, closed: true })
})

test('a body that ends before its announced length is CORRUPT', async () => {
  await assert.rejects(primeBody(bodyOf([5], 10).body), { code: 'CORRUPT' })
})

test('a failure at the beginning comes out before anything is sent', async () => {
  const error = new HoldfastError('NOT_FOUND', 'gone')
  await assert.rejects(primeBody({ async * read () { yield Buffer.alloc(1); throw error } }), (err) => err === error)
})

test('bytes that come in drops do not wait for a full beginning', async () => {
  const body: Body = {
    async * read () {
      for (;;) {
        yield Buffer.alloc(1)
        await setTimeout(40)
      }
    }
  }
  const started = performance.now()
  const primed = await primeBody(body)
  assert.ok(performance.now() - started < 1_000)
  await primed.read()[Symbol.asyncIterator]().return?.()
})

test('joining pieces changes nothing but their number, and copies no large one', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 30 }), fc.integer({ min: 1, max: 50 }), async (pieces, minBytes) => {
    const source = (async function * () { yield * pieces })()
    const joined = await Array.fromAsync(coalesce(source, minBytes))
    assert.deepEqual(Buffer.concat(joined), Buffer.concat(pieces))
    for (const piece of pieces) if (piece.byteLength >= minBytes) assert.ok(joined.includes(piece))
  }))
})
