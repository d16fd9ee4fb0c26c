import { type HoldfastError, isErrorCode, type Logger, silentLogger } from '@holdfast/core'
import fc from 'fast-check'
import { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { mkdtemp, open, readdir, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { MAX_QUEUED_BYTES } from './append-queue.ts'
import { type Journal, openJournal } from './journal.ts'
import type { JournalFile, JournalFs } from './journal-fs.ts'
import { type JournalRecord, MAX_BATCH_RECORDS, MAX_RECORD_BYTES } from './record.ts'

const scratch = await mkdtemp(join(tmpdir(), 'holdfast-journal-'))
after(async () => { await rm(scratch, { recursive: true }) })

let folderCount = 0
function newFolder (): string {
  return join(scratch, String(folderCount++))
}

function pin (value: JournalRecord['value']): JournalRecord {
  return { kind: 'pin', value }
}

async function replayed (journal: Journal): Promise<JournalRecord[]> {
  return await Array.fromAsync(journal.replay())
}

/** Waits until what was appended before counts as known to its callers. */
async function nextTurn (): Promise<void> {
  await setImmediate()
}

test('a new journal is empty, and its folder is made with those above it', async () => {
  const folder = join(newFolder(), 'deep', 'down')
  await using journal = await openJournal(folder)
  assert.deepEqual(await replayed(journal), [])
  assert.equal((await stat(folder)).mode & 0o777, 0o700)
  assert.equal((await stat(join(folder, '00000001.log'))).mode & 0o777, 0o600)
})

test('records come back in order with their values, whatever kind they are, as often as asked', async () => {
  const cid = CID.parse('bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy')
  const records: JournalRecord[] = [
    pin({ cid, list: [1, -1, 2n ** 63n, 1.5, true, null, 'ü'], bytes: Uint8Array.of(0, 255) }),
    { kind: 'member', value: null },
    { kind: 'a-kind-of-tomorrow', value: { nested: { deep: [[[]]] } } }
  ]
  const folder = newFolder()
  {
    await using journal = await openJournal(folder)
    await journal.append(records.slice(0, 2))
    await journal.append(records.slice(2))
    assert.deepEqual(await replayed(journal), records)
  }
  await using journal = await openJournal(folder)
  assert.deepEqual(await replayed(journal), records)
  assert.deepEqual(await replayed(journal), records)
})

/** Steps of a life: appends of batches, reopenings, compactions to what there is. */
const steps = fc.array(fc.oneof(
  { weight: 6, arbitrary: fc.record({ step: fc.constant('append' as const), batch: fc.array(fc.integer(), { maxLength: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ step: fc.constant('reopen' as const) }) },
  { weight: 1, arbitrary: fc.record({ step: fc.constant('compact' as const) }) }
), { maxLength: 24 })

test('a journal that is appended to, closed, opened and compacted holds what a list would', async () => {
  await fc.assert(fc.asyncProperty(steps, fc.integer({ min: 100, max: 400 }), async (steps, maxLogBytes) => {
    const folder = newFolder()
    let journal = await openJournal(folder, { maxLogBytes })
    let model: JournalRecord[] = []
    for (const step of steps) {
      if (step.step === 'append') {
        const batch = step.batch.map(pin)
        await journal.append(batch)
        model.push(...batch)
      } else if (step.step === 'compact') {
        await nextTurn()
        await journal.compact(model.slice(1))
        model = model.slice(1)
      } else {
        await journal[Symbol.asyncDispose]()
        journal = await openJournal(folder, { maxLogBytes })
      }
      assert.deepEqual(await replayed(journal), model)
    }
    await journal[Symbol.asyncDispose]()
    await rm(folder, { recursive: true })
  }), { numRuns: 40 })
})

interface Counts { write: number, datasync: number, sync: number }

/** The disk, counting what is asked of logs once `counts` is handed out. */
function countingFs (counts: Counts): Partial<JournalFs> {
  return {
    open: async (path, flags, mode) => {
      const file: JournalFile = await open(path, flags, mode)
      const { write, datasync, sync } = file
      file.sync = async () => {
        counts.sync++
        await sync.apply(file)
      }
      file.write = async (...args) => {
        counts.write++
        return await write.apply(file, args)
      }
      file.datasync = async () => {
        counts.datasync++
        await datasync.apply(file)
      }
      return file
    }
  }
}

test('appends that wait at the same time share one write and one sync', async () => {
  const counts = { write: 0, datasync: 0, sync: 0 }
  await using journal = await openJournal(newFolder(), { fs: countingFs(counts) })
  counts.write = counts.datasync = counts.sync = 0
  await Promise.all(Array.from({ length: 100 }, async (_, index) => { await journal.append([pin(index)]) }))
  assert.deepEqual(counts, { write: 1, datasync: 1, sync: 0 })
  assert.deepEqual((await replayed(journal)).map(({ value }) => value), Array.from({ length: 100 }, (_, index) => index))
})

test('appends that come while the disk works share the next sync', async () => {
  const counts = { write: 0, datasync: 0, sync: 0 }
  await using journal = await openJournal(newFolder(), { fs: countingFs(counts) })
  counts.write = counts.datasync = counts.sync = 0
  const first = journal.append([pin(0)])
  await Promise.resolve()
  await Promise.resolve()
  await Promise.all([first, ...Array.from({ length: 50 }, async () => { await journal.append([pin(1)]) })])
  assert.deepEqual(counts, { write: 2, datasync: 2, sync: 0 })
})

test('an append of nothing asks nothing of the disk', async () => {
  const counts = { write: 0, datasync: 0, sync: 0 }
  await using journal = await openJournal(newFolder(), { fs: countingFs(counts) })
  counts.write = counts.datasync = counts.sync = 0
  await journal.append([])
  assert.deepEqual(counts, { write: 0, datasync: 0, sync: 0 })
})

test('opening and closing an idle journal again and again does not make it grow', async () => {
  const folder = newFolder()
  const byteLengths = new Set<number>()
  for (let round = 0; round < 4; round++) {
    await using journal = await openJournal(folder)
    if (round === 0) await journal.append([pin(1)])
    else byteLengths.add(journal.byteLength)
  }
  assert.equal(byteLengths.size, 1)
})

test('opening syncs what a kill may have left unsynced: the last log, and the folder', async () => {
  const folder = newFolder()
  {
    await using journal = await openJournal(folder)
    await journal.append([pin(1)])
  }
  const counts = { write: 0, datasync: 0, sync: 0 }
  await using journal = await openJournal(folder, { fs: countingFs(counts) })
  assert.deepEqual(counts, { write: 0, datasync: 0, sync: 2 })
  assert.equal((await replayed(journal)).length, 1)
})

function nested (levels: number): JournalRecord['value'] {
  return levels === 0 ? null : [nested(levels - 1)]
}

/** Records that cannot be written, and why. */
const REFUSED: Record<string, [records: JournalRecord[], code: 'INVALID' | 'LIMIT']> = {
  'a kind with a capital letter': [[{ kind: 'Pin', value: 1 }], 'INVALID'],
  'an empty kind': [[{ kind: '', value: 1 }], 'INVALID'],
  'a kind of 65 characters': [[{ kind: 'x'.repeat(65), value: 1 }], 'INVALID'],
  'a number that is none': [[pin(NaN)], 'INVALID'],
  'a value nested deeper than 128 levels': [[pin(nested(129))], 'INVALID'],
  'a value that is too long': [[pin(new Uint8Array(MAX_RECORD_BYTES))], 'LIMIT'],
  'more records than a batch takes': [Array.from({ length: MAX_BATCH_RECORDS + 1 }, () => pin(1)), 'LIMIT'],
  'more bytes than a batch takes': [Array.from({ length: 17 }, () => pin(new Uint8Array(MAX_RECORD_BYTES - 100))), 'LIMIT']
}

for (const [what, [records, code]] of Object.entries(REFUSED)) {
  test(`${what} is refused whole, and the journal goes on`, async () => {
    await using journal = await openJournal(newFolder())
    await assert.rejects(journal.append([pin('before'), ...records]), (err) => isErrorCode(err, code))
    await journal.append([pin('after')])
    assert.deepEqual(await replayed(journal), [pin('after')])
  })
}

test('the largest batch, the longest record and the deepest value are kept', async () => {
  const folder = newFolder()
  const longest = pin(new Uint8Array(MAX_RECORD_BYTES - 30).fill(3))
  {
    await using journal = await openJournal(folder)
    await journal.append(Array.from({ length: MAX_BATCH_RECORDS }, () => pin(1)))
    await journal.append(Array.from({ length: 15 }, () => longest))
    await journal.append([pin(nested(128))])
  }
  await using journal = await openJournal(folder)
  const records = await replayed(journal)
  assert.equal(records.length, MAX_BATCH_RECORDS + 16)
  assert.deepEqual(records.slice(-2), [longest, pin(nested(128))])
})

test('a disk that does not answer fills no memory: appends beyond the queue are refused', async () => {
  const gate = Promise.withResolvers<void>()
  let blocked = false
  const fs: Partial<JournalFs> = {
    open: async (path, flags, mode) => {
      const file: JournalFile = await open(path, flags, mode)
      const { datasync } = file
      file.datasync = async () => {
        if (blocked) await gate.promise
        await datasync.apply(file)
      }
      return file
    }
  }
  await using journal = await openJournal(newFolder(), { fs })
  blocked = true
  const large = Array.from({ length: 15 }, () => pin(new Uint8Array(MAX_RECORD_BYTES - 100)))
  const fitting = Math.floor(MAX_QUEUED_BYTES / (15 * MAX_RECORD_BYTES))
  const running = Array.from({ length: fitting }, async () => { await journal.append(large) })
  await assert.rejects(journal.append(large), (err) => isErrorCode(err, 'LIMIT'))
  gate.resolve()
  await Promise.all(running)
  await journal.append(large)
  assert.equal((await replayed(journal)).length, 15 * (fitting + 1))
})

test('compaction leaves the given records and frees the rest', async () => {
  const folder = newFolder()
  await using journal = await openJournal(folder, { maxLogBytes: 1000 })
  for (let index = 0; index < 50; index++) await journal.append([pin('x'.repeat(100))])
  await nextTurn()
  const before = journal.byteLength
  await journal.compact([pin('kept')])
  assert.deepEqual(await replayed(journal), [pin('kept')])
  assert.ok(journal.byteLength < before / 10)
  const byteLengths = await Promise.all((await readdir(folder)).map(async (name) => (await stat(join(folder, name))).size))
  assert.equal(byteLengths.reduce((sum, byteLength) => sum + byteLength), journal.byteLength)
})

test('compaction of some kinds carries all others over, in order', async () => {
  const folder = newFolder()
  {
    await using journal = await openJournal(folder, { maxLogBytes: 200 })
    await journal.append([{ kind: 'member', value: 1 }, pin('old')])
    await journal.append([{ kind: 'name', value: 2 }, { kind: 'unpin', value: 'old' }])
    await journal.append([{ kind: 'member', value: 3 }])
    await nextTurn()
    await journal.compact([pin('kept')], { kinds: ['pin', 'unpin'] })
    await journal.compact([pin('kept again')], { kinds: ['pin', 'unpin'] })
  }
  await using journal = await openJournal(folder)
  assert.deepEqual(await replayed(journal), [{ kind: 'member', value: 1 }, { kind: 'name', value: 2 }, { kind: 'member', value: 3 }, pin('kept again')])
})

test('appends go on during a compaction and follow its records', async () => {
  const folder = newFolder()
  await using journal = await openJournal(folder)
  await journal.append([pin('old')])
  await nextTurn()
  const gate = Promise.withResolvers<void>()
  const compacting = journal.compact((async function * () {
    yield pin('first')
    await gate.promise
    yield pin('second')
  })())
  await journal.append([pin('meanwhile')])
  assert.deepEqual(await replayed(journal), [pin('old'), pin('meanwhile')])
  gate.resolve()
  await compacting
  assert.deepEqual(await replayed(journal), [pin('first'), pin('second'), pin('meanwhile')])
})

test('an append that had not resolved when a compaction was asked for is never dropped by it', async () => {
  await using journal = await openJournal(newFolder())
  for (let round = 0; round < 20; round++) {
    const appending = journal.append([pin(round)])
    for (let turn = 0; turn < round; turn++) await Promise.resolve()
    const compacting = journal.compact([])
    await Promise.all([appending, compacting])
    assert.ok((await replayed(journal)).some(({ value }) => value === round), `round ${round}`)
  }
})

test('callers told at the same time may each compact with what they know: nobody loses a record', async () => {
  await using journal = await openJournal(newFolder())
  const known: JournalRecord[] = []
  await Promise.all(Array.from({ length: 10 }, async (_, index) => {
    await journal.append([pin(index)])
    known.push(pin(index))
    // Others of the same sync have not been told yet.
    await journal.compact([...known])
  }))
  const values = new Set((await replayed(journal)).map(({ value }) => value))
  assert.deepEqual([...values].sort(), known.map(({ value }) => value).sort())
})

test('compactions asked for at the same time take effect in order', async () => {
  await using journal = await openJournal(newFolder())
  await Promise.all([journal.compact([pin(1)]), journal.compact([pin(2)]), journal.compact([pin(3)])])
  assert.deepEqual(await replayed(journal), [pin(3)])
})

test('when the records of a compaction fail, the old ones stay and the journal goes on', async () => {
  const folder = newFolder()
  await using journal = await openJournal(folder)
  await journal.append([pin('old')])
  await nextTurn()
  const reason = new Error('changed my mind')
  await assert.rejects(journal.compact((function * () {
    yield pin('new')
    throw reason
  })()), (err) => err === reason)
  await journal.append([pin('more')])
  assert.deepEqual(await replayed(journal), [pin('old'), pin('more')])
  assert.deepEqual((await readdir(folder)).sort(), ['00000001.log', '00000002.log'])
})

test('a replay under way reads on through a compaction, whose leavings go when it ends', async () => {
  const folder = newFolder()
  await using journal = await openJournal(folder, { maxLogBytes: 100 })
  const records = Array.from({ length: 6 }, (_, index) => pin(`${index}`.padEnd(80)))
  for (const record of records) await journal.append([record])
  await nextTurn()
  const seen: JournalRecord[] = []
  for await (const record of journal.replay()) {
    if (seen.length === 0) await journal.compact([pin('new')])
    seen.push(record)
  }
  assert.deepEqual(seen, records)
  assert.deepEqual((await readdir(folder)).sort(), ['00000006.snapshot', '00000007.log'])
})

test('closing ends a compaction that runs, waits for appends that wait, and refuses what comes later', async () => {
  const folder = newFolder()
  const journal = await openJournal(folder)
  await journal.append([pin('old')])
  await nextTurn()
  const gate = Promise.withResolvers<void>()
  const compacting = journal.compact((async function * () {
    await gate.promise
    yield pin('new')
  })())
  const refused = assert.rejects(compacting, (err) => isErrorCode(err, 'UNAVAILABLE'))
  const appending = journal.append([pin('last')])
  const closing = journal[Symbol.asyncDispose]()
  gate.resolve()
  await Promise.all([closing, appending, refused, journal[Symbol.asyncDispose]()])
  await assert.rejects(journal.append([pin('late')]), (err) => isErrorCode(err, 'UNAVAILABLE'))
  await assert.rejects(journal.compact([]), (err) => isErrorCode(err, 'UNAVAILABLE'))
  await assert.rejects(replayed(journal), (err) => isErrorCode(err, 'UNAVAILABLE'))

  await using again = await openJournal(folder)
  assert.deepEqual(await replayed(again), [pin('old'), pin('last')])
})

/** Fails calls of one file method while `failing` says with which error. */
function failingFs (failing: { method: 'write' | 'datasync', code: string | undefined }): Partial<JournalFs> {
  return {
    open: async (path, flags, mode) => {
      const file: JournalFile = await open(path, flags, mode)
      const { write, datasync } = file
      const check = (method: 'write' | 'datasync'): void => {
        if (failing.method === method && failing.code !== undefined) throw Object.assign(new Error(failing.code), { code: failing.code })
      }
      file.write = async (...args) => {
        check('write')
        return await write.apply(file, args)
      }
      file.datasync = async () => {
        check('datasync')
        await datasync.apply(file)
      }
      return file
    }
  }
}

for (const [method, code] of [['write', 'EIO'], ['datasync', 'EIO'], ['datasync', 'ENOSPC']] as const) {
  test(`after a ${method} that failed with ${code} the journal is read-only for good, says why, and tells once`, async () => {
    const failing: Parameters<typeof failingFs>[0] = { method, code: undefined }
    const told: HoldfastError[] = []
    const logged: string[] = []
    const log: Logger = { ...silentLogger, error: (message) => { logged.push(message) } }
    const folder = newFolder()
    await using journal = await openJournal(folder, { fs: failingFs(failing), log, onFatal: (reason) => { told.push(reason) } })
    await journal.append([pin('before')])
    failing.code = code
    const results = await Promise.allSettled([journal.append([pin(1)]), journal.append([pin(2)])])
    failing.code = undefined
    for (const operation of [journal.append([pin(3)]), journal.compact([])]) {
      await assert.rejects(operation, (err) => isErrorCode(err, 'UNAVAILABLE') && err.message.includes(join(folder, '00000001.log')))
    }
    for (const result of results) assert.ok(result.status === 'rejected' && isErrorCode(result.reason, 'UNAVAILABLE'))
    assert.equal(told.length, 1)
    assert.ok(told[0]?.cause instanceof Error && told[0].cause.message === code)
    assert.deepEqual(logged, ['Journal is read-only'])
  })
}

test('a full disk refuses the write and nothing more', async () => {
  const failing: Parameters<typeof failingFs>[0] = { method: 'write', code: undefined }
  const folder = newFolder()
  {
    await using journal = await openJournal(folder, { fs: failingFs(failing), onFatal: () => { assert.fail('not fatal') } })
    await journal.append([pin('before')])
    failing.code = 'ENOSPC'
    await assert.rejects(journal.append([pin('refused')]), (err) => isErrorCode(err, 'LIMIT') && /full/.test(err.message))
    await assert.rejects(journal.compact([]), (err) => isErrorCode(err, 'LIMIT'))
    failing.code = undefined
    await journal.append([pin('after')])
  }
  await using journal = await openJournal(folder)
  assert.deepEqual(await replayed(journal), [pin('before'), pin('after')])
})

test('a folder that cannot be read is not taken for an empty journal', async () => {
  const fs: Partial<JournalFs> = { readdir: async () => { throw Object.assign(new Error('EIO'), { code: 'EIO' }) } }
  await assert.rejects(openJournal(newFolder(), { fs }), (err) => isErrorCode(err, 'UNAVAILABLE') && err.cause instanceof Error && err.cause.message === 'EIO')
})
