import { MemoryBlockstore } from '@holdfast/blockstore'
import { Block } from '@holdfast/core'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { recipeOf } from '../profile.ts'
import { BATCH_BYTES, BATCHES_IN_FLIGHT } from './block-sink.ts'
import { ChunkBuffers } from './chunk-buffers.ts'
import { importBytes } from './import-tree.ts'

const CHUNK_BYTES = 65_536

test('memory that was given back is used again, once', () => {
  const buffers = ChunkBuffers.of(CHUNK_BYTES)
  assert.ok(buffers !== undefined)
  const chunk = buffers.take()
  buffers.give(chunk)
  buffers.give(chunk)
  const [again, other] = [buffers.take(), buffers.take()]
  assert.equal(again.buffer, chunk.buffer)
  assert.notEqual(other.buffer, chunk.buffer)
})

test('a part of a chunk, and memory of others, are not taken back', () => {
  const buffers = ChunkBuffers.of(CHUNK_BYTES)
  assert.ok(buffers !== undefined)
  const chunk = buffers.take()
  buffers.give(chunk.subarray(1))
  const foreign = new Uint8Array(CHUNK_BYTES + 100)
  buffers.give(foreign)
  const next = buffers.take()
  assert.notEqual(next.buffer, chunk.buffer)
  assert.notEqual(next.buffer, foreign.buffer)
})

/** As much as makes the batches of the sink come round several times. */
const CONTENT_BYTES = 5 * BATCH_BYTES + 12_345

for (const profile of ['unixfs-v0-2015', 'unixfs-v1-2025'] as const) {
  for (const layout of ['balanced', 'trickle'] as const) {
    test(`content is stored whole though its memory is used again, with ${profile}, ${layout}`, async () => {
      const recipe = { ...recipeOf({ profile, chunker: `size-${CHUNK_BYTES}` }), layout } as const
      const store = new ReusingStore()
      const { cid } = await importBytes(store, content(), recipe)
      const fresh = { put: store.put.bind(store), putMany: async (blocks: readonly Block[]) => { await new MemoryBlockstore().putMany(blocks) } }
      assert.equal(cid.toString(), (await importBytes(fresh, content(), recipe)).cid.toString())
      assert.ok(store.memory.size <= (BATCHES_IN_FLIGHT + 2) * BATCH_BYTES / CHUNK_BYTES, `${store.memory.size} buffers`)
    })
  }
}

/** Has no use for the bytes of a block once it is stored, and makes sure that nobody else has. */
class ReusingStore {
  readonly releasesBytes = true
  readonly memory = new Set<ArrayBufferLike>()

  async put (block: Block): Promise<void> {
    await this.putMany([block])
  }

  async putMany (blocks: readonly Block[]): Promise<void> {
    await setImmediate()
    for (const { cid, bytes } of blocks) {
      await Block.verify(cid, bytes)
      bytes.fill(0xff)
      if (bytes.byteLength >= CHUNK_BYTES) this.memory.add(bytes.buffer)
    }
  }
}

/** Pieces that share no border with chunks, each other bytes. */
async function * content (): AsyncGenerator<Uint8Array> {
  const pieceBytes = 100_003
  for (let at = 0; at < CONTENT_BYTES; at += pieceBytes) {
    const piece = Buffer.alloc(Math.min(pieceBytes, CONTENT_BYTES - at), 'holdfast')
    piece.writeUInt32LE(at)
    yield piece
  }
}
