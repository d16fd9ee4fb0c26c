import { isErrorCode } from '@holdfast/core'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { decodePayload, encodePayload, encodeRecord } from './record.ts'
import { decodeFrameHeader, decodeSegmentHeader, encodeFrameHeader, encodeSegmentHeader, FRAME_HEADER_BYTES, type FrameHeader, MAX_FRAME_PAYLOAD_BYTES, SEGMENT_HEADER_BYTES, type SegmentHeader } from './segment-format.ts'

const SALT = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)

const segmentHeaders: fc.Arbitrary<SegmentHeader> = fc.record({
  kind: fc.constantFrom('log' as const, 'snapshot' as const),
  number: fc.integer({ min: 1, max: 99_999_999 }),
  salt: fc.uint8Array({ minLength: 8, maxLength: 8 }),
  previousByteLength: fc.maxSafeNat()
}, { noNullPrototype: true })

const frameHeaders: fc.Arbitrary<FrameHeader> = fc.record({
  kind: fc.constantFrom('records' as const, 'mark' as const, 'end' as const),
  payloadByteLength: fc.integer({ min: 0, max: MAX_FRAME_PAYLOAD_BYTES }),
  payloadCrc: fc.nat(0xffff_ffff),
  durableByteLength: fc.maxSafeNat()
}, { noNullPrototype: true })

test('headers of segments and frames come back as they were written', () => {
  fc.assert(fc.property(segmentHeaders, frameHeaders, fc.maxSafeNat(), (segment, frame, offset) => {
    assert.deepEqual(decodeSegmentHeader(encodeSegmentHeader(segment)), segment)
    assert.deepEqual(decodeFrameHeader(encodeFrameHeader(frame, segment.salt, offset), segment.salt, offset), frame)
  }))
})

test('no header is read from bytes that are not one', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
    assert.equal(decodeSegmentHeader(bytes), undefined)
    assert.equal(decodeFrameHeader(bytes, SALT, 0), undefined)
  }))
})

test('a frame counts only in its segment and at its place', () => {
  fc.assert(fc.property(frameHeaders, fc.nat(2 ** 40), fc.uint8Array({ minLength: 8, maxLength: 8 }), (frame, offset, salt) => {
    const bytes = encodeFrameHeader(frame, SALT, offset)
    assert.equal(decodeFrameHeader(bytes, SALT, offset + 1), undefined)
    if (Buffer.compare(salt, SALT) !== 0) assert.equal(decodeFrameHeader(bytes, salt, offset), undefined)
  }))
})

test('a frame longer than the limit is not read, whatever its checksum says', () => {
  const bytes = encodeFrameHeader({ kind: 'records', payloadByteLength: MAX_FRAME_PAYLOAD_BYTES + 1, payloadCrc: 0, durableByteLength: 0 }, SALT, 40)
  assert.equal(decodeFrameHeader(bytes, SALT, 40), undefined)
})

/** What a newer version may write into a header, by byte offset. */
const NEWER: Record<string, [offset: number, value: number]> = { version: [8, 2], kind: [10, 3], flags: [32, 1] }

for (const [what, [offset, value]] of Object.entries(NEWER)) {
  test(`a sound header with an unknown ${what} is not damage but from the future`, () => {
    const bytes = Buffer.from(encodeSegmentHeader({ kind: 'log', number: 1, salt: SALT, previousByteLength: 0 }))
    bytes[offset] = value
    assert.equal(decodeSegmentHeader(bytes), undefined, 'with a wrong checksum it is damage')
    bytes.writeUInt32LE(crc32(bytes.subarray(0, 36)), 36)
    assert.throws(() => decodeSegmentHeader(bytes), (err) => isErrorCode(err, 'UNSUPPORTED') && /upgrade/.test(err.message))
  })
}

test('the bytes shown in docs/formats/journal.md are the bytes that are written', async () => {
  const page = await readFile(new URL('../../../../docs/formats/journal.md', import.meta.url), 'utf8')
  const shown = /```hex\n([^`]*)```/.exec(page)?.[1]?.replaceAll(/\s/g, '')

  const header = encodeSegmentHeader({ kind: 'log', number: 1, salt: SALT, previousByteLength: 0 })
  const payload = encodePayload([encodeRecord({ kind: 'unpin', value: { ids: ['a'] } })])
  const records = encodeFrameHeader({ kind: 'records', payloadByteLength: payload.byteLength, payloadCrc: crc32(payload), durableByteLength: SEGMENT_HEADER_BYTES }, SALT, SEGMENT_HEADER_BYTES)
  const end = SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + payload.byteLength
  const mark = encodeFrameHeader({ kind: 'mark', payloadByteLength: 0, payloadCrc: 0, durableByteLength: end }, SALT, end)
  assert.equal(shown, Buffer.concat([header, records, payload, mark]).toString('hex'))
})

test('payloads of any number of records come back, in canonical dag-cbor', () => {
  // Around each length of a CBOR list head.
  for (const count of [0, 1, 23, 24, 255, 256, 65_535, 65_536]) {
    const records = Array.from({ length: count }, () => ({ kind: 'k', value: null }))
    assert.deepEqual(decodePayload(encodePayload(records.map(encodeRecord))), records, `${count} records`)
  }
})

/** Payloads with a right checksum that no journal writes. */
const FOREIGN: Record<string, string> = {
  'not cbor at all': 'ff',
  'a map': 'a0',
  'a list of numbers': '8101',
  'a record without a value': '81a1646b696e64616b',
  'a record whose kind is a number': '81a2646b696e64016576616c756501',
  'bytes behind the list': '8000',
  'a nesting that would exhaust the stack': '81'.repeat(200_000)
}

for (const [what, hex] of Object.entries(FOREIGN)) {
  test(`a payload that is ${what} is refused as damage`, () => {
    assert.throws(() => decodePayload(Buffer.from(hex, 'hex')), (err) => isErrorCode(err, 'CORRUPT'))
  })
}
