import { openPackBlockstore } from '@holdfast/blockstore/pack'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { newFolder } from '../harness.ts'
import { flipBit } from '../packs.ts'
import { numberedBlock, STORED_BLOCKS } from './numbered-blocks.ts'
import { SEED, SeededRandom } from './seeded-random.ts'

/** Damages of the index, each looked at by a process of its own; more for a longer run. */
const INDEX_DAMAGES = Number(process.env.INDEX_DAMAGES ?? 200)

/** Processes at once. */
const LANES = 2

/** How long one process may take before it counts as dead, in milliseconds. */
const CHECK_MS = 20_000

test('whatever bits flip in the index of the packs, answers are right after a check, or after it was made anew where LMDB dies', { timeout: INDEX_DAMAGES * 3 * CHECK_MS }, async (context) => {
  context.diagnostic(`SEED=${SEED} INDEX_DAMAGES=${INDEX_DAMAGES}`)
  const folder = await newFolder(context)
  const sound = join(folder, 'sound')
  {
    await using store = await openPackBlockstore(sound, { reserveBytes: 0 })
    await store.putMany(await Promise.all(Array.from({ length: STORED_BLOCKS }, async (_, number) => await numberedBlock(number))))
  }
  const counts: [number, number, number] = [0, 0, 0]
  const numbers = Array.from({ length: INDEX_DAMAGES }, (_, number) => number).values()
  await Promise.all(Array.from({ length: LANES }, async (_, lane) => {
    const copy = join(folder, String(lane))
    await mkdir(copy)
    for (const number of numbers) {
      await cp(sound, copy, { recursive: true, force: true })
      const damage = await damageIndex(copy, new SeededRandom('index', number))
      const where = `${damage}, damage ${number} of SEED=${SEED}`
      // Where LMDB dies the next start finds a note of it. Only before there was one, somebody has to ask for a new index.
      const answers = [await check(copy)]
      for (const how of ['check', 'rebuild']) if (answers.at(-1) === undefined) answers.push(await check(copy, how))
      counts[Math.min(answers.length, 3) - 1 as 0 | 1 | 2]++
      assert.deepEqual(answers.at(-1), [], where)
    }
  }))
  context.diagnostic(`${counts[0]} times the check put the index right, ${counts[1]} times LMDB died and the next start did, ${counts[2]} times repo rebuild-index did`)
})

/** Flips up to eight bits, or cuts the end off. */
async function damageIndex (folder: string, random: SeededRandom): Promise<string> {
  const path = join(folder, 'blocks.mdb')
  const { size } = await stat(path)
  // A lock file of before would be of another file.
  await writeFile(`${path}-lock`, '')
  if (random.once(20)) {
    const end = random.integer(0, size - 1)
    await truncate(path, end)
    return `cut at ${end}`
  }
  const flips = Array.from({ length: random.integer(1, 8) }, () => [random.integer(0, size - 1), random.integer(0, 7)] as const)
  for (const [byteOffset, bit] of flips) await flipBit(path, byteOffset, bit)
  return `flips ${flips.map((flip) => flip.join('.')).join(' ')}`
}

/** What a process finds wrong after it checked the store; `undefined` when it died. */
async function check (folder: string, how = 'check'): Promise<string[] | undefined> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'index-check.ts'), folder, how], { stdio: ['ignore', 'pipe', 'ignore'], timeout: CHECK_MS, killSignal: 'SIGKILL' })
  const [printed] = await Promise.all([text(child.stdout), once(child, 'exit')])
  const lines = printed.split('\n').filter((line) => line !== '')
  return lines.pop() === 'done' ? lines : undefined
}
