import { randomBytes } from 'node:crypto'
import type { JournalDisk } from './journal-disk.ts'
import { openFolder, removeFiles } from './journal-fs.ts'
import { type Segment, segmentName, unfinishedName } from './layout.ts'
import { encodePayload, encodeRecord, type JournalRecord } from './record.ts'
import { END, SegmentWriter } from './segment-writer.ts'

/** Bytes of records gathered into one frame of a snapshot: large enough to write fast, small enough to hold. */
const SNAPSHOT_FRAME_BYTES = 256 * 1024

/**
 * Begins a log; durable, content and name, when this resolves.
 *
 * @param previous The segment before it, durable to its last byte.
 * @throws `LIMIT` when space or files have run out: nothing is left behind then. `UNAVAILABLE` when the disk failed.
 */
export async function createLog (disk: JournalDisk, number: number, previous: Segment | undefined): Promise<SegmentWriter> {
  const name = segmentName('log', number)
  const header = { kind: 'log', number, salt: randomBytes(8), previousByteLength: previous?.kind === 'log' ? previous.byteLength : 0 } as const
  await using folder = await disk.attempt('open the folder of', name, async () => await openFolder(disk.fs, disk.folder))
  const syncNames = async (): Promise<void> => await disk.durably('sync the folder of', name, async () => { await folder.sync() })
  await using undo = new AsyncDisposableStack()
  try {
    const writer = undo.use(await disk.attempt('create', name, async () => await SegmentWriter.create(disk.fs, disk.pathOf(name), header, 'wx')))
    await disk.durably('sync', name, async () => { await writer.sync() })
    await syncNames()
    undo.move()
    return writer
  } catch (err) {
    // Were a removed log to come back after a crash, the one before it would pass for closed.
    if (!disk.failed) await syncNames()
    throw err
  }
}

/**
 * Writes a snapshot that replaces the segments up to `number`; in force once this resolves.
 *
 * The name is the commit point: until the rename the snapshot does not count, afterwards what it replaces does not.
 *
 * @throws what `records` throws; `LIMIT` when space or files have run out, `UNAVAILABLE` when the disk failed.
 */
export async function createSnapshot (disk: JournalDisk, number: number, records: AsyncIterable<JournalRecord>): Promise<Segment> {
  const name = unfinishedName(number)
  await using folder = await disk.attempt('open the folder of', name, async () => await openFolder(disk.fs, disk.folder))
  try {
    const byteLength = await writeSnapshot(disk, number, records)
    await disk.attempt('rename', name, async () => { await disk.fs.rename(disk.pathOf(name), disk.pathOf(segmentName('snapshot', number))) })
    await disk.durably('sync the folder of', name, async () => { await folder.sync() })
    return { kind: 'snapshot', number, byteLength }
  } catch (err) {
    // If it stays, it does not count, and goes when the journal is opened next.
    await removeFiles(disk.fs, disk.folder, [name]).catch(() => {})
    throw err
  }
}

async function writeSnapshot (disk: JournalDisk, number: number, records: AsyncIterable<JournalRecord>): Promise<number> {
  const name = unfinishedName(number)
  const header = { kind: 'snapshot', number, salt: randomBytes(8), previousByteLength: 0 } as const
  await using writer = await disk.attempt('create', name, async () => await SegmentWriter.create(disk.fs, disk.pathOf(name), header, 'w'))
  for await (const payload of payloadsOf(records)) {
    await disk.attempt('write to', name, async () => { await writer.write([{ kind: 'records', payload }]) })
  }
  await disk.attempt('write to', name, async () => { await writer.write([END]) })
  await disk.durably('sync', name, async () => { await writer.sync() })
  return writer.durableByteLength
}

async function * payloadsOf (records: AsyncIterable<JournalRecord>): AsyncGenerator<Uint8Array> {
  let batch: Uint8Array[] = []
  let byteLength = 0
  for await (const record of records) {
    const bytes = encodeRecord(record)
    batch.push(bytes)
    byteLength += bytes.byteLength
    if (byteLength < SNAPSHOT_FRAME_BYTES) continue
    yield encodePayload(batch)
    batch = []
    byteLength = 0
  }
  if (batch.length > 0) yield encodePayload(batch)
}
