import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Uint8ArrayList } from 'uint8arraylist'
import { DATA, type Frame, FrameError, FrameReader, MAX_PART_BYTES } from './frame-reader.ts'

const MAX_FRAME_BYTES = 16 << 20
const WINDOW_UPDATE = 1
const [SYN, ACK, FIN, RST] = [1, 2, 4, 8]

function encode ({ header: { type, flag, streamID, length }, data = new Uint8Array() }: Frame): Buffer {
  const bytes = Buffer.alloc(12)
  bytes.writeUInt8(type, 1)
  bytes.writeUInt16BE(flag, 2)
  bytes.writeUInt32BE(streamID, 4)
  bytes.writeUInt32BE(length, 8)
  return Buffer.concat([bytes, data])
}

function dataFrame (flag: number, data: Uint8Array): Frame {
  return { header: { type: DATA, flag, streamID: 7, length: data.byteLength }, data }
}

const control: fc.Arbitrary<Frame> = fc.record({ header: fc.record({ type: fc.integer({ min: 1, max: 3 }), flag: fc.integer({ min: 0, max: 15 }), streamID: fc.nat(2 ** 32 - 1), length: fc.nat(2 ** 32 - 1) }, { noNullPrototype: true }) }, { noNullPrototype: true })
const data: fc.Arbitrary<Frame> = fc.tuple(fc.integer({ min: 0, max: 15 }), fc.uint8Array({ maxLength: 300 })).map(([flag, bytes]) => dataFrame(flag, bytes))

test('frames come out as they went in, however the connection was cut, and no view of what came is kept', () => {
  fc.assert(fc.property(fc.array(fc.oneof(control, data), { maxLength: 20 }), fc.integer({ min: 1, max: 100 }), fc.boolean(), (frames, chunkBytes, isListed) => {
    const bytes = Buffer.concat(frames.map(encode))
    const reader = new FrameReader(MAX_FRAME_BYTES)
    const found: Frame[] = []
    for (let at = 0; at < bytes.byteLength; at += chunkBytes) {
      const chunk = Uint8Array.from(bytes.subarray(at, at + chunkBytes))
      if (isListed || !reader.takeMiddle(chunk)) found.push(...reader.emitFrames(isListed ? new Uint8ArrayList(chunk) : chunk))
      chunk.fill(0xff)
    }
    assert.deepEqual(found, frames)
    assert.equal(reader.heldBytes, 0)
  }))
})

test('a long frame comes in parts: it opens its stream with the first, and ends it with the last', () => {
  const bytes = Buffer.alloc(2 * MAX_PART_BYTES + 5, 'parts of a frame ')
  const reader = new FrameReader(MAX_FRAME_BYTES)
  const parts = [...reader.emitFrames(encode(dataFrame(SYN | FIN, bytes)))]
  assert.deepEqual(parts.map(({ header }) => [header.flag, header.length]), [[SYN, MAX_PART_BYTES], [0, MAX_PART_BYTES], [FIN, 5]])
  assert.ok(Buffer.concat(parts.map(({ data = new Uint8Array() }) => data)).equals(bytes))
  assert.deepEqual([...reader.emitFrames(encode(dataFrame(ACK | RST, Buffer.of(1))))].map(({ header }) => header.flag), [ACK | RST])
})

test('what comes in the middle of a part is taken at once, what begins or completes one is not', () => {
  const reader = new FrameReader(MAX_FRAME_BYTES)
  const bytes = encode(dataFrame(0, Buffer.from('0123456789')))
  assert.equal(reader.takeMiddle(bytes.subarray(0, 12)), false)
  assert.deepEqual([...reader.emitFrames(bytes.subarray(0, 13))], [])
  assert.equal(reader.takeMiddle(bytes.subarray(13, 21)), true)
  assert.equal(reader.heldBytes, 9)
  assert.equal(reader.takeMiddle(bytes.subarray(21)), false)
  assert.equal(reader.heldBytes, 9)
  assert.deepEqual([...reader.emitFrames(bytes.subarray(21))].map(({ data }) => Buffer.from(data ?? []).toString()), ['0123456789'])
})

test('what waits for the rest of its frame is told, and is no more than one part', () => {
  const reader = new FrameReader(MAX_FRAME_BYTES)
  const bytes = encode(dataFrame(0, new Uint8Array(MAX_FRAME_BYTES)))
  for (let at = 0; at < bytes.byteLength - 1; at += 1000) {
    for (const { data } of reader.emitFrames(bytes.subarray(at, Math.min(at + 1000, bytes.byteLength - 1)))) assert.equal(data?.byteLength, MAX_PART_BYTES)
    assert.ok(reader.heldBytes < MAX_PART_BYTES)
  }
  assert.ok(reader.heldBytes > 0)
})

for (const [name, bytes] of Object.entries({
  'of more data than a window has': encode({ header: { type: DATA, flag: 0, streamID: 1, length: MAX_FRAME_BYTES + 1 } }),
  'of an unknown type': encode({ header: { type: 4, flag: 0, streamID: 1, length: 0 } }),
  'of an unknown version': Buffer.concat([Buffer.of(1), encode({ header: { type: WINDOW_UPDATE, flag: 0, streamID: 1, length: 1 } }).subarray(1)])
})) {
  test(`a frame ${name} is refused by its header`, () => {
    const reader = new FrameReader(MAX_FRAME_BYTES)
    assert.throws(() => [...reader.emitFrames(bytes)], FrameError)
    assert.equal(reader.heldBytes, 0)
  })
}
