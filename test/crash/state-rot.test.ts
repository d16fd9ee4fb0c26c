import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, rm, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { newFolder } from '../harness.ts'
import { flipBit } from '../packs.ts'
import { SEED, SeededRandom } from './seeded-random.ts'
import { allDags, isPinned, openKeeping } from './state-repository.ts'

/** Damages of the index; more for a longer run. */
const STATE_DAMAGES = Number(process.env.STATE_DAMAGES ?? 200)

/** Damages that one process looks at: starting one takes longer than ten of them. */
const DAMAGES_PER_PROCESS = 25

/** How long one process may take before it counts as dead, in milliseconds. */
const PROCESS_MS = 120_000

test('whatever bits flip in the index of references, it is noticed at the start: pins keep what they kept, and nothing else', { timeout: (1 + STATE_DAMAGES / DAMAGES_PER_PROCESS) * PROCESS_MS }, async (context) => {
  context.diagnostic(`SEED=${SEED} STATE_DAMAGES=${STATE_DAMAGES}`)
  const folder = await newFolder(context)
  const sound = join(folder, 'sound')
  await fill(sound)
  // The check itself finds nothing wrong with a sound one.
  await look(folder, sound, [{ name: 'untouched', damage: async () => {} }])
  for (let first = 0; first < STATE_DAMAGES; first += DAMAGES_PER_PROCESS) {
    const numbers = Array.from({ length: Math.min(DAMAGES_PER_PROCESS, STATE_DAMAGES - first) }, (_, index) => first + index)
    await look(folder, sound, numbers.map((number) => ({ name: String(number), damage: async (copy) => { await damageIndex(copy, new SeededRandom('state', number)) } })))
  }
})

/** Pins and garbage, closed in order: only then is the index taken again. */
async function fill (folder: string): Promise<void> {
  await using keeping = await openKeeping(folder)
  for (const [number, blocks] of (await allDags()).entries()) {
    await keeping.blocks.putMany(blocks)
    for (const { cid } of blocks) keeping.references.note(cid)
    const root = blocks.at(-1)
    if (root !== undefined && isPinned(number)) await keeping.pins.add({ cid: root.cid, kind: 'recursive' })
  }
  await keeping.references.settle()
  keeping.references.markComplete()
}

interface Damage {
  readonly name: string
  damage(folder: string): Promise<void>
}

/** Has a process look at copies with these damages. */
async function look (folder: string, sound: string, damages: readonly Damage[]): Promise<void> {
  const copies = damages.map(({ name }) => join(folder, name))
  for (const [index, { damage }] of damages.entries()) {
    const copy = copies[index] ?? ''
    await cp(sound, copy, { recursive: true })
    await damage(copy)
  }
  const child = spawn(process.execPath, [join(import.meta.dirname, 'state-check.ts'), ...copies], { stdio: ['ignore', 'pipe', 'pipe'], timeout: PROCESS_MS, killSignal: 'SIGKILL' })
  const [printed, complaints, ending] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  assert.deepEqual({ lines: printed.split('\n').filter((line) => line !== ''), ending }, { lines: copies.map((copy) => `done ${copy}`), ending: [0, null] }, `SEED=${SEED}: ${complaints}`)
  for (const copy of copies) await rm(copy, { recursive: true })
}

/** Flips up to eight bits of the index or its seal, or cuts the end off. */
async function damageIndex (folder: string, random: SeededRandom): Promise<void> {
  const path = join(folder, random.once(10) ? 'state.mdb.seal' : 'state.mdb')
  const { size } = await stat(path)
  if (random.once(20)) return await truncate(path, random.integer(0, size - 1))
  for (let flips = random.integer(1, 8); flips > 0; flips--) await flipBit(path, random.integer(0, size - 1), random.integer(0, 7))
}
