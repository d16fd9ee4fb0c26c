import { HoldfastError, isErrorCode } from '@holdfast/core'
import { openJournal, openPinSet } from '@holdfast/pins'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { cp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { newFolder, startNode } from '../harness.ts'
import { flipBit } from '../packs.ts'
import { numberedBlock } from './numbered-blocks.ts'
import { SEED, SeededRandom } from './seeded-random.ts'

/** Damages of a journal of several files; more for a longer run. */
const JOURNAL_DAMAGES = Number(process.env.JOURNAL_DAMAGES ?? 400)

/** Damages that a daemon is started on. */
const STARTS = 12

/** How long all damages may take that no daemon is started on, in milliseconds: 3 s alone. */
const DAMAGES_MS = 300_000

/** How long a start may take, in milliseconds. */
const START_MS = 60_000

/** So short that the pins below fill a snapshot and some logs. */
const MAX_LOG_BYTES = 3000
const MIN_DEAD_RECORDS = 20
const CHANGES = 120

/** Which pins there were after how many bytes of the newest log. */
interface Moment {
  readonly log: string
  readonly byteLength: number
  readonly pins: readonly string[]
}

test('whatever bits flip in a journal and wherever it is cut, it is refused with the place, or holds all that was pinned before the damage', { timeout: DAMAGES_MS }, async (context) => {
  context.diagnostic(`SEED=${SEED} JOURNAL_DAMAGES=${JOURNAL_DAMAGES}`)
  const folder = await newFolder(context)
  const [sound, copy] = [join(folder, 'sound'), join(folder, 'copy')]
  const moments = await pinAndUnpin(sound)
  const names = (await readdir(sound)).toSorted()
  const newest = names.findLast((name) => name.endsWith('.log'))
  assert.ok(names.some((name) => name.endsWith('.snapshot')) && names.length > 2, names.join())
  const counts = { refused: 0, opened: 0 }
  for (let number = 0; number < JOURNAL_DAMAGES; number++) {
    await cp(sound, copy, { recursive: true })
    const random = new SeededRandom('journal', number)
    const name = (random.once(2) ? newest : random.pick(names)) ?? ''
    const path = join(copy, name)
    const { size } = await stat(path)
    const isCut = random.once(2)
    const at = random.integer(0, size - 1)
    const where = `${name} ${isCut ? 'cut' : 'flipped'} at ${at}, damage ${number} of SEED=${SEED}`
    if (isCut) await truncate(path, at)
    else await flipBit(path, at, random.integer(0, 7))
    const found = await pinsIn(copy).catch((err: unknown) => refusalOf(err, path, where))
    counts[found === undefined ? 'refused' : 'opened']++
    if (found !== undefined) assert.deepEqual(found, lastBefore(moments, { log: name, byteLength: isCut ? at : size }).pins, where)
    await rm(copy, { recursive: true })
  }
  assert.ok(counts.refused > 0 && counts.opened > 0)
  context.diagnostic(`${counts.refused} times the journal was refused, ${counts.opened} times it held what was before the damage`)
})

/** Pins and unpins in turn, closed in order, and what was pinned whenever the newest log had grown. */
async function pinAndUnpin (folder: string): Promise<Moment[]> {
  const moments: Moment[] = []
  await using journal = await openJournal(folder, { maxLogBytes: MAX_LOG_BYTES })
  await using pins = await openPinSet(journal, { minDeadRecords: MIN_DEAD_RECORDS })
  const note = async (): Promise<void> => {
    const log = (await readdir(folder)).filter((name) => name.endsWith('.log')).toSorted().at(-1) ?? ''
    moments.push({ log, byteLength: (await stat(join(folder, log))).size, pins: [...pins.list()].map(({ cid }) => cid.toString()) })
  }
  for (let number = 0; number < CHANGES; number++) {
    const { cid } = await numberedBlock(number)
    await pins.add({ cid, kind: 'direct' })
    await note()
    const oldest = moments.at(-1)?.pins[0]
    if (number % 3 === 2 && oldest !== undefined) {
      await pins.remove({ cid: CID.parse(oldest) })
      await note()
    }
  }
  return moments
}

async function pinsIn (folder: string): Promise<string[]> {
  await using journal = await openJournal(folder)
  await using pins = await openPinSet(journal)
  return [...pins.list()].map(({ cid }) => cid.toString())
}

function refusalOf (err: unknown, path: string, where: string): undefined {
  // A flipped bit of the version is one that a newer program would write.
  assert.ok(isErrorCode(err, 'CORRUPT') || isErrorCode(err, 'UNSUPPORTED'), `${where}: ${String(err)}`)
  assert.ok(err instanceof HoldfastError && err.message.includes(path), `${where}: ${err.message}`)
}

/** Only the newest log may lose its end, as it does in a crash. */
function lastBefore (moments: readonly Moment[], { log, byteLength }: { readonly log: string, readonly byteLength: number }): Moment {
  const last = moments.at(-1)
  assert.ok(last)
  if (last.log !== log) return last
  return moments.findLast((moment) => moment.log !== log || moment.byteLength <= byteLength) ?? last
}

test('a daemon whose journal is damaged names the place and ends, or keeps all that was pinned before the damage', { timeout: STARTS * START_MS }, async (context) => {
  const node = await startNode(context)
  const { repository } = node
  const name = (await readdir(join(repository, 'journal'))).find((name) => name.endsWith('.log')) ?? ''
  const path = join(repository, 'journal', name)
  const pinned: Array<{ readonly cid: string, readonly byteLength: number }> = []
  for (const content of ['a', 'b', 'c']) {
    const cid = await node.ok(['add', '-Q'], { stdin: content })
    pinned.push({ cid, byteLength: (await stat(path)).size })
  }
  await node.end()
  const sound = await readFile(path)
  const random = new SeededRandom('start')
  for (let count = 0; count < STARTS; count++) {
    const isCut = count % 2 === 1
    const at = random.integer(0, sound.byteLength - 1)
    const where = `${isCut ? 'cut' : 'flipped'} at ${at}, SEED=${SEED}`
    if (isCut) await truncate(path, at)
    else await flipBit(path, at, random.integer(0, 7))
    const started = await startNode(context, { repository }).catch((err: unknown) => String(err))
    if (typeof started === 'string') {
      assert.match(started, /status [47]/, where)
      assert.ok(started.includes(path), `${where}: ${started}`)
    } else {
      const before = pinned.filter(({ byteLength }) => !isCut || byteLength <= at).map(({ cid }) => cid)
      assert.deepEqual((await started.ok(['pin', 'ls', '-q'])).split('\n').filter((line) => line !== '').toSorted(), before.toSorted(), where)
      await started.end()
    }
    await writeFile(path, sound)
  }
})
