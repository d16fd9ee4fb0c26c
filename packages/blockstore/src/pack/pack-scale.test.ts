import { Block } from '@holdfast/core'
import assert from 'node:assert/strict'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { openPackBlockstore, type PackBlockstoreOptions } from './open-pack-blockstore.ts'
import { INDEX_FILE } from './pack-names.ts'

/** Enough that a page or a buffer more does not count; a million, or ten, take a minute each and more. */
const BLOCK_COUNT = Number(process.env['SCALE_BLOCKS'] ?? 60_000)

/** So short that the index counts for more than the bytes. */
const BLOCK_BYTES = 200

/** Bytes of a pack for each block beside its own: a varint of 2, and a CIDv1 of sha2-256. */
const HEADER_BYTES = 38

/** Bytes of index for each block: what B-tree pages of random keys, which are two thirds full, take of 34 + 13 bytes, and room for what commits replace. */
const MAX_INDEX_BYTES = 220

/** Bytes of memory for each block that an open store may hold. */
const MAX_MEMORY_BYTES = 40

const OPTIONS: PackBlockstoreOptions = { reserveBytes: 0, compaction: false }

setFlagsFromString('--expose-gc')
const collect: unknown = runInNewContext('gc')

/** What is held for good, heap and beside it. */
async function heldBytes (): Promise<number> {
  assert.ok(typeof collect === 'function')
  for (let turn = 0; turn < 5; turn++) {
    collect()
    await nextTurn()
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** The same on every run. */
async function blocksOf (from: number, to: number): Promise<Block[]> {
  return await Promise.all(Array.from({ length: to - from }, (_, index) => {
    const bytes = new Uint8Array(BLOCK_BYTES)
    new DataView(bytes.buffer).setUint32(0, from + index)
    return Block.of(bytes)
  }))
}

test(`${BLOCK_COUNT} blocks of ${BLOCK_BYTES} bytes cost a bounded number of bytes each, on the disk and in memory`, { timeout: 3_600_000 }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-pack-scale-'))
  try {
    {
      await using store = await openPackBlockstore(folder, OPTIONS)
      for (let at = 0; at < BLOCK_COUNT; at += 4096) await store.putMany(await blocksOf(at, Math.min(at + 4096, BLOCK_COUNT)))
    }
    // What the first opening leaves for good, whatever the number of blocks, is not of the blocks.
    await (await openPackBlockstore(folder, OPTIONS))[Symbol.asyncDispose]()
    const before = await heldBytes()
    const begin = performance.now()
    await using store = await openPackBlockstore(folder, OPTIONS)
    const openMs = performance.now() - begin
    const memory = (await heldBytes() - before) / BLOCK_COUNT
    assert.deepEqual(await store.usage(), { blockCount: BLOCK_COUNT, byteLength: BLOCK_COUNT * BLOCK_BYTES })
    const { packBytes } = store.stats()
    const index = (await stat(join(folder, INDEX_FILE))).size / BLOCK_COUNT
    t.diagnostic(`for each block: ${(packBytes / BLOCK_COUNT - BLOCK_BYTES).toFixed(2)} bytes of pack, ${index.toFixed(0)} of index, ${memory.toFixed(1)} of memory; opened in ${openMs.toFixed(0)} ms`)
    assert.ok(packBytes <= BLOCK_COUNT * (BLOCK_BYTES + HEADER_BYTES) + 4096, `${packBytes} bytes of packs`)
    assert.ok(index <= MAX_INDEX_BYTES, `${index} bytes of index for each block`)
    assert.ok(memory <= MAX_MEMORY_BYTES, `${memory} bytes of memory for each block`)
    const [first, last] = [...await blocksOf(0, 1), ...await blocksOf(BLOCK_COUNT - 1, BLOCK_COUNT)]
    for (const block of [first, last]) assert.deepEqual((await store.get(block?.cid ?? assert.fail()))?.bytes, block?.bytes)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
})
