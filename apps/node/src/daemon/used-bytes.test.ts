import { Block, silentLogger } from '@holdfast/core'
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { DEFAULT_CONFIG } from '../config.ts'
import { openStorage } from './storage.ts'
import { usedBytes } from './used-bytes.ts'

const BLOCK_COUNT = 1000
const BLOCK_BYTES = 8

for (const engine of ['pack', 'fs'] as const) {
  test(`the engine ${engine} tells what blocks take of the limit${engine === 'pack' ? ', with what it adds to small ones' : ''}`, async (context) => {
    const repository = await mkdtemp(join(tmpdir(), 'holdfast-used-'))
    context.after(async () => { await rm(repository, { recursive: true, force: true }) })
    await using storage = await openStorage({ engine, repository, config: DEFAULT_CONFIG, log: silentLogger, onFatal: (err) => { throw err } })
    const blocks = await Promise.all(Array.from({ length: BLOCK_COUNT }, async (_, index) => {
      const bytes = new Uint8Array(BLOCK_BYTES)
      new DataView(bytes.buffer).setUint32(0, index)
      return await Block.of(bytes)
    }))
    await storage.blocks.putMany(blocks)
    const ownBytes = BLOCK_COUNT * BLOCK_BYTES
    assert.equal((await storage.blocks.usage()).byteLength, ownBytes)
    const used = await usedBytes(storage)
    if (engine === 'fs') assert.equal(used, ownBytes)
    else assert.ok(used > 4 * ownBytes, `${used} bytes`)
  })
}
