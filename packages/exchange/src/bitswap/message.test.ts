import { Block, isErrorCode } from '@holdfast/core'
import { threadCpuMs } from '@holdfast/testkit'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CID_V0_PREFIX, cidPrefixOf, decodeCidPrefix } from './cid-prefix.ts'
import { MAX_LIVE_WANTS, MAX_MESSAGE_BLOCKS, MAX_MESSAGE_BYTES, MAX_MESSAGE_CANCELS, MAX_MESSAGE_PRESENCES, MAX_MESSAGE_WANTS } from './limits.ts'
import { MAX_EXTRA_FIELDS } from './message-fields.ts'
import { encodeMessage, type OutgoingMessage } from './message-writer.ts'
import { type BitswapMessage, decodeMessage, type WantEntry } from './message.ts'
import { BITSWAP_PROTOCOLS, type BitswapProtocol } from './protocols.ts'

const CURRENT = '/ipfs/bitswap/1.2.0'

const anyCid: fc.Arbitrary<CID> = fc.record({ codec: fc.constantFrom(0x55, 0x70, 0x71), digest: fc.uint8Array({ minLength: 32, maxLength: 32 }), isV0: fc.boolean() })
  .map(({ codec, digest, isV0 }) => isV0 ? CID.createV0(createDigest(0x12, digest)) : CID.createV1(codec, createDigest(0x12, digest)))

const anyWant: fc.Arbitrary<WantEntry> = fc.record({
  cid: anyCid,
  priority: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
  isCancel: fc.boolean(),
  type: fc.constantFrom('block', 'have'),
  sendDontHave: fc.boolean()
})

const anyMessage: fc.Arbitrary<Required<OutgoingMessage>> = fc.record({
  wants: fc.array(anyWant, { maxLength: 20 }),
  isFull: fc.boolean(),
  blocks: fc.array(fc.record({ prefix: anyCid.map(cidPrefixOf), data: fc.uint8Array({ maxLength: 3000 }) }), { maxLength: 5 }),
  presences: fc.array(fc.record({ cid: anyCid, type: fc.constantFrom('have', 'dont-have') }), { maxLength: 20 })
})

test('what is written in 1.2 is read back as it was', () => {
  fc.assert(fc.property(anyMessage, (message) => {
    const { pendingBytes, skippedWantCount, ...decoded } = decodeMessage(bodyOf(message, CURRENT))
    assert.deepEqual(plainOf(decoded), plainOf(message))
    assert.deepEqual({ pendingBytes, skippedWantCount }, { pendingBytes: 0, skippedWantCount: 0 })
  }))
})

test('an older protocol says less: 1.1 has no presences, 1.0 no prefixes', () => {
  fc.assert(fc.property(anyMessage, (message) => {
    const wants = message.wants.map((want): WantEntry => ({ ...want, type: 'block', sendDontHave: false }))
    const in11 = decodeMessage(bodyOf(message, '/ipfs/bitswap/1.1.0'))
    assert.deepEqual(plainOf(in11), plainOf({ ...message, wants, presences: [] }))
    const in10 = decodeMessage(bodyOf(message, '/ipfs/bitswap/1.0.0'))
    assert.deepEqual(plainOf(in10), plainOf({ ...message, wants, presences: [], blocks: message.blocks.map(({ data }) => ({ prefix: CID_V0_PREFIX, data })) }))
  }))
})

test('the bytes are those of the specification', async () => {
  const { cid } = await Block.of(Uint8Array.of(1))
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
  const name = hex(cid.bytes)
  const want: WantEntry = { cid, priority: 300, isCancel: false, type: 'have', sendDontHave: true }
  assert.equal(hex(bodyOf({ wants: [want], isFull: true }, CURRENT)), `0a310a2d0a24${name}10ac02200128011001`)
  assert.equal(hex(bodyOf({ wants: [{ ...want, priority: 0, isCancel: true, type: 'block', sendDontHave: false }] }, CURRENT)), `0a2a0a280a24${name}1801`)
  assert.equal(hex(bodyOf({ blocks: [{ prefix: cidPrefixOf(cid), data: Uint8Array.of(1) }] }, CURRENT)), '1a090a0401551220120101')
  assert.equal(hex(bodyOf({ blocks: [{ prefix: cidPrefixOf(cid), data: Uint8Array.of(1) }] }, '/ipfs/bitswap/1.0.0')), '120101')
  assert.equal(hex(bodyOf({ presences: [{ cid, type: 'have' }, { cid, type: 'dont-have' }] }, CURRENT)), `22260a24${name}22280a24${name}1001`)
})

