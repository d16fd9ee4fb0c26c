import { silentLogger } from '@holdfast/core'
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { BlockTable, COMMIT_ENTRIES } from './block-table.ts'
import { lmdbIndexAt } from './lmdb-index.ts'
import type { Location } from './location.ts'

const scratch = await mkdtemp(join(tmpdir(), 'holdfast-index-'))
after(async () => { await rm(scratch, { recursive: true }) })

/** The longest that anything may keep the event loop, in milliseconds. */
const MAX_STALL_MS = 50

/** Commits that are measured: the collector of V8 may fall into one. */
const COMMITS = 3

test('a commit of the index of full size never keeps the event loop for long', async (t) => {
  await using index = await lmdbIndexAt(join(scratch, 'blocks.mdb')).open()
  await using table = new BlockTable({ index, storeId: new Uint8Array(16), log: silentLogger, beforeCommit: async () => {}, commitEntries: 2 * COMMIT_ENTRIES })
  const stallsMs: number[] = []
  for (let commit = 0; commit < COMMITS; commit++) {
    for (let count = 0; count < COMMIT_ENTRIES; count++) table.replace(keyOf(commit * COMMIT_ENTRIES + count), undefined, placeOf(count))
    stallsMs.push(await longestStallMs(async () => { await table.flush() }))
  }
  t.diagnostic(`${stallsMs.map((ms) => ms.toFixed(1)).join(', ')} ms of the processor at a time`)
  assert.ok(Math.min(...stallsMs) < MAX_STALL_MS, `${stallsMs.join(', ')} ms`)
  assert.deepEqual(index.get(Buffer.from(keyOf(0), 'latin1')), placeOf(0))
  assert.equal(table.blockCount, COMMITS * COMMIT_ENTRIES)
})

/** As of sha2-256, in no order. */
function keyOf (number: number): string {
  return Buffer.concat([Buffer.of(0x12, 0x20), hash('sha256', String(number), 'buffer')]).toString('latin1')
}

function placeOf (count: number): Location {
  return { pack: 1, offset: 100 + count * 240, byteLength: 200, headerByteLength: 38, isQuarantined: false }
}

/** The most of the processor that this thread used between two turns of the event loop while `work` ran: another process cannot add to that. */
async function longestStallMs (work: () => Promise<void>): Promise<number> {
  let longestMs = 0
  let isOver = false
  let usedMs = cpuMs()
  const look = (): void => {
    const ms = cpuMs()
    longestMs = Math.max(longestMs, ms - usedMs)
    usedMs = ms
    if (!isOver) setImmediate(look)
  }
  setImmediate(look)
  await work()
  isOver = true
  return longestMs
}

function cpuMs (): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}
