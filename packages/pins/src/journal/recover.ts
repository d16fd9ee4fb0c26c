import { HoldfastError } from '@holdfast/core'
import { createLog } from './create-segment.ts'
import type { JournalDisk } from './journal-disk.ts'
import { type JournalFile, makeFolder, removeFiles, syncFolder } from './journal-fs.ts'
import { layoutOf, type Segment, segmentName } from './layout.ts'
import { type FrameKind, SEGMENT_HEADER_BYTES, type SegmentHeader, type SegmentKind } from './segment-format.ts'
import { damaged, SegmentReader } from './segment-reader.ts'
import { SegmentWriter } from './segment-writer.ts'

/** What a journal consists of, after a crash as after a clean end. */
export interface RecoveredJournal {
  /** In the order of replay: a snapshot if there is one, then the logs, without the last one. */
  readonly closed: readonly Segment[]
  readonly last: RecoveredLog
}

/** The newest log, without an unfinished write at its end. */
interface RecoveredLog {
  readonly writer: SegmentWriter
  /** Whether frames follow the last mark, so that rot in them would pass for a torn write. */
  readonly unmarked: boolean
}

/**
 * Checks every checksum of the journal and removes what a crash may leave behind.
 *
 * Nothing is changed before all of it was found sound.
 *
 * @throws `CORRUPT` naming file and byte offset of damage that no crash explains; `UNSUPPORTED` for a journal of a newer version.
 */
export async function recoverJournal (disk: JournalDisk): Promise<RecoveredJournal> {
  await makeFolder(disk.fs, disk.folder)
  const { snapshot, logs, obsolete } = layoutOf(disk.folder, await disk.fs.readdir(disk.folder))

  const closed: Segment[] = []
  if (snapshot !== undefined) closed.push(await checkClosed(disk, 'snapshot', snapshot, undefined))
  for (const number of logs.slice(0, -1)) closed.push(await checkClosed(disk, 'log', number, closed.at(-1)))

  await using undo = new AsyncDisposableStack()
  const last = await recoverLastLog(disk, logs.at(-1) ?? 1, closed.at(-1), logs.length === 0)
  undo.use(last.writer)
  // A snapshot replaces the logs only once its name is durable.
  await syncFolder(disk.fs, disk.folder)
  await removeFiles(disk.fs, disk.folder, obsolete)
  undo.move()
  return { closed, last }
}

/** Nothing is being written to these: any damage is rot. */
async function checkClosed (disk: JournalDisk, kind: SegmentKind, number: number, previous: Segment | undefined): Promise<Segment> {
  const path = disk.pathOf(segmentName(kind, number))
  await using file = await disk.fs.open(path, 'r')
  const reader = await SegmentReader.open(file)
  const header = requireHeader(await reader.header(), path, kind, number)
  requirePrevious(header, disk, previous)
  const { end, lastKind } = await scan(reader, header)
  if (end !== reader.byteLength || (kind === 'snapshot' && lastKind !== 'end')) throw damaged(path, end)
  return { kind, number, byteLength: end }
}

async function recoverLastLog (disk: JournalDisk, number: number, previous: Segment | undefined, absent: boolean): Promise<RecoveredLog> {
  const recovered = absent ? undefined : await reopenLog(disk, number, previous)
  return recovered ?? { writer: await createLog(disk, number, previous), unmarked: false }
}

/** The log cut to its last whole frame, or `undefined` when a crash came while it was being created. */
async function reopenLog (disk: JournalDisk, number: number, previous: Segment | undefined): Promise<RecoveredLog | undefined> {
  const path = disk.pathOf(segmentName('log', number))
  await using undo = new AsyncDisposableStack()
  const file = undo.use(await disk.fs.open(path, 'r+'))
  const reader = await SegmentReader.open(file)
  const header = await reader.header()
  // The header is durable before the first frame is written, so a crash leaves at most a piece of it.
  if (header === undefined && reader.byteLength <= SEGMENT_HEADER_BYTES) {
    await disk.fs.unlink(path)
    disk.log.warn('Removed a journal segment that was being created', { path })
    return undefined
  }
  const sound = requireHeader(header, path, 'log', number)
  requirePrevious(sound, disk, previous)
  const { end, lastKind } = await scan(reader, sound)
  if (end !== reader.byteLength) await cutTail(disk, path, file, { reader, header: sound, end })
  // What was written just before a kill may be in memory only, and is about to be relied upon.
  await file.sync()
  undo.move()
  return { writer: new SegmentWriter(file, sound, end), unmarked: lastKind !== undefined && lastKind !== 'mark' }
}

async function cutTail (disk: JournalDisk, path: string, file: JournalFile, { reader, header, end }: { reader: SegmentReader, header: SegmentHeader, end: number }): Promise<void> {
  if (await reader.isKnownDurable(end, header)) throw damaged(path, end)
  await file.truncate(end)
  disk.log.warn('Cut an unfinished write off the journal', { path, byteOffset: end, byteLength: reader.byteLength - end })
}

function requireHeader (header: SegmentHeader | undefined, path: string, kind: SegmentKind, number: number): SegmentHeader {
  if (header === undefined || header.kind !== kind || header.number !== number) throw damaged(path, 0)
  return header
}

/** The log before must be as long as it was when this one was begun: a whole frame missing at its end shows nowhere else. */
function requirePrevious ({ previousByteLength }: SegmentHeader, disk: JournalDisk, previous: Segment | undefined): void {
  if (previous?.kind !== 'log' || previous.byteLength === previousByteLength) return
  const path = disk.pathOf(segmentName('log', previous.number))
  throw new HoldfastError('CORRUPT', `Journal segment ${path} has ${previous.byteLength} bytes where ${previousByteLength} were written: restore the file from a copy; nothing was changed`, { path, byteOffset: Math.min(previous.byteLength, previousByteLength) })
}

/** Reads frames up to the end or the first that is not whole. */
async function scan (reader: SegmentReader, header: SegmentHeader): Promise<{ end: number, lastKind: FrameKind | undefined }> {
  let lastKind: FrameKind | undefined
  let end = SEGMENT_HEADER_BYTES
  while (end < reader.byteLength) {
    const frame = await reader.frame(end, header)
    if (frame === undefined) break
    lastKind = frame.kind
    end = frame.end
  }
  return { end, lastKind }
}
