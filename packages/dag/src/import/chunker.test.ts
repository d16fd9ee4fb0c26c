import { keyStream } from '@holdfast/testkit'
import fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Chunking, parseChunker } from '../chunking.ts'
import { cutChunks } from './chunker.ts'

async function lengthsOf (content: AsyncIterable<Uint8Array>, chunking: Chunking): Promise<number[]> {
  return (await Array.fromAsync(cutChunks(content, chunking))).map(({ byteLength }) => byteLength)
}

/** Cuts bytes into pieces of these lengths, again and again. */
async function * piecesOf (bytes: Uint8Array, lengths: readonly number[]): AsyncIterable<Uint8Array> {
  for (let at = 0, index = 0; at < bytes.byteLength; index++) {
    const length = lengths[index % lengths.length] ?? 1
    yield bytes.subarray(at, at + length)
    at += length
  }
}

test('no content has no chunks, whatever the chunker', async () => {
  for (const chunker of ['size-1', 'rabin', 'buzhash']) assert.deepEqual(await lengthsOf(keyStream({ seed: 'none', size: 0 }), parseChunker(chunker)), [])
})

test('chunks are the content, and lie where they lie however it comes in pieces', async () => {
  const bytes = Buffer.concat(await Array.fromAsync(keyStream({ seed: 'pieces', size: 1_300_000 })))
  const chunkers = fc.constantFrom('size-100000', 'rabin-16-64-4096', 'rabin-50000-100000-150000', 'buzhash')
  await fc.assert(fc.asyncProperty(chunkers, fc.array(fc.integer({ min: 2000, max: 300_000 }), { minLength: 1, maxLength: 5 }), async (chunker, lengths) => {
    const chunking = parseChunker(chunker)
    const chunks = await Array.fromAsync(cutChunks(piecesOf(bytes, lengths), chunking))
    assert.ok(Buffer.concat(chunks).equals(bytes))
    assert.deepEqual(chunks.map(({ byteLength }) => byteLength), await lengthsOf(piecesOf(bytes, [bytes.byteLength]), chunking))
  }), { numRuns: 30 })
})

test('the rolling hashes see content that comes byte by byte', async () => {
  const bytes = Buffer.concat(await Array.fromAsync(keyStream({ seed: 'bytes', size: 200_000 })))
  for (const chunker of ['rabin-16-1024-4096', 'buzhash']) {
    assert.deepEqual(await lengthsOf(piecesOf(bytes, [1]), parseChunker(chunker)), await lengthsOf(piecesOf(bytes, [bytes.byteLength]), parseChunker(chunker)), chunker)
  }
})

test('rabin ends a chunk where the polynomial of its last 16 bytes has zeros at its end', async () => {
  // Worked out anew for every position. (The reference importer cuts by another polynomial than Kubo, so it is no oracle here.)
  const polynomial = 17_437_180_132_763_653n
  const fingerprint = (bytes: Uint8Array): bigint => {
    let rest = BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
    for (let shift = 127n - 53n; shift >= 0n; shift--) if (((rest >> (shift + 53n)) & 1n) === 1n) rest ^= polynomial << shift
    return rest
  }
  const lengths = fc.tuple(fc.integer({ min: 16, max: 100 }), fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 500 }))
  await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 2000, size: 'max' }), lengths, async (bytes, [minBytes, more, evenMore]) => {
    const chunking: Chunking = { kind: 'rabin', minBytes, avgBytes: minBytes + more, maxBytes: minBytes + more + evenMore }
    const mask = (1n << BigInt(Math.floor(Math.log2(chunking.avgBytes)))) - 1n
    const expected: number[] = []
    for (let start = 0, end = 1; end <= bytes.byteLength; end++) {
      const isEnd = end - start >= minBytes && ((fingerprint(bytes.subarray(end - 16, end)) & mask) === 0n || end - start === chunking.maxBytes)
      if (!isEnd && end < bytes.byteLength) continue
      expected.push(end - start)
      start = end
    }
    assert.deepEqual(await lengthsOf(piecesOf(bytes, [777]), chunking), expected)
  }), { numRuns: 40 })
})

test('content without any variety is cut at the shortest or the longest chunk, and chunks keep their limits', async () => {
  // The state of one byte repeated is the parity of its number in the table, in all bits: even for 0, odd for 1.
  assert.deepEqual(await lengthsOf(piecesOf(new Uint8Array(300_000), [65_536]), parseChunker('buzhash')), [131_072, 131_072, 37_856])
  assert.deepEqual(await lengthsOf(piecesOf(new Uint8Array(1_500_000).fill(1), [65_536]), parseChunker('buzhash')), [524_288, 524_288, 451_424])
  for (const length of (await lengthsOf(keyStream({ seed: 'limits', size: 5_000_000 }), parseChunker('buzhash'))).slice(0, -1)) assert.ok(length >= 131_072 && length <= 524_288, `${length}`)
})

test('chunks within one piece are views of it', async () => {
  const bytes = Buffer.concat(await Array.fromAsync(keyStream({ seed: 'views', size: 1_000_000 })))
  for (const chunker of ['size-1000', 'rabin-1000-2000-4000', 'buzhash']) {
    for await (const chunk of cutChunks(piecesOf(bytes, [bytes.byteLength]), parseChunker(chunker))) assert.equal(chunk.buffer, bytes.buffer, chunker)
  }
})
