import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type CacheRecord, decodeFrame, encodeFrames, FRAME_HEADER_BYTES, MAX_FRAME_BYTES } from './log-format.ts'

const key = fc.uint8Array({ minLength: 1, maxLength: 255 }).map((bytes) => Buffer.from(bytes).toString('latin1'))
const record: fc.Arbitrary<CacheRecord> = fc.oneof(
  fc.tuple(key, fc.nat({ max: 0xffffffff })).map(([key, byteLength]): CacheRecord => ({ kind: 'cached', key, byteLength })),
  key.map((key): CacheRecord => ({ kind: 'forgotten', key })),
  fc.constant<CacheRecord>({ kind: 'closed' })
)

function decodeAll (bytes: Buffer): CacheRecord[] {
  const records: CacheRecord[] = []
  while (bytes.byteLength > 0) {
    const frame = decodeFrame(bytes)
    assert.ok(frame.kind === 'frame')
    records.push(...frame.records)
    bytes = bytes.subarray(frame.byteLength)
  }
  return records
}

test('records come back as they were written', () => {
  fc.assert(fc.property(fc.array(record, { maxLength: 50 }), (records) => {
    assert.deepEqual(decodeAll(Buffer.concat([...encodeFrames(records)])), records)
  }))
})

test('many records are several frames, none longer than a frame may be', () => {
  const records = Array.from({ length: 5000 }, (_, index): CacheRecord => ({ kind: 'cached', key: String(index).padStart(34, '0'), byteLength: index }))
  const frames = [...encodeFrames(records)]
  assert.ok(frames.length > 1)
  assert.ok(frames.every(({ byteLength }) => byteLength <= FRAME_HEADER_BYTES + MAX_FRAME_BYTES))
  assert.deepEqual(decodeAll(Buffer.concat(frames)), records)
})

test('a frame of which bytes are missing is short, one of which a bit flipped is never taken for another', () => {
  fc.assert(fc.property(fc.array(record, { minLength: 1, maxLength: 10 }), fc.nat(), fc.nat({ max: 7 }), (records, at, bit) => {
    const [frame] = encodeFrames(records)
    assert.ok(frame)
    assert.equal(decodeFrame(Buffer.from(frame.subarray(0, at % frame.byteLength))).kind, 'short')
    const flipped = Buffer.from(frame)
    const index = at % frame.byteLength
    flipped[index] = (flipped[index] ?? 0) ^ (1 << bit)
    assert.notEqual(decodeFrame(flipped).kind, 'frame')
  }))
})

test('any bytes are read without a failure', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => { decodeFrame(Buffer.from(bytes)) }))
})
