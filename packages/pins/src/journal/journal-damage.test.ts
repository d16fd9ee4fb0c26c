import { isErrorCode } from '@holdfast/core'
import assert from 'node:assert/strict'
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, truncate, unlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { type Journal, openJournal } from './journal.ts'
import type { JournalRecord } from './record.ts'
import { decodeSegmentHeader, encodeFrameHeader, encodeSegmentHeader, FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES } from './segment-format.ts'

const scratch = await mkdtemp(join(tmpdir(), 'holdfast-journal-'))
after(async () => { await rm(scratch, { recursive: true }) })

let folderCount = 0
function newFolder (): string {
  return join(scratch, String(folderCount++))
}

const LOG = '00000001.log'

/** Batches of one to three records, of values of several types. */
const BATCHES: readonly JournalRecord[][] = [
  [{ kind: 'pin', value: 1 }],
  [{ kind: 'pin', value: 'two' }, { kind: 'unpin', value: null }, { kind: 'other', value: { a: [true, 2n ** 60n] } }],
  [{ kind: 'pin', value: new Uint8Array(100).fill(7) }],
  [{ kind: 'pin', value: '' }]
]

async function recordsOf (folder: string): Promise<JournalRecord[]> {
  await using journal = await openJournal(folder)
  return await Array.fromAsync(journal.replay())
}

/** A journal as a kill leaves it: everything is written, nothing was closed. */
async function writeUnclosed (folder: string, batches: readonly JournalRecord[][] = BATCHES): Promise<Uint8Array> {
  const journal = await openJournal(folder)
  for (const batch of batches) await journal.append(batch)
  const bytes = await readFile(join(folder, LOG))
  await journal[Symbol.asyncDispose]()
  return bytes
}

/** Puts a folder with exactly this log in place. */
async function placeLog (bytes: Uint8Array): Promise<string> {
  const folder = newFolder()
  await mkdir(folder)
  await writeFile(join(folder, LOG), bytes)
  return folder
}

/** Offsets at which a frame of the log ends, first of all the end of the header. */
function frameEnds (bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const ends = [SEGMENT_HEADER_BYTES]
  for (let at = SEGMENT_HEADER_BYTES; at < bytes.byteLength;) {
    at += FRAME_HEADER_BYTES + view.getUint32(at + 8, true)
    ends.push(at)
  }
  return ends
}

test('a log cut at any byte opens with the batches that are whole, and goes on from there', async () => {
  const bytes = await writeUnclosed(newFolder())
  const ends = frameEnds(bytes)
  assert.equal(ends.length, BATCHES.length + 1)
  for (let byteLength = 0; byteLength <= bytes.byteLength; byteLength++) {
    const folder = await placeLog(bytes.subarray(0, byteLength))
    const wholeCount = Math.max(0, ends.filter((end) => end <= byteLength).length - 1)
    const expected = BATCHES.slice(0, wholeCount).flat()
    assert.deepEqual(await recordsOf(folder), expected, `cut at ${byteLength}`)

    if (byteLength % 16 !== 0) continue // Every byte would double the time for no other case.
    const journal = await openJournal(folder)
    await journal.append([{ kind: 'pin', value: 'more' }])
    await journal[Symbol.asyncDispose]()
    assert.deepEqual(await recordsOf(folder), [...expected, { kind: 'pin', value: 'more' }], `cut at ${byteLength}, then appended`)
  }
})

/** What a crash may leave where the unfinished write should be. */
const TAILS: Record<string, Uint8Array> = {
  'zeros to the end of a page': new Uint8Array(4096),
  'one zero': new Uint8Array(1),
  'bytes of another file': new Uint8Array(3000).map((_, index) => index * 31),
  'the start of a frame again and again': Uint8Array.from({ length: 400 }, (_, index) => [0xf5, 0x48, 0x46, 0x4a][index % 4] ?? 0)
}

for (const [what, tail] of Object.entries(TAILS)) {
  test(`${what} after the last frame are cut off`, async () => {
    const bytes = await writeUnclosed(newFolder())
    const folder = await placeLog(Buffer.concat([bytes, tail]))
    assert.deepEqual(await recordsOf(folder), BATCHES.flat())
  })
}

