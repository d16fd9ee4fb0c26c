import { isErrorCode } from '@holdfast/core'
import { ByteLedger, type HeldBytes } from '@holdfast/network'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MAX_EMPTY_RUN, readFrames } from './frames.ts'
import { MAX_MESSAGE_BYTES } from './limits.ts'

test('messages come out whole, however the stream was cut', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 300 })), fc.integer({ min: 1, max: 200 }), async (messages, chunkBytes) => {
    const held = newLine(1024)
    const found = await Array.fromAsync(readFrames(cut(Buffer.concat(messages.flatMap((message) => [lengthOf(message.byteLength), message])), chunkBytes), { held }))
    assert.deepEqual(found.map((message) => [...message]), messages.filter(({ byteLength }) => byteLength > 0).map((message) => [...message]))
    assert.equal(held.heldBytes, 0)
  }))
})

test('a length above 4 MiB is refused before any byte of the message is held', async () => {
  const held = newLine(1024)
  for (const header of [lengthOf(MAX_MESSAGE_BYTES + 1), Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x7f)]) {
    await assert.rejects(Array.fromAsync(readFrames(cut(Buffer.concat([header, new Uint8Array(10)]), 100), { held })), (err) => isErrorCode(err, 'LIMIT'))
  }
})

test('unfinished messages are charged to the account, and given back when the stream ends', async () => {
  const held = newLine(5)
  const frames = readFrames(cut(Buffer.concat([lengthOf(100), new Uint8Array(50)]), 5), { held })
  await assert.rejects(frames.next(), (err) => isErrorCode(err, 'LIMIT'))
  assert.equal(held.heldBytes, 0)
})

test('the event loop turns while a stream of tiny messages is read', async () => {
  let turnCount = 0
  const timer = setInterval(() => { turnCount++ }, 1)
  const bytes = Buffer.alloc(400_000, Uint8Array.of(1, 7))
  for await (const _ of readFrames(cut(bytes, bytes.byteLength), { held: newLine(1024) })) { /* Only read. */ }
  clearInterval(timer)
  assert.ok(turnCount > 10, `${turnCount} turns`)
})

test('a stream of empty messages is given up, and some between others are passed over', async () => {
  const some = Buffer.concat([new Uint8Array(MAX_EMPTY_RUN), Uint8Array.of(1, 7), new Uint8Array(MAX_EMPTY_RUN), Uint8Array.of(1, 8)])
  assert.equal((await Array.fromAsync(readFrames(cut(some, some.byteLength), { held: newLine(1024) }))).length, 2)

  const start = performance.now()
  const many = new Uint8Array(1024 * 1024)
  await assert.rejects(Array.fromAsync(readFrames(cut(many, many.byteLength), { held: newLine(1024) })), (err) => isErrorCode(err, 'LIMIT'))
  assert.ok(performance.now() - start < 50)
})

/** A line on an account that takes so much. */
function newLine (maxPeerBytes: number): HeldBytes {
  return new ByteLedger(() => {}, { maxPeerBytes }).hold('peer')
}

async function * cut (bytes: Uint8Array, chunkBytes: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes)
}

function lengthOf (value: number): Uint8Array {
  const bytes: number[] = []
  while (value >= 0x80) {
    bytes.push((value % 0x80) | 0x80)
    value = Math.floor(value / 0x80)
  }
  return Uint8Array.from([...bytes, value])
}
