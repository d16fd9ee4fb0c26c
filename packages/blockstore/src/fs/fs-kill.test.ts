import { Block, parseCid } from '@holdfast/core'
import { KILLED_WRITER_FOLDER, killWriters } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { writeSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { openFsBlockstore } from './open-fs-blockstore.ts'

const KILL_COUNT = 5

/** The writer is this file again. */
const folder = process.env[KILLED_WRITER_FOLDER]

if (folder !== undefined) {
  await putForever(folder)
} else {
  test('every block that was acknowledged before kill -9 is there and right, and none is torn', async () => {
    await killWriters({ program: import.meta.filename, rounds: KILL_COUNT, maxMs: 250, check })
  })
}

async function check (folder: string, acknowledged: ReadonlySet<string>): Promise<void> {
  await using store = await openFsBlockstore(folder)
  for (const cid of acknowledged) assert.ok(await store.get(parseCid(cid)) !== undefined, `${cid} was acknowledged`)
  for await (const cid of store.list()) await store.get(cid) // Rejects when torn.
  assert.deepEqual(await readdir(join(folder, '.temp')), [])
}

/** Four lanes of single puts and batches; each CID is written out, past any buffer, once it was acknowledged. */
async function putForever (folder: string): Promise<void> {
  const store = await openFsBlockstore(folder)
  await Promise.all([1, 1, 5, 20].map(async (batchLength) => {
    for (;;) {
      const blocks = await Promise.all(Array.from({ length: batchLength }, () => Block.of(randomBytes(randomInt(100_000)))))
      await store.putMany(blocks)
      writeSync(1, blocks.map(({ cid }) => `${cid}\n`).join(''))
    }
  }))
}