test('what is cut off is logged with its place', async () => {
  const bytes = await writeUnclosed(newFolder())
  const folder = await placeLog(Buffer.concat([bytes, new Uint8Array(10)]))
  const warnings: unknown[] = []
  const log = { error () {}, warn (message: string, fields?: unknown) { warnings.push({ message, fields }) }, info () {}, debug () {}, child () { return log } }
  await using journal = await openJournal(folder, { log })
  assert.equal(journal.byteLength > 0, true)
  assert.deepEqual(warnings, [{ message: 'Cut an unfinished write off the journal', fields: { path: join(folder, LOG), byteOffset: bytes.byteLength, byteLength: 10 } }])
})

test('any bit flipped after a crash is refused as rot, or costs the last write at most', async () => {
  const bytes = await writeUnclosed(newFolder())
  const lastStart = frameEnds(bytes).at(-2) ?? 0
  await forEachFlip(bytes, async (flipped, byteOffset) => {
    const folder = await placeLog(flipped)
    if (byteOffset < lastStart) await assertCorrupt(folder, byteOffset)
    else assert.deepEqual(await recordsOf(folder), BATCHES.slice(0, -1).flat(), `byte ${byteOffset}`)
  })
})

test('after a clean end no flipped bit loses a record: it is refused, or harmless', async () => {
  const folder = newFolder()
  await writeUnclosed(folder)
  const bytes = await readFile(join(folder, LOG))
  const markStart = bytes.byteLength - FRAME_HEADER_BYTES
  await forEachFlip(bytes, async (flipped, byteOffset) => {
    const folder = await placeLog(flipped)
    if (byteOffset < markStart) await assertCorrupt(folder, byteOffset)
    else assert.deepEqual(await recordsOf(folder), BATCHES.flat(), `byte ${byteOffset}`)
  })
})

/** Each bit of headers; of payloads one bit of every byte in turn. */
async function forEachFlip (bytes: Uint8Array, check: (flipped: Uint8Array, byteOffset: number) => Promise<void>): Promise<void> {
  const ends = frameEnds(bytes)
  for (let byteOffset = 0; byteOffset < bytes.byteLength; byteOffset++) {
    const start = ends.findLast((end) => end <= byteOffset) ?? 0
    const inHeader = byteOffset - start < FRAME_HEADER_BYTES
    for (let bit = inHeader ? 0 : byteOffset % 8; bit < (inHeader ? 8 : byteOffset % 8 + 1); bit++) {
      const flipped = Uint8Array.from(bytes)
      flipped[byteOffset] = (flipped[byteOffset] ?? 0) ^ (1 << bit)
      await check(flipped, byteOffset)
    }
  }
}

/** The journal does not open, says where the damage lies, and leaves every file as it was. */
async function assertCorrupt (folder: string, byteOffset: number): Promise<void> {
  const before = await snapshotOf(folder)
  await assert.rejects(openJournal(folder), (err) => {
    assert.ok(isErrorCode(err, 'CORRUPT'), `byte ${byteOffset}: ${String(err)}`)
    const told = err.details['byteOffset']
    // The frame is named, not the byte in it.
    assert.ok(typeof told === 'number' && told <= byteOffset && byteOffset - told < 1000)
    assert.match(err.message, new RegExp(`0000000\\d\\.(log|snapshot) .*(${told}|${byteOffset})`))
    return true
  })
  assert.deepEqual(await snapshotOf(folder), before)
}

async function snapshotOf (folder: string): Promise<Array<[string, Buffer]>> {
  const names = (await readdir(folder)).sort()
  return await Promise.all(names.map(async (name): Promise<[string, Buffer]> => [name, await readFile(join(folder, name))]))
}

/** Three logs, the first two closed, and records in all of them. */
async function writeThreeLogs (folder: string): Promise<JournalRecord[]> {
  await using journal = await openJournal(folder, { maxLogBytes: 200 })
  const records = Array.from({ length: 6 }, (_, index) => ({ kind: 'pin', value: `${index}`.padEnd(60) }))
  for (const record of records) await journal.append([record])
  assert.deepEqual((await readdir(folder)).sort(), ['00000001.log', '00000002.log', '00000003.log'])
  return records
}

test('a closed log is never cut: damage at its end is refused too', async () => {
  const folder = newFolder()
  await writeThreeLogs(folder)
  const path = join(folder, '00000002.log')
  const { size } = await stat(path)
  await truncate(path, size - 1)
  const lastFrameStart = frameEnds(await readFile(join(folder, '00000001.log'))).at(-2) ?? 0
  await assertCorrupt(folder, lastFrameStart)
})

