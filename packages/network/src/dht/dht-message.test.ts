import { isErrorCode, isHoldfastError } from '@holdfast/core'
import { threadCpuMs } from '@holdfast/testkit'
import fc from 'fast-check'
import { multiaddr } from '@multiformats/multiaddr'
import { peerIdFromString } from '@libp2p/peer-id'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DHT_MESSAGE, decodeDhtMessage, type DhtPeer, encodeDhtMessage, frame, MAX_DHT_ADDRESSES, MAX_DHT_ENTRIES, MAX_DHT_KEY_BYTES, MAX_DHT_PEERS, MAX_DHT_RECORD_BYTES, MAX_DHT_REPLY_BYTES, MAX_DHT_REQUEST_BYTES } from './dht-message.ts'
import { MessageFrames } from './message-frames.ts'

const ID = peerIdFromString('12D3KooWRBhwfeP2Y4TCx1SM6s9rUoHhR5STiGwxBhgFRcw3UERE').toMultihash().bytes
const ADDRESS = multiaddr('/ip4/192.0.2.1/tcp/4001').bytes
const PEER: DhtPeer = { id: ID, addresses: [ADDRESS] }

test('what is written is read', () => {
  const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength })
  const peer = fc.record({ id: fc.constant(ID), addresses: fc.array(fc.nat({ max: 65_535 }).map((port) => multiaddr(`/ip4/192.0.2.1/tcp/${port}`).bytes), { maxLength: 4 }) })
  const message = fc.record({ type: fc.nat({ max: 5 }), key: bytes(MAX_DHT_KEY_BYTES), record: bytes(200), closer: fc.array(peer, { maxLength: 5 }), providers: fc.array(peer, { maxLength: 5 }) })
  fc.assert(fc.property(message, (given) => { assert.deepEqual(plain(decodeDhtMessage(encodeDhtMessage(given))), plain(given)) }))
})

test('the bytes are those of the specification', () => {
  const message = encodeDhtMessage({ type: DHT_MESSAGE.getProviders, key: Uint8Array.of(0x12, 0x01, 0xff), closer: [], providers: [{ id: ID, addresses: [] }] })
  assert.equal(Buffer.from(message).toString('hex'), `08031203${'1201ff'}4a28${'0a26'}${Buffer.from(ID).toString('hex')}`)
})

test('any bytes are read or refused with a reason', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
    try {
      decodeDhtMessage(bytes)
    } catch (err) {
      assert.ok(isHoldfastError(err), String(err))
    }
  }))
})

test('surplus peers and addresses are passed over, and the rest counts', () => {
  const many = Array.from({ length: 1000 }, () => PEER)
  const read = decodeDhtMessage(encodeDhtMessage({ type: DHT_MESSAGE.getProviders, closer: many, providers: many }))
  assert.equal(read.closer.length, MAX_DHT_PEERS)
  assert.equal(read.providers.length, MAX_DHT_PEERS)
  const addresses = Array.from({ length: 200 }, () => ADDRESS)
  assert.equal(decodeDhtMessage(encodeDhtMessage({ type: 3, closer: [{ id: ID, addresses }], providers: [] })).closer[0]?.addresses.length, MAX_DHT_ADDRESSES)
})

test('of too many addresses those that can be dialled are kept, and of too many peers those with an address', () => {
  const addresses = [...Array.from({ length: MAX_DHT_ADDRESSES }, () => multiaddr('/ip4/192.0.2.1/udp/4001/quic-v1').bytes), ADDRESS]
  const { closer: [peer] } = decodeDhtMessage(encodeDhtMessage({ type: DHT_MESSAGE.findNode, closer: [{ id: ID, addresses }], providers: [] }))
  assert.deepEqual(plain(peer?.addresses[0]), plain(ADDRESS))
  assert.equal(peer?.addresses.length, MAX_DHT_ADDRESSES)
  const peers = [...Array.from({ length: MAX_DHT_PEERS }, () => ({ id: ID, addresses: [] })), PEER]
  const { providers } = decodeDhtMessage(encodeDhtMessage({ type: DHT_MESSAGE.getProviders, closer: [], providers: peers }))
  assert.deepEqual([providers.length, providers[0]?.addresses.length], [MAX_DHT_PEERS, 1])
})

test('a whole answer of junk addresses is read in a few milliseconds', () => {
  const junk = (peer: number): DhtPeer => ({ id: ID, addresses: Array.from({ length: 100 }, (_, index) => index % 2 === 0 ? Uint8Array.of(4, 192, 0, 2, peer % 256, 6, index, 7, 0x91) : new Uint8Array(12).fill(index)) })
  const peers = Array.from({ length: 500 }, (_, index) => junk(index))
  const message = encodeDhtMessage({ type: DHT_MESSAGE.getProviders, closer: peers, providers: peers })
  decodeDhtMessage(message)
  const { user, system } = process.threadCpuUsage()
  assert.equal(decodeDhtMessage(message).closer.length, MAX_DHT_PEERS)
  const used = process.threadCpuUsage({ user, system })
  assert.ok(used.user + used.system < 40_000, `${used.user + used.system} µs`)
})

