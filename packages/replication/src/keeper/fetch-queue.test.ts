import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { FetchQueue } from './fetch-queue.ts'
import { CONCURRENT_FETCHES, CONCURRENT_LOCAL_COPIES, CONCURRENT_SEARCHES, CONCURRENT_SMALL_FETCHES, SMALL_BYTES } from './limits.ts'
import { RetryBook } from './retry-book.ts'
import { SpaceLedger } from './space-ledger.ts'

const KNOWN = { hasSource: true, isLocal: false, copyCount: 1, wasTried: false, toldBytes: 0 }

/** A queue whose fetches end when they are told to. */
function openQueue (): { queue: FetchQueue, begun: string[], end: (pinKey: string) => Promise<void> } {
  const begun: string[] = []
  const running = new Map<string, PromiseWithResolvers<void>>()
  const queue = new FetchQueue(async (pinKey, signal) => {
    begun.push(pinKey)
    const gate = Promise.withResolvers<void>()
    running.set(pinKey, gate)
    signal.addEventListener('abort', () => { gate.resolve() }, { once: true })
    await gate.promise
  })
  return {
    queue,
    begun,
    end: async (pinKey) => {
      await nextTurn()
      running.get(pinKey)?.resolve()
      await queue.ended(pinKey)
      await nextTurn()
    }
  }
}

test('what has the fewest copies is fetched first, and what failed before after what was never tried', async () => {
  const { queue, begun, end } = openQueue()
  await using _ = queue
  for (let index = 0; index < CONCURRENT_FETCHES; index++) queue.add(`busy ${index}`, KNOWN)
  queue.add('three', { ...KNOWN, copyCount: 3 })
  queue.add('one, failed', { ...KNOWN, wasTried: true })
  queue.add('two', { ...KNOWN, copyCount: 2 })
  queue.add('one', KNOWN)
  queue.add('gone', KNOWN)
  queue.remove('gone')
  queue.add('two', { ...KNOWN, copyCount: 0 })
  for (let index = 0; index < 4; index++) await end(`busy ${index}`)
  assert.deepEqual(begun.slice(CONCURRENT_FETCHES), ['two', 'one', 'one, failed', 'three'])
})

test('content that nobody has takes no slot of what can be fetched', async () => {
  const { queue, begun } = openQueue()
  await using _ = queue
  for (let index = 0; index < 100; index++) queue.add(`nowhere ${index}`, { ...KNOWN, hasSource: false })
  queue.add('here', KNOWN)
  await nextTurn()
  assert.equal(begun.length, CONCURRENT_SEARCHES + 1)
  assert.ok(begun.includes('here'))
})

test('small content is fetched many at a time, beside what is large and what is here', async () => {
  const { queue, begun } = openQueue()
  await using _ = queue
  for (let index = 0; index < 100; index++) queue.add(`large ${index}`, { ...KNOWN, toldBytes: SMALL_BYTES + 1 })
  for (let index = 0; index < 100; index++) queue.add(`small ${index}`, { ...KNOWN, toldBytes: SMALL_BYTES })
  for (let index = 0; index < 100; index++) queue.add(`here ${index}`, { ...KNOWN, isLocal: true })
  await nextTurn()
  assert.equal(begun.filter((name) => name.startsWith('here')).length, CONCURRENT_LOCAL_COPIES)
  assert.equal(begun.filter((name) => name.startsWith('large')).length, CONCURRENT_FETCHES)
  assert.equal(begun.filter((name) => name.startsWith('small')).length, CONCURRENT_SMALL_FETCHES)
})

test('waits double up to a bound; a refusal has its own, and a new holder ends the wait', () => {
  const book = new RetryBook({ firstMs: 60_000 })
  const waits = Array.from({ length: 12 }, () => {
    book.failed('pin', 'nobody has it')
    return book.get('pin')?.waitMs
  })
  assert.deepEqual(waits.slice(0, 3), [60_000, 120_000, 240_000])
  assert.equal(waits.at(-1), 6 * 60 * 60_000)
  assert.ok(!book.isDue('pin'))
  book.hurry('pin')
  assert.ok(book.isDue('pin'))
  book.refused('pin', 'no space', 1_000)
  book.hurry('pin')
  assert.ok(!book.isDue('pin'), 'space does not come with a holder')
  assert.equal(book.refusedCount, 1)
})

test('no more is promised than there is, and a member that was full takes pins again only when there is room', () => {
  const ledger = new SpaceLedger(100)
  assert.ok(ledger.reserve('a', 60))
  assert.ok(!ledger.reserve('b', 41))
  assert.equal(ledger.usedBytes, 60)
  assert.ok(ledger.reserve('b', 36))
  assert.ok(ledger.isFull)
  ledger.set('b', 30)
  assert.ok(ledger.isFull, '90 % is not room enough')
  ledger.release('b')
  assert.ok(!ledger.isFull)
  assert.ok(ledger.reserve('a', 50), 'less always fits')
  assert.equal(ledger.freeBytes, 50)
  assert.ok(new SpaceLedger(0).isFull)
})