test('a whole frame missing at the end of a closed log is noticed', async () => {
  const folder = newFolder()
  await writeThreeLogs(folder)
  const path = join(folder, '00000001.log')
  const ends = frameEnds(await readFile(path))
  await truncate(path, ends.at(-2) ?? 0)
  await assertCorrupt(folder, ends.at(-2) ?? 0)
})

test('a torn header of the newest log means that it was being created: it is made anew', async () => {
  for (const byteLength of [0, 1, SEGMENT_HEADER_BYTES - 1, SEGMENT_HEADER_BYTES]) {
    const folder = newFolder()
    const records = await writeThreeLogs(folder)
    const header = await readFile(join(folder, '00000003.log'))
    const torn = Buffer.concat([header.subarray(0, Math.floor(byteLength / 2)), new Uint8Array(byteLength - Math.floor(byteLength / 2))])
    await writeFile(join(folder, '00000004.log'), torn)
    await using journal = await openJournal(folder)
    await journal.append([{ kind: 'pin', value: 'after' }])
    assert.deepEqual(await Array.fromAsync(journal.replay()), [...records, { kind: 'pin', value: 'after' }])
  }
})

/** What happens to files that are not ours to lose, and what the refusal must name. */
const MISPLACED: Record<string, [change: (folder: string) => Promise<void>, named: string]> = {
  'the first log is gone': [async (folder) => { await unlink(join(folder, '00000001.log')) }, '00000001.log'],
  'a log in the middle is gone': [async (folder) => { await unlink(join(folder, '00000002.log')) }, '00000002.log'],
  'a log stands under the name of another': [async (folder) => { await copyFile(join(folder, '00000001.log'), join(folder, '00000002.log')) }, '00000002.log'],
  'a log stands under the next name': [async (folder) => { await copyFile(join(folder, '00000003.log'), join(folder, '00000004.log')) }, '00000004.log'],
  'a log stands in the place of a snapshot': [async (folder) => { await copyFile(join(folder, '00000002.log'), join(folder, '00000002.snapshot')) }, '00000002.snapshot']
}

for (const [what, [change, named]] of Object.entries(MISPLACED)) {
  test(`it is refused and nothing changed when ${what}`, async () => {
    const folder = newFolder()
    await writeThreeLogs(folder)
    await change(folder)
    const before = await snapshotOf(folder)
    await assert.rejects(openJournal(folder), (err) => isErrorCode(err, 'CORRUPT') && err.message.includes(join(folder, named)))
    assert.deepEqual(await snapshotOf(folder), before)
  })
}

test('the log that follows a snapshot may not be missing', async () => {
  const folder = newFolder()
  await writeCompacted(folder)
  await unlink(join(folder, '00000002.log'))
  await assert.rejects(openJournal(folder), (err) => isErrorCode(err, 'CORRUPT') && err.message.includes('00000002.log'))
})

async function writeCompacted (folder: string): Promise<void> {
  await using journal = await openJournal(folder)
  await journal.append([{ kind: 'pin', value: 'old' }])
  await setImmediate() // What was appended in this turn would stay.
  await journal.compact([{ kind: 'pin', value: 'kept' }])
  assert.deepEqual((await readdir(folder)).sort(), ['00000001.snapshot', '00000002.log'])
}

test('a snapshot that is damaged or cut anywhere is refused', async () => {
  const original = newFolder()
  await writeCompacted(original)
  const bytes = await readFile(join(original, '00000001.snapshot'))
  const log = await readFile(join(original, '00000002.log'))
  const refuse = async (damaged: Uint8Array, what: string): Promise<void> => {
    const folder = newFolder()
    await mkdir(folder)
    await writeFile(join(folder, '00000001.snapshot'), damaged)
    await writeFile(join(folder, '00000002.log'), log)
    await assert.rejects(openJournal(folder), (err) => isErrorCode(err, 'CORRUPT'), what)
  }
  for (let byteLength = 0; byteLength < bytes.byteLength; byteLength++) await refuse(bytes.subarray(0, byteLength), `cut at ${byteLength}`)
  await forEachFlip(bytes, async (flipped, byteOffset) => { await refuse(flipped, `flipped at ${byteOffset}`) })
})

test('an unfinished snapshot does not count and is removed', async () => {
  const folder = newFolder()
  const records = await writeThreeLogs(folder)
  await copyFile(join(folder, '00000001.log'), join(folder, '00000003.snapshot.tmp'))
  assert.deepEqual(await recordsOf(folder), records)
  assert.deepEqual((await readdir(folder)).sort(), ['00000001.log', '00000002.log', '00000003.log'])
})