test('a negative priority, a field that came later and pending bytes are read', async () => {
  const { cid } = await Block.of(Uint8Array.of(1))
  const entry = Buffer.concat([Uint8Array.of(0x0a, 36), cid.bytes, Uint8Array.of(0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), Uint8Array.of(0x32, 1, 7)])
  const wantlist = Buffer.concat([Uint8Array.of(0x0a, entry.length), entry])
  const message = decodeMessage(Buffer.concat([Uint8Array.of(0x0a, wantlist.length), wantlist, Uint8Array.of(0x28, 5), Uint8Array.of(0x3d, 1, 2, 3, 4)]))
  assert.equal(message.wants[0]?.priority, -1)
  assert.equal(message.pendingBytes, 5)
})

test('a few fields that nobody knows are passed over in every part of a message', async () => {
  const { cid } = await Block.of(Uint8Array.of(1))
  const wants = Array.from({ length: MAX_EXTRA_FIELDS }, () => entryBytes(Uint8Array.of(0x78, 0)))
  const message = decodeMessage(wantlistOf(Buffer.concat(wants)))
  assert.equal(message.wants.length, MAX_LIVE_WANTS)
  assert.ok(message.wants.every((want) => want.cid.multihash.code === cid.multihash.code))
})

test('a message of a block alone, without a want-list, is legal (T2.4-g)', () => {
  const { blocks, wants } = decodeMessage(Uint8Array.of(0x12, 1, 9))
  assert.deepEqual(blocks, [{ prefix: CID_V0_PREFIX, data: Uint8Array.of(9) }])
  assert.deepEqual(wants, [])
})

test('random bytes are refused or read, and never anything else', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    try {
      decodeMessage(bytes)
    } catch (err) {
      assert.ok(isErrorCode(err, 'INVALID') || isErrorCode(err, 'LIMIT'), String(err))
    }
  }), { numRuns: 2000 })
})

test('an identity CID of 1 MiB in a want-list is refused (T2.4-g)', () => {
  const cid = CID.createV1(0x55, createDigest(0, new Uint8Array(1024 * 1024)))
  const want: WantEntry = { cid, priority: 1, isCancel: false, type: 'block', sendDontHave: false }
  assert.throws(() => decodeMessage(bodyOf({ wants: [want] }, CURRENT)), (err) => isErrorCode(err, 'LIMIT'))
})

const FLOODS: Record<string, Uint8Array> = {
  'zero-length want-list entries': wantlistOf(repeated(Uint8Array.of(0x0a, 0), MAX_MESSAGE_BYTES - 8)),
  'cancels of a real CID': wantlistOf(repeated(entryBytes(Uint8Array.of(0x18, 1)), MAX_MESSAGE_BYTES - 8)),
  'wants of a real CID': wantlistOf(repeated(entryBytes(), MAX_MESSAGE_BYTES - 8)),
  'zero-length blocks': repeated(Uint8Array.of(0x12, 0), MAX_MESSAGE_BYTES),
  'zero-length payloads': repeated(Uint8Array.of(0x1a, 0), MAX_MESSAGE_BYTES),
  'zero-length presences': repeated(Uint8Array.of(0x22, 0), MAX_MESSAGE_BYTES),
  'unknown fields': repeated(Uint8Array.of(0x78, 0), MAX_MESSAGE_BYTES),
  'empty want-lists': repeated(Uint8Array.of(0x0a, 0), MAX_MESSAGE_BYTES),
  'pending bytes': repeated(Uint8Array.of(0x28, 0), MAX_MESSAGE_BYTES),
  'unknown fields in a want-list': wantlistOf(repeated(Uint8Array.of(0x78, 0), MAX_MESSAGE_BYTES - 8)),
  'priorities of one want': wantlistOf(wantlistOf(repeated(Uint8Array.of(0x10, 0), MAX_MESSAGE_BYTES - 16)))
}

for (const [name, message] of Object.entries(FLOODS)) {
  test(`a message of 4 MiB of ${name} is refused in 20 ms without memory (T2.4-a)`, () => {
    refusalMs(message) // Once before: what is measured is the refusal, not the compiler.
    const rssBefore = process.memoryUsage.rss()
    const spentMs = Math.min(refusalMs(message), refusalMs(message), refusalMs(message))
    assert.ok(spentMs <= 20, `${spentMs} ms of this thread`)
    const grown = process.memoryUsage.rss() - rssBefore
    assert.ok(grown <= 3 * 16 * 1024 * 1024, `${grown} bytes in three refusals`)
  })
}

test('a message above 4 MiB is refused before it is looked at', () => {
  assert.throws(() => decodeMessage(new Uint8Array(MAX_MESSAGE_BYTES + 1)), (err) => isErrorCode(err, 'LIMIT'))
})

