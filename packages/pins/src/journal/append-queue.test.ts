import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { AppendQueue, MAX_QUEUED_BYTES } from './append-queue.ts'
import { MAX_FRAME_PAYLOAD_BYTES } from './segment-format.ts'
import type { FrameDraft } from './segment-writer.ts'

function frameOf (byteLength: number): FrameDraft {
  return { kind: 'records', payload: new Uint8Array(byteLength) }
}

/** A queue that notes the lengths of the payloads of each group. */
function newQueue (): { queue: AppendQueue, groups: number[][] } {
  const groups: number[][] = []
  const queue = new AppendQueue(async (frames) => { groups.push(frames.map(({ payload }) => payload.byteLength)) })
  return { queue, groups }
}

test('a frame is written, whatever stage the write before it is at', async () => {
  for (let turns = 0; turns < 20; turns++) {
    const { queue, groups } = newQueue()
    const first = queue.append(frameOf(1))
    for (let turn = 0; turn < turns; turn++) await Promise.resolve()
    const second = queue.append(frameOf(2))
    await setImmediate()
    assert.deepEqual(groups.flat(), [1, 2], `after ${turns} turns`)
    await Promise.all([first, second, queue.idle()])
  }
})

test('an interruption runs, whatever stage the write before it is at', async () => {
  for (let turns = 0; turns < 20; turns++) {
    const { queue } = newQueue()
    const first = queue.append(frameOf(1))
    for (let turn = 0; turn < turns; turn++) await Promise.resolve()
    let ran = false
    const interrupting = queue.interrupt(async () => { ran = true })
    await setImmediate()
    assert.ok(ran, `after ${turns} turns`)
    await Promise.all([first, interrupting])
  }
})

test('frames that wait go together, as far as one write takes them', async () => {
  const { queue, groups } = newQueue()
  const half = MAX_FRAME_PAYLOAD_BYTES / 2
  await Promise.all([half, half, 1, MAX_FRAME_PAYLOAD_BYTES, 2].map(async (byteLength) => { await queue.append(frameOf(byteLength)) }))
  assert.deepEqual(groups, [[half, half], [1], [MAX_FRAME_PAYLOAD_BYTES], [2]])
})

test('the bytes that wait are bounded, and free again once written or refused', async () => {
  for (const outcome of ['written', 'refused']) {
    const queue = new AppendQueue(async () => { if (outcome === 'refused') throw new Error('no') })
    const full = Array.from({ length: MAX_QUEUED_BYTES / MAX_FRAME_PAYLOAD_BYTES }, () => queue.append(frameOf(MAX_FRAME_PAYLOAD_BYTES)))
    await assert.rejects(queue.append(frameOf(1)), (err) => isErrorCode(err, 'LIMIT'))
    await Promise.allSettled(full)
    const [next] = await Promise.allSettled([queue.append(frameOf(MAX_FRAME_PAYLOAD_BYTES))])
    assert.equal(next.status, outcome === 'written' ? 'fulfilled' : 'rejected')
    assert.ok(next.status === 'fulfilled' || !isErrorCode(next.reason, 'LIMIT'))
  }
})

test('a failed write rejects the calls of its group, and no others', async () => {
  let isBroken = true
  const queue = new AppendQueue(async () => { if (isBroken) throw new Error('no') })
  const results = await Promise.allSettled([queue.append(frameOf(1)), queue.append(frameOf(1))])
  assert.deepEqual(results.map(({ status }) => status), ['rejected', 'rejected'])
  isBroken = false
  await queue.append(frameOf(1))
})

test('interruptions come before the frames that wait, in order, and know what is under way', async () => {
  const events: string[] = []
  const gate = Promise.withResolvers<void>()
  const queue = new AppendQueue(async (frames) => {
    events.push(`write ${frames.map(({ payload }) => payload.byteLength).join()}`)
    await gate.promise
  })
  const interrupt = async (name: string): Promise<void> => {
    await queue.interrupt(async (unsettled) => { events.push(`${name} knows ${unsettled.map(({ payload }) => payload.byteLength).join()}`) })
  }
  const running = [queue.append(frameOf(1))]
  await setImmediate()
  running.push(queue.append(frameOf(2)), interrupt('a'), queue.append(frameOf(3)), interrupt('b'))
  gate.resolve()
  await Promise.all(running)
  assert.deepEqual(events, ['write 1', 'a knows 1', 'b knows 1', 'write 2,3'])
})

test('an interruption that fails rejects, and what waits goes on; it knows of no frames whose write failed', async () => {
  const { queue, groups } = newQueue()
  const reason = new Error('no')
  const interrupting = queue.interrupt(async () => { throw reason })
  await Promise.all([assert.rejects(interrupting, (err) => err === reason), queue.append(frameOf(1))])
  assert.deepEqual(groups, [[1]])

  const broken = new AppendQueue(async () => { throw reason })
  const appending = assert.rejects(broken.append(frameOf(1)))
  await Promise.resolve()
  await broken.interrupt(async (unsettled) => { assert.deepEqual(unsettled, []) })
  await appending
})