test('logs that a snapshot has replaced do not count, whatever is in them, and are removed', async () => {
  const folder = newFolder()
  await writeCompacted(folder)
  await writeFile(join(folder, LOG), 'left over')
  assert.deepEqual(await recordsOf(folder), [{ kind: 'pin', value: 'kept' }])
  assert.deepEqual((await readdir(folder)).sort(), ['00000001.snapshot', '00000002.log'])
})

test('files with other names are left alone', async () => {
  const folder = newFolder()
  await writeCompacted(folder)
  const foreign = ['.DS_Store', '1.log', '000000001.log', '00000007.log.bak', 'x.snapshot.tmp']
  for (const name of foreign) await writeFile(join(folder, name), 'foreign')
  assert.deepEqual(await recordsOf(folder), [{ kind: 'pin', value: 'kept' }])
  assert.deepEqual((await readdir(folder)).sort(), [...foreign, '00000001.snapshot', '00000002.log'].sort())
})

test('a journal of a newer version is refused with the advice to upgrade', async () => {
  const bytes = Buffer.from(await writeUnclosed(newFolder()))
  const header = decodeSegmentHeader(bytes)
  assert.ok(header !== undefined)
  const newer = Buffer.from(encodeSegmentHeader(header))
  newer.writeUInt16LE(2, 8)
  const { crc32 } = await import('node:zlib')
  newer.writeUInt32LE(crc32(newer.subarray(0, 36)), 36)
  newer.copy(bytes)
  const folder = await placeLog(bytes)
  await assert.rejects(openJournal(folder), (err) => isErrorCode(err, 'UNSUPPORTED') && /version 2\b.*upgrade/.test(err.message))
  assert.deepEqual(await readFile(join(folder, LOG)), bytes)
})

test('a frame inside a record is never taken for one of the journal', async () => {
  const folder = newFolder()
  const first = await writeUnclosed(folder, [[{ kind: 'pin', value: 1 }]])
  const header = decodeSegmentHeader(first)
  assert.ok(header !== undefined)
  // Someone who can choose a value knows the format, though not the salt.
  const forged = Array.from({ length: 200 }, (_, index) => encodeFrameHeader({ kind: 'mark', payloadByteLength: 0, payloadCrc: 0, durableByteLength: 60_000 }, new Uint8Array(8), first.byteLength + index))
  const journal = await openJournal(folder)
  await journal.append([{ kind: 'pin', value: Uint8Array.from(Buffer.concat(forged)) }])
  const bytes = await readFile(join(folder, LOG))
  await journal[Symbol.asyncDispose]()
  const torn = await placeLog(bytes.subarray(0, -1))
  assert.deepEqual(await recordsOf(torn), [{ kind: 'pin', value: 1 }])
})

test('writes that shared a sync may be torn in any order: what was not whole is cut with what follows it', async () => {
  const folder = newFolder()
  const journal = await openJournal(folder)
  await journal.append([{ kind: 'pin', value: 'first' }])
  await Promise.all(['a', 'b', 'c'].map(async (value) => { await journal.append([{ kind: 'pin', value }]) }))
  const bytes = await readFile(join(folder, LOG))
  await journal[Symbol.asyncDispose]()
  const startOfA = frameEnds(bytes)[1] ?? 0
  // The sector with the first frame of the group did not reach the disk, the later ones did.
  bytes.fill(0, startOfA, startOfA + 20)
  const torn = await placeLog(bytes)
  assert.deepEqual(await recordsOf(torn), [{ kind: 'pin', value: 'first' }])
})

test('records that rot while the journal is open are refused by replay', async () => {
  const folder = newFolder()
  await using journal: Journal = await openJournal(folder)
  await journal.append([{ kind: 'pin', value: 'sound' }])
  const path = join(folder, LOG)
  const bytes = await readFile(path)
  const last = bytes.byteLength - 1
  bytes[last] = (bytes[last] ?? 0) ^ 1
  await writeFile(`${path}.new`, bytes)
  await rename(`${path}.new`, path)
  await assert.rejects(Array.fromAsync(journal.replay()), (err) => isErrorCode(err, 'CORRUPT') && err.details['byteOffset'] === SEGMENT_HEADER_BYTES)
})
