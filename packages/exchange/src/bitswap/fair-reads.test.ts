import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createReader, FairReads, MAX_CONCURRENT_READS, MAX_OUTSTANDING_BYTES, MAX_TOTAL_OUTSTANDING_BYTES, type Reader } from './fair-reads.ts'
import { until } from '../raw-peer.test.ts'

const KIB = 1024

/** Wants are lengths here: reading one answers it. */
function openReads (onFull: () => void = () => {}): { reads: FairReads<number>, read: Array<{ reader: Reader<number>, byteLength: number }> } {
  const read: Array<{ reader: Reader<number>, byteLength: number }> = []
  const reads = new FairReads<number>({
    read: async (reader, byteLength) => {
      await new Promise((resolve) => { setImmediate(resolve) })
      read.push({ reader, byteLength })
      return byteLength
    },
    onFull
  })
  return { reads, read }
}

test('peers get the same bytes, whatever the length of their blocks', async () => {
  const { reads, read } = openReads()
  const [large, small] = [createReader<number>(), createReader<number>()]
  const bytesOf = (reader: Reader<number>): number => read.filter((each) => each.reader === reader).reduce((sum, { byteLength }) => sum + byteLength, 0)
  reads.push(large, Array.from({ length: 200 }, () => 512 * KIB))
  reads.push(small, Array.from({ length: 4000 }, () => 16 * KIB))
  let seen = 0
  while (bytesOf(large) < 40 * 1024 * KIB && bytesOf(small) < 40 * 1024 * KIB) {
    await until(() => read.length > seen)
    // What was read leaves at once.
    for (const { reader, byteLength } of read.slice(seen)) {
      seen++
      reads.release(reader, byteLength)
    }
  }
  const part = bytesOf(small) / bytesOf(large)
  assert.ok(part > 0.5 && part < 2, `${bytesOf(small)} bytes of small blocks, ${bytesOf(large)} of large ones`)
})

test('one peer gets no more than its bound ahead, one block more at most, and goes on when bytes left', async () => {
  const { reads, read } = openReads()
  const reader = createReader<number>()
  reads.push(reader, Array.from({ length: 100 }, () => 300 * KIB))
  await until(() => reader.outstandingBytes >= MAX_OUTSTANDING_BYTES)
  await new Promise((resolve) => { setImmediate(resolve) })
  await until(() => read.length * 300 * KIB === reader.outstandingBytes)
  assert.ok(reader.outstandingBytes < MAX_OUTSTANDING_BYTES + 2 * 300 * KIB, `${reader.outstandingBytes}`)
  const before = read.length
  for (let count = 0; count < before; count++) reads.release(reader, 300 * KIB)
  await until(() => read.length > before)
})

test('what is outstanding is counted to the byte: nothing is left when all has gone', async () => {
  const { reads, read } = openReads()
  const readers = [createReader<number>(), createReader<number>(), createReader<number>()]
  const lengths = [1, 333, 262_158, 1024, 7, 99_999]
  for (const reader of readers) reads.push(reader, lengths)
  await until(() => read.length === readers.length * lengths.length)
  for (const { reader, byteLength } of read) reads.release(reader, byteLength)
  assert.equal(reads.outstandingBytes, 0)
  assert.deepEqual(readers.map(({ outstandingBytes }) => outstandingBytes), [0, 0, 0])
})

test('a bounded number of reads runs at once, and nothing is read for a peer that is gone', async () => {
  let runningCount = 0
  let mostCount = 0
  let doneCount = 0
  const reads = new FairReads<number>({
    read: async () => {
      mostCount = Math.max(mostCount, ++runningCount)
      await new Promise((resolve) => { setTimeout(resolve, 1) })
      runningCount--
      doneCount++
      return 0
    },
    onFull: () => {}
  })
  const [staying, leaving] = [createReader<number>(), createReader<number>()]
  reads.push(staying, Array.from({ length: 200 }, () => 0))
  reads.push(leaving, Array.from({ length: 200 }, () => 0))
  reads.remove(leaving)
  await until(() => staying.queue.length === 0 && runningCount === 0)
  assert.ok(mostCount <= MAX_CONCURRENT_READS, `${mostCount} at once`)
  assert.ok(doneCount < 200 + MAX_CONCURRENT_READS, `${doneCount} reads for 200 wants of who stayed`)
})

test('when the bytes of all peers are taken, whoever could give some back is told', async () => {
  let fullCount = 0
  const { reads } = openReads(() => { fullCount++ })
  const readerCount = 2 * MAX_TOTAL_OUTSTANDING_BYTES / MAX_OUTSTANDING_BYTES
  for (let count = 0; count < readerCount; count++) reads.push(createReader<number>(), Array.from({ length: 8 }, () => 512 * KIB))
  await until(() => fullCount > 0)
  assert.ok(reads.outstandingBytes <= MAX_TOTAL_OUTSTANDING_BYTES + MAX_CONCURRENT_READS * 512 * KIB)
})
