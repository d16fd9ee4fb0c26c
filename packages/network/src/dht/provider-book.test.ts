import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import type { DhtPeer } from './dht-message.ts'
import { MAX_PROVIDERS_ANSWERED, PROVIDER_VALIDITY_MS, ProviderBook } from './provider-book.ts'

const ADDRESS = Uint8Array.of(4, 192, 0, 2, 1, 6, 15, 161)

/** The multihash of a number. */
function keyOf (number: number): Uint8Array {
  return Buffer.concat([Uint8Array.of(0x12, 0x20), createHash('sha256').update(String(number)).digest()])
}

function peerOf (number: number, addresses: readonly Uint8Array[] = [ADDRESS]): DhtPeer {
  return { id: keyOf(1_000_000 + number), addresses }
}

function idsOf (peers: readonly DhtPeer[]): string[] {
  return peers.map(({ id }) => Buffer.from(id).toString('hex'))
}

test('the newest providers are answered first, each once', () => {
  let nowMs = 0
  const book = new ProviderBook({}, () => nowMs)
  for (const number of [1, 2, 3, 1]) {
    nowMs++
    book.add(keyOf(0), peerOf(number))
  }
  assert.deepEqual(idsOf(book.find(keyOf(0))), idsOf([peerOf(1), peerOf(3), peerOf(2)]))
  assert.deepEqual(book.find(keyOf(1)), [])
  assert.equal(book.count, 3)
})

test('an answer names a bounded number of providers', () => {
  const book = new ProviderBook()
  for (let number = 0; number < 100; number++) book.add(keyOf(0), peerOf(number))
  assert.equal(book.find(keyOf(0)).length, MAX_PROVIDERS_ANSWERED)
})

test('T2.3-c: a record counts 48 hours and not a second more', () => {
  let nowMs = 0
  const book = new ProviderBook({}, () => nowMs)
  book.add(keyOf(0), peerOf(1))
  nowMs = PROVIDER_VALIDITY_MS
  assert.equal(book.find(keyOf(0)).length, 1)
  nowMs += 1000
  assert.equal(book.find(keyOf(0)).length, 0)
  assert.equal(book.count, 0)
})

test('the newest addresses of a peer count for all of its records', () => {
  const book = new ProviderBook()
  const moved = Uint8Array.of(4, 192, 0, 2, 2, 6, 15, 161)
  book.add(keyOf(0), peerOf(1))
  book.add(keyOf(1), peerOf(1, [moved]))
  assert.deepEqual(book.find(keyOf(0))[0]?.addresses, [moved])
})

test('T2.3-b: one peer cannot leave more than its share', () => {
  const book = new ProviderBook({ maxPerPeer: 100 })
  for (let number = 0; number < 100; number++) book.add(keyOf(number), peerOf(1))
  assert.throws(() => { book.add(keyOf(100), peerOf(1)) }, (err) => isErrorCode(err, 'LIMIT'))
  book.add(keyOf(5), peerOf(1))
  book.add(keyOf(100), peerOf(2))
  assert.equal(book.count, 101)
})

test('the oldest provider of a key makes room', () => {
  const book = new ProviderBook({ maxPerKey: 3 })
  for (const number of [1, 2, 3, 1, 4]) book.add(keyOf(0), peerOf(number))
  assert.deepEqual(idsOf(book.find(keyOf(0))).toSorted(), idsOf([peerOf(3), peerOf(1), peerOf(4)]).toSorted())
})

test('who fills the book pushes out itself', () => {
  const book = new ProviderBook({ maxRecords: 200 })
  for (let number = 0; number < 20; number++) book.add(keyOf(number), peerOf(1))
  for (let number = 0; number < 1000; number++) book.add(keyOf(1000 + number), peerOf(2))
  assert.ok(book.count <= 200)
  for (let number = 0; number < 20; number++) assert.equal(book.find(keyOf(number)).length, 1)
  assert.equal(book.find(keyOf(1999)).length, 1)
})

test('peers beyond the limit are refused, until others have expired', () => {
  let nowMs = 0
  const book = new ProviderBook({ maxPeers: 10 }, () => nowMs)
  for (let number = 0; number < 10; number++) book.add(keyOf(number), peerOf(number))
  assert.throws(() => { book.add(keyOf(0), peerOf(10)) }, (err) => isErrorCode(err, 'LIMIT'))
  nowMs = PROVIDER_VALIDITY_MS + 1
  book.add(keyOf(0), peerOf(10))
  assert.equal(book.count, 1)
})

test('own records roll over instead of failing', () => {
  const book = new ProviderBook({ maxPerPeer: 10 })
  for (let number = 0; number < 25; number++) book.addOwn(keyOf(number), peerOf(1))
  assert.equal(book.count, 10)
  assert.equal(book.find(keyOf(24)).length, 1)
})

for (const [what, key] of [
  ['nothing', new Uint8Array()],
  ['a multihash and one byte more', Buffer.concat([keyOf(0), Uint8Array.of(0)])],
  ['half a multihash', keyOf(0).subarray(0, 20)],
  ['a CID', Buffer.concat([Uint8Array.of(1, 0x55), keyOf(0)])],
  ['a digest of 100 bytes', Buffer.concat([Uint8Array.of(0x13, 100), new Uint8Array(100)])]
] as const) {
  test(`a key that is ${what} is INVALID`, () => {
    assert.throws(() => { new ProviderBook().add(key, peerOf(1)) }, (err) => isErrorCode(err, 'INVALID'))
  })
}

test('a key of any hash is kept', () => {
  const book = new ProviderBook()
  const blake3 = Buffer.concat([Uint8Array.of(0x1e, 32), new Uint8Array(32).fill(5)])
  book.add(blake3, peerOf(1))
  assert.equal(book.find(blake3).length, 1)
})
