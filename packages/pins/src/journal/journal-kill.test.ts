import { KILLED_WRITER_FOLDER, killWriters } from '@holdfast/testkit'
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { writeSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { type Journal, openJournal } from './journal.ts'
import type { JournalRecord } from './record.ts'

const KILL_COUNT = 10
const PARTS_PER_BATCH = 3

/** The writer is this file again. */
const folder = process.env[KILLED_WRITER_FOLDER]

if (folder !== undefined) {
  await appendForever(folder)
} else {
  test('every batch that was acknowledged before kill -9 is there, and none is torn', async () => {
    await killWriters({ program: import.meta.filename, rounds: KILL_COUNT, maxMs: 150, check })
  })
}

async function check (folder: string, acknowledged: ReadonlySet<string>): Promise<void> {
  await using journal = await openJournal(folder)
  const parts = await partsOf(journal)
  for (const id of acknowledged) assert.ok(parts.has(id), `${id} was acknowledged`)
  for (const [id, found] of parts) assert.equal(found.size, PARTS_PER_BATCH, `${id} is torn`)
}

async function partsOf (journal: Journal): Promise<Map<string, Set<unknown>>> {
  const parts = new Map<string, Set<unknown>>()
  for await (const { value } of journal.replay()) {
    assert.ok(value !== null && typeof value === 'object' && 'id' in value && 'part' in value)
    const id = String(value.id)
    parts.set(id, (parts.get(id) ?? new Set()).add(value.part))
  }
  return parts
}

function batchOf (id: string): JournalRecord[] {
  return Array.from({ length: PARTS_PER_BATCH }, (_, part) => ({ kind: 'part', value: { id, part, filler: new Uint8Array(randomInt(2000)) } }))
}

/** Four lanes of appends beside a lane of compactions; each id is written out, past any buffer, once it was acknowledged. */
async function appendForever (folder: string): Promise<void> {
  const journal = await openJournal(folder, { maxLogBytes: 200_000 })
  const known = new Map<string, JournalRecord[]>()
  for (const id of (await partsOf(journal)).keys()) known.set(id, batchOf(id))
  const append = async (lane: number): Promise<void> => {
    for (let count = 0; ; count++) {
      const id = `${process.pid}-${lane}-${count}`
      const batch = batchOf(id)
      await journal.append(batch)
      known.set(id, batch)
      writeSync(1, `${id}\n`)
    }
  }
  const compact = async (): Promise<void> => {
    for (;;) {
      await setTimeout(20)
      await journal.compact([...known.values()].flat())
    }
  }
  await Promise.all([append(0), append(1), append(2), append(3), compact()])
}
