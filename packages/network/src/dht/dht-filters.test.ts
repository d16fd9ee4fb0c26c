import { isErrorCode } from '@holdfast/core'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { TokenBuckets } from '../limits/token-buckets.ts'
import { MAX_DHT_QUESTION_BURST, MAX_DHT_QUESTIONS_PER_SECOND, MAX_DHT_RECORD_BURST, MAX_DHT_RECORDS_PER_SECOND } from '../limits.ts'
import { clientFilter, type ServerRates, serverFilter } from './dht-filters.ts'
import { DHT_MESSAGE, decodeDhtMessage, encodeDhtMessage, MAX_DHT_ANSWER_ADDRESSES, MAX_DHT_PEERS } from './dht-message.ts'
import type { MessageFilter } from './filtered-stream.ts'
import { MAX_PROVIDERS_PER_PEER, ProviderBook } from './provider-book.ts'

interface Server {
  readonly book: ProviderBook
  readonly clock: { nowMs: number }
  /** A new stream of a peer. */
  readonly open: (peer: Uint8Array) => MessageFilter
}

function newServer (): Server {
  const clock = { nowMs: 0 }
  const book = new ProviderBook()
  const records = new TokenBuckets({ perSecond: MAX_DHT_RECORDS_PER_SECOND, burst: MAX_DHT_RECORD_BURST, maxKeys: 10 }, () => clock.nowMs)
  const questions = new TokenBuckets({ perSecond: MAX_DHT_QUESTIONS_PER_SECOND, burst: MAX_DHT_QUESTION_BURST, maxKeys: 10 }, () => clock.nowMs)
  const rates: ServerRates = { takeRecord: (peer) => records.take(peer), takeQuestion: (peer) => questions.take(peer) }
  return { book, clock, open: (peer) => serverFilter(peer, { book, addressesFor: (provider) => provider, rates }) }
}

async function newPeer (): Promise<Uint8Array> {
  return peerIdFromPrivateKey(await generateKeyPair('Ed25519')).toMultihash().bytes
}

const ADDRESSES = [multiaddr('/ip4/192.0.2.1/tcp/4001').bytes]

let keyCount = 0

/** A record for another key each time. */
function record (peer: Uint8Array): Uint8Array {
  const key = Buffer.concat([Uint8Array.of(0x12, 0x20), createHash('sha256').update(String(keyCount++)).digest()])
  return encodeDhtMessage({ type: DHT_MESSAGE.addProvider, key, closer: [], providers: [{ id: peer, addresses: ADDRESSES }] })
}

test('of the records of one peer a hundred per second are kept, over all of its streams, and the rest dropped without a word', async () => {
  const { book, clock, open } = newServer()
  const [hasty, other] = [await newPeer(), await newPeer()]
  const streams = [open(hasty), open(hasty), open(hasty)]
  const send = (count: number): void => { for (let index = 0; index < count; index++) assert.equal(streams[index % 3]?.received(record(hasty)), undefined) }
  send(3 * MAX_DHT_RECORD_BURST)
  assert.equal(book.count, MAX_DHT_RECORD_BURST)
  clock.nowMs += 1_000
  send(1_000)
  assert.equal(book.count, MAX_DHT_RECORD_BURST + 100)
  open(other).received(record(other))
  assert.equal(book.count, MAX_DHT_RECORD_BURST + 101)
})

test('one peer leaves at most ten thousand records, however slowly', async () => {
  const { book, clock, open } = newServer()
  const peer = await newPeer()
  const stream = open(peer)
  assert.throws(() => {
    for (let count = 0; count <= MAX_PROVIDERS_PER_PEER; count++) {
      clock.nowMs += 20
      stream.received(record(peer))
    }
  }, (err) => isErrorCode(err, 'LIMIT'))
  assert.equal(book.count, MAX_PROVIDERS_PER_PEER)
})

test('too many questions of one peer end the stream, and not those of others', async () => {
  const { clock, open } = newServer()
  const [curious, other] = [await newPeer(), await newPeer()]
  const ping = encodeDhtMessage({ type: DHT_MESSAGE.ping, closer: [], providers: [] })
  const ask = (peer: Uint8Array): void => {
    const stream = open(peer)
    stream.received(ping)
    stream.sent(ping)
  }
  for (let count = 0; count < MAX_DHT_QUESTION_BURST; count++) ask(curious)
  assert.throws(() => { ask(curious) }, (err) => isErrorCode(err, 'LIMIT'))
  ask(other)
  clock.nowMs += 1_000
  for (let count = 0; count < MAX_DHT_QUESTIONS_PER_SECOND; count++) ask(curious)
  assert.throws(() => { ask(curious) }, (err) => isErrorCode(err, 'LIMIT'))
})

test('of an answer the library gets to see no more peers and addresses than a search can use', async () => {
  const peers = await Promise.all(Array.from({ length: 100 }, async () => ({ id: await newPeer(), addresses: Array.from({ length: 100 }, () => ADDRESSES).flat() })))
  const passed = clientFilter().received(encodeDhtMessage({ type: DHT_MESSAGE.getProviders, closer: peers, providers: peers }))
  assert.ok(passed !== undefined)
  const { closer, providers } = decodeDhtMessage(passed)
  for (const list of [closer, providers]) {
    assert.equal(list.length, MAX_DHT_PEERS)
    assert.ok(list.every(({ addresses }) => addresses.length === MAX_DHT_ANSWER_ADDRESSES))
  }
})
