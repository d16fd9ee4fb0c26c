import { Block, parseCid } from '@holdfast/core'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { writeSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { openFsBlockstore } from './open-fs-blockstore.ts'

const KILL_COUNT = 5

/** The child is this file again, told where to write. */
const CHILD = 'HOLDFAST_TEST_PUT_FOREVER'
const childFolder = process.env[CHILD]

if (childFolder !== undefined) {
  await putForever(childFolder)
} else {
  test('every block that was acknowledged before kill -9 is there and right, and none is torn', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'holdfast-kill-'))
    const acknowledged = new Set<string>()
    for (let round = 0; round < KILL_COUNT; round++) {
      const before = acknowledged.size
      await killOnTheWay(folder, acknowledged)
      assert.ok(acknowledged.size > before, 'the child got to work')
      await check(folder, acknowledged)
    }
    await rm(folder, { recursive: true })
  })
}

/** Starts a child that puts, and kills it some time after its first acknowledgement. */
async function killOnTheWay (folder: string, acknowledged: Set<string>): Promise<void> {
  const child = spawn(execPath, [import.meta.filename], { env: { [CHILD]: folder }, stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })
  lines.on('line', (line) => { acknowledged.add(line) })
  const drained = once(lines, 'close')
  await once(lines, 'line')
  await setTimeout(randomInt(20, 250))
  child.kill('SIGKILL')
  assert.deepEqual(await exited, [null, 'SIGKILL'], 'it was our signal that ended the child')
  await drained
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