for (const [what, peer, left] of [
  ['an address that nobody can read', { id: ID, addresses: [Uint8Array.of(0xff, 0xff, 0x03, 1), ADDRESS] }, [1]],
  ['an empty address', { id: ID, addresses: [new Uint8Array(), ADDRESS] }, [1]],
  ['an address of 1 KiB', { id: ID, addresses: [new Uint8Array(1024), ADDRESS] }, [1]],
  ['a peer id that is none', { id: Uint8Array.of(1, 2, 3), addresses: [ADDRESS] }, []],
  ['an endless peer id', { id: new Uint8Array(1000), addresses: [ADDRESS] }, []]
] satisfies Array<[string, DhtPeer, number[]]>) {
  test(`${what} costs itself and not the message`, () => {
    const { closer } = decodeDhtMessage(encodeDhtMessage({ type: DHT_MESSAGE.findNode, closer: [peer, PEER], providers: [] }))
    assert.deepEqual(closer.map(({ addresses }) => addresses.length), [...left, 1])
  })
}

for (const [what, bytes, code] of [
  ['a key that is too long', encodeDhtMessage({ type: 3, key: new Uint8Array(MAX_DHT_KEY_BYTES + 1), closer: [], providers: [] }), 'LIMIT'],
  ['a record that is too long', encodeDhtMessage({ type: 0, record: new Uint8Array(MAX_DHT_RECORD_BYTES + 1), closer: [], providers: [] }), 'LIMIT'],
  ['a field that is cut short', Uint8Array.of(0x12, 0x05, 1), 'INVALID'],
  ['a wire type that is gone', Uint8Array.of(0x63), 'INVALID'],
  ['a varint without end', new Uint8Array(20).fill(0xff), 'INVALID']
] as const) {
  test(`${what} is ${code}`, () => {
    assert.throws(() => decodeDhtMessage(bytes), (err) => isErrorCode(err, code))
  })
}

test('T2.3-e: the largest message of empty entries is refused at once and costs no memory', () => {
  for (const tag of [0x42, 0x4a, 0x52, 0x12]) {
    const bytes = new Uint8Array(MAX_DHT_REPLY_BYTES)
    for (let at = 0; at < bytes.byteLength; at += 2) bytes[at] = tag
    const before = process.memoryUsage().heapUsed
    const startMs = threadCpuMs()
    assert.throws(() => decodeDhtMessage(bytes), (err) => isErrorCode(err, 'LIMIT') && err.message.includes(String(MAX_DHT_ENTRIES)))
    const usedMs = threadCpuMs() - startMs
    assert.ok(usedMs < 100, `${usedMs} ms of CPU`)
    assert.ok(process.memoryUsage().heapUsed - before < 16 << 20)
  }
})

test('T2.3-e: the largest message of one peer with empty addresses costs no stall', () => {
  const peer = new Uint8Array(MAX_DHT_REPLY_BYTES - 16)
  for (let at = 0; at < peer.byteLength; at += 2) peer[at] = 0x12
  const message = Buffer.concat([Uint8Array.of(0x42, ...lengthOf(peer.byteLength)), peer])
  const startMs = threadCpuMs()
  assert.throws(() => decodeDhtMessage(message), (err) => isErrorCode(err, 'LIMIT'))
  const usedMs = threadCpuMs() - startMs
  assert.ok(usedMs < 100, `${usedMs} ms of CPU`)
})

test('messages are found in bytes however they are cut', () => {
  const messages = [new Uint8Array(), Uint8Array.of(1), new Uint8Array(300).fill(7), new Uint8Array(70_000).fill(9)]
  const wire = Buffer.concat(messages.map(frame))
  for (const pieceBytes of [1, 2, 3, 7, 1000, wire.byteLength]) {
    const frames = new MessageFrames(70_000)
    const read: Uint8Array[] = []
    for (let at = 0; at < wire.byteLength; at += pieceBytes) read.push(...frames.push(wire.subarray(at, at + pieceBytes)))
    assert.deepEqual(read, messages, `pieces of ${pieceBytes}`)
  }
})

test('a message that is announced as too long is refused before its bytes come', () => {
  const frames = new MessageFrames(MAX_DHT_REQUEST_BYTES)
  assert.throws(() => [...frames.push(Uint8Array.of(...lengthOf(MAX_DHT_REQUEST_BYTES + 1)))], (err) => isErrorCode(err, 'LIMIT'))
  assert.throws(() => [...new MessageFrames(100).push(Uint8Array.of(0x80, 0x80, 0x80, 0x80, 0))], (err) => isErrorCode(err, 'INVALID'))
})

test('nothing of a refused message is kept, nor more of one than has come', () => {
  const frames = new MessageFrames(MAX_DHT_REQUEST_BYTES)
  const tooLong = Buffer.concat([Uint8Array.of(...lengthOf(MAX_DHT_REQUEST_BYTES + 1)), new Uint8Array(1 << 20)])
  assert.throws(() => [...frames.push(tooLong)], (err) => isErrorCode(err, 'LIMIT'))
  assert.equal(frames.heldBytes, 0)
  const half = new MessageFrames(MAX_DHT_REPLY_BYTES)
  assert.deepEqual([...half.push(Buffer.concat([Uint8Array.of(...lengthOf(MAX_DHT_REPLY_BYTES)), new Uint8Array(100)]))], [])
  assert.ok(half.heldBytes >= 100 && half.heldBytes <= 200, String(half.heldBytes))
  half.clear()
  assert.equal(half.heldBytes, 0)
})

function lengthOf (byteLength: number): number[] {
  return byteLength < 0x80 ? [byteLength] : [(byteLength % 0x80) | 0x80, ...lengthOf(Math.floor(byteLength / 0x80))]
}

/** Without the difference between a Buffer and a Uint8Array. */
function plain (value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  if (Array.isArray(value)) return value.map(plain)
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)])) : value
}
