import { HoldfastError, isErrorCode } from '@holdfast/core'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeFrames, encodeBytes, encodeEnd, encodeError, encodeEvent, type Frame, MAX_FRAME_BYTES } from './frames.ts'

async function * pieces (bytes: Uint8Array, cuts: readonly number[]): AsyncIterable<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.byteLength; turn++) yield bytes.subarray(at, at += cuts[turn % cuts.length] ?? 1)
}

async function decodeAll (frames: readonly Uint8Array[], cuts: readonly number[] = [1 << 20]): Promise<Frame[]> {
  return await Array.fromAsync(decodeFrames(pieces(Buffer.concat(frames), cuts)))
}

test('events and content come out as they went in, however the stream is cut', async () => {
  const frameArbitrary = fc.oneof(
    fc.jsonValue().map((event) => ({ type: 'event' as const, event: JSON.parse(JSON.stringify(event)) as unknown })),
    fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => ({ type: 'bytes' as const, bytes }))
  )
  await fc.assert(fc.asyncProperty(fc.array(frameArbitrary), fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }), async (frames, cuts) => {
    const encoded = frames.flatMap((frame) => frame.type === 'event' ? encodeEvent(frame.event) : encodeBytes(frame.bytes))
    const decoded = await decodeAll([...encoded, ...encodeEnd()], cuts)
    assert.deepEqual(joined(decoded), joined(frames))
  }))
})

/** Content arrives in pieces of any length: neighbours belong together. */
function joined (frames: readonly Frame[]): unknown[] {
  const out: Array<{ event: unknown } | { hex: string }> = []
  for (const frame of frames) {
    const last = out.at(-1)
    if (frame.type === 'event') out.push({ event: frame.event })
    else if (last !== undefined && 'hex' in last) last.hex += Buffer.from(frame.bytes).toString('hex')
    else out.push({ hex: Buffer.from(frame.bytes).toString('hex') })
  }
  return out
}

test('content longer than a frame is cut into several', async () => {
  const bytes = Buffer.alloc(MAX_FRAME_BYTES * 2 + 1, 7)
  const frames = await decodeAll([...encodeBytes(bytes), ...encodeEnd()])
  assert.ok(frames.length >= 3)
  assert.ok(Buffer.concat(frames.map((frame) => frame.type === 'bytes' ? frame.bytes : Buffer.alloc(0))).equals(bytes))
})

test('a failure arrives with its code, message and details', async () => {
  const sent = new HoldfastError('NOT_FOUND', 'No block', { cid: 'bafy', count: 3, at: new URL('http://x/') })
  await assert.rejects(decodeAll([...encodeEvent(1), ...encodeError(sent)]), (err) => {
    assert.ok(isErrorCode(err, 'NOT_FOUND'))
    assert.equal(err.message, 'No block')
    assert.deepEqual(err.details, { cid: 'bafy', count: 3, at: 'http://x/' })
    return true
  })
})

test('a fault of the program arrives without a code and without its stack', async () => {
  await assert.rejects(decodeAll(encodeError(new TypeError('x is not a function'))), (err) => err instanceof Error && !('code' in err) && err.message.includes('x is not a function'))
})

test('a failure with enormous details still arrives', async () => {
  const sent = new HoldfastError('LIMIT', 'Too many', { all: Array.from({ length: 100_000 }, () => 'x'.repeat(20)) })
  await assert.rejects(decodeAll(encodeError(sent)), (err) => isErrorCode(err, 'LIMIT') && err.message === 'Too many')
})

test('a stream that breaks off anywhere before its end is UNAVAILABLE', async () => {
  const whole = Buffer.concat([...encodeEvent({ a: 1 }), ...encodeBytes(Buffer.from('content')), ...encodeEnd()])
  for (let length = 0; length < whole.byteLength; length++) {
    await assert.rejects(Array.fromAsync(decodeFrames(pieces(whole.subarray(0, length), [7]))), (err) => isErrorCode(err, 'UNAVAILABLE'), `cut at ${length}`)
  }
})

const HOSTILE: ReadonlyArray<[what: string, bytes: number[]]> = [
  ['an unknown type', [9, 0, 0, 0, 0]],
  ['a frame of 4 GiB', [2, 0xff, 0xff, 0xff, 0xff]],
  ['an event that is not JSON', [1, 0, 0, 0, 1, 0x7b]]
]

for (const [what, bytes] of HOSTILE) {
  test(`${what} is INVALID`, async () => {
    await assert.rejects(Array.fromAsync(decodeFrames(pieces(Uint8Array.from(bytes), [3]))), (err) => isErrorCode(err, 'INVALID'))
  })
}
