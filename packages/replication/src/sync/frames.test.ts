import { isErrorCode } from '@holdfast/core'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MAX_MESSAGE_BYTES } from '../limits.ts'
import { frameOf, readFrames } from './frames.ts'

async function * cut (bytes: Uint8Array, lengths: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0
  for (const length of lengths) {
    yield bytes.subarray(at, at + length)
    at += length
  }
  yield bytes.subarray(at)
}

test('messages come out as they went in, however the stream is cut', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 10 }), fc.array(fc.nat(100)), async (messages, lengths) => {
    const bytes = Buffer.concat(messages.flatMap(frameOf))
    const read = await Array.fromAsync(readFrames(cut(bytes, lengths)))
    assert.deepEqual(read.map((message) => Buffer.from(message).toString('hex')), messages.map((message) => Buffer.from(message).toString('hex')))
  }))
})

test('a length beyond the limit is refused before anything is held, and the longest message is read', async () => {
  const longest = new Uint8Array(MAX_MESSAGE_BYTES)
  assert.equal((await Array.fromAsync(readFrames(cut(Buffer.concat(frameOf(longest)), []))))[0]?.byteLength, MAX_MESSAGE_BYTES)
  assert.throws(() => frameOf(new Uint8Array(MAX_MESSAGE_BYTES + 1)), (err) => isErrorCode(err, 'LIMIT'))
  for (const length of [[0x81, 0x80, 0x10], [0xff, 0xff, 0xff], [0x80, 0x80, 0x80, 0x01]]) {
    await assert.rejects(Array.fromAsync(readFrames(cut(Uint8Array.from(length), []))), (err) => isErrorCode(err, 'LIMIT'))
  }
})
