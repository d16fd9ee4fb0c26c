import type { PeerStream } from '@holdfast/network'
import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FAST_SLICE_BYTES, PACE_BYTES, PACE_MS, Pace, SLICE_BYTES, STALLED, writeParts } from './stream-writer.ts'

test('parts arrive in order and whole, in slices that are not copies', async () => {
  const written: Uint8Array[][] = []
  const parts = [new Uint8Array(10).fill(1), new Uint8Array(SLICE_BYTES * 2).fill(2), new Uint8Array(0), new Uint8Array(5).fill(3)]
  await writeParts(streamThat(async (slice) => { written.push([...slice]) }), parts)
  assert.ok(Buffer.concat(written.flat()).equals(Buffer.concat(parts)))
  assert.ok(written.every((slice) => slice.reduce((sum, { byteLength }) => sum + byteLength, 0) <= SLICE_BYTES))
  assert.ok(written.flat().every(({ buffer }) => parts.some((part) => part.buffer === buffer)))
})

test('a peer that stops reading is dropped, one that reads slowly is not', async () => {
  let aborted: Error | undefined
  const stuck = streamThat(async () => await new Promise((_resolve, reject) => { setTimeout(reject, 200, new Error('aborted')) }), (reason) => { aborted = reason })
  await assert.rejects(writeParts(stuck, [new Uint8Array(10)], { stallMs: 50 }), (err) => isErrorCode(err, 'UNAVAILABLE') && err.details['reason'] === STALLED)
  assert.ok(isErrorCode(aborted, 'UNAVAILABLE'))

  const slow = streamThat(async () => await new Promise((resolve) => { setTimeout(resolve, 30) }))
  await writeParts(slow, [new Uint8Array(SLICE_BYTES * 4)], { stallMs: 80 })
})

test('a peer that took much without a wait gets whole messages, one that made us wait short slices again', async () => {
  const slices: number[] = []
  const stream = streamThat(async (slice) => { slices.push(slice.reduce((sum, { byteLength }) => sum + byteLength, 0)) })
  const pace = new Pace()
  const message = [new Uint8Array(FAST_SLICE_BYTES)]
  await writeParts(stream, message, { pace })
  assert.ok(slices.every((byteLength) => byteLength <= SLICE_BYTES))
  pace.took(PACE_BYTES, 0)
  slices.length = 0
  await writeParts(stream, message, { pace })
  assert.deepEqual(slices, [FAST_SLICE_BYTES])
  pace.took(1, PACE_MS + 1)
  slices.length = 0
  await writeParts(stream, message, { pace })
  assert.ok(slices.length > 1 && slices.every((byteLength) => byteLength <= SLICE_BYTES))
})

/** The slow or stuck end of a stream, which no real socket shows on demand. */
function streamThat (write: (parts: readonly Uint8Array[]) => Promise<void>, abort: (reason: Error) => void = () => {}): PeerStream {
  return { peer: 'peer', protocol: '/ipfs/bitswap/1.2.0', connectionId: '', read: async function * () {}, write, closeWrite: async () => {}, abort, [Symbol.asyncDispose]: async () => {} }
}