test('as much as an honest peer sends is read: 1,024 blocks, 4,096 presences, wants above what is kept', async () => {
  const { cid } = await Block.of(Uint8Array.of(1))
  const block = { prefix: cidPrefixOf(cid), data: new Uint8Array(32) }
  const full = decodeMessage(bodyOf({ blocks: Array.from({ length: MAX_MESSAGE_BLOCKS }, () => block), presences: Array.from({ length: MAX_MESSAGE_PRESENCES }, () => ({ cid, type: 'have' })) }, CURRENT))
  assert.equal(full.blocks.length, MAX_MESSAGE_BLOCKS)
  assert.equal(full.presences.length, MAX_MESSAGE_PRESENCES)
  assert.throws(() => decodeMessage(bodyOf({ blocks: Array.from({ length: MAX_MESSAGE_BLOCKS + 1 }, () => block) }, CURRENT)), (err) => isErrorCode(err, 'LIMIT'))

  const want: WantEntry = { cid, priority: 1, isCancel: false, type: 'block', sendDontHave: false }
  const many = decodeMessage(bodyOf({ wants: Array.from({ length: 60_000 }, (_, index) => ({ ...want, isCancel: index % 2 === 1 })) }, CURRENT))
  assert.equal(many.wants.filter(({ isCancel }) => !isCancel).length, MAX_LIVE_WANTS)
  assert.equal(many.wants.filter(({ isCancel }) => isCancel).length, MAX_MESSAGE_CANCELS)
  assert.equal(many.skippedWantCount, 60_000 - MAX_LIVE_WANTS - MAX_MESSAGE_CANCELS)
  assert.throws(() => decodeMessage(bodyOf({ wants: Array.from({ length: MAX_MESSAGE_WANTS + 1 }, () => want) }, CURRENT)), (err) => isErrorCode(err, 'LIMIT'))
})

test('the bytes of a block are sent as they are, not copied', async () => {
  const data = new Uint8Array(2000)
  for (const protocol of BITSWAP_PROTOCOLS) {
    assert.ok(encodeMessage({ blocks: [{ prefix: CID_V0_PREFIX, data }] }, protocol).includes(data), protocol)
  }
})

test('a block prefix of anything but four varints is refused', () => {
  for (const bytes of [[], [1], [1, 0x55, 0x12], [1, 0x55, 0x12, 0x20, 0], [0x80, 0x80]]) {
    assert.throws(() => decodeCidPrefix(Uint8Array.from(bytes)), (err) => isErrorCode(err, 'INVALID'), String(bytes))
  }
})

function refusalMs (message: Uint8Array): number {
  const start = threadCpuMs()
  assert.throws(() => decodeMessage(message), (err) => isErrorCode(err, 'LIMIT') || isErrorCode(err, 'INVALID'))
  return threadCpuMs() - start
}

function entryBytes (more: Uint8Array = new Uint8Array()): Uint8Array {
  const { bytes } = CID.createV1(0x55, createDigest(0x12, new Uint8Array(32)))
  return Buffer.concat([Uint8Array.of(0x0a, bytes.byteLength + 2 + more.byteLength, 0x0a, bytes.byteLength), bytes, more])
}

function wantlistOf (entries: Uint8Array): Uint8Array {
  const header = new Uint8Array(5)
  header[0] = 0x0a
  for (let at = 1, rest = entries.byteLength; at < 5; at++, rest >>>= 7) header[at] = (rest & 0x7f) | (at < 4 ? 0x80 : 0)
  return Buffer.concat([header, entries])
}

function repeated (bytes: Uint8Array, byteLength: number): Uint8Array {
  return Buffer.alloc(byteLength - byteLength % bytes.byteLength, bytes)
}

/** The message without its length prefix. */
function bodyOf (message: OutgoingMessage, protocol: BitswapProtocol): Uint8Array {
  const framed = Buffer.concat(encodeMessage(message, protocol))
  let headerBytes = 1
  while ((framed[headerBytes - 1] ?? 0) >= 0x80) headerBytes++
  return framed.subarray(headerBytes)
}

function plainOf ({ wants, isFull, blocks, presences }: Omit<BitswapMessage, 'pendingBytes' | 'skippedWantCount'>): unknown {
  return {
    wants: wants.map((want) => ({ ...want, cid: want.cid.toString() })),
    isFull,
    blocks: blocks.map(({ prefix, data }) => [Buffer.from(prefix).toString('hex'), Buffer.from(data).toString('hex')]),
    presences: presences.map(({ cid, type }) => [cid.toString(), type])
  }
}
