import type { Logger } from '@holdfast/core'
import { setImmediate } from 'node:timers/promises'
import { closing, withOpenFile } from '../fs/read-file.ts'
import { decodeMark, encodeMarksHeader, isMarksHeader, type Mark, markByteLength, MARKS_HEADER_BYTES, writeMark } from './marks-format.ts'
import { cutFile } from './pack-appender.ts'
import type { PackDisk } from './pack-disk.ts'
import { marksName } from './pack-names.ts'

/** Most bytes of a marks file that are read: two records for each of the smallest sections of the largest pack. */
const MAX_MARKS_BYTES: number = 512 * 1024 * 1024

/** Marks that are encoded before others have a turn: some 4 ms. */
const MARKS_PER_TURN = 4096

/** The marks of one pack, as far as they can be read. */
export interface ReadMarks {
  readonly marks: ReadonlyArray<{ readonly mark: Mark, readonly end: number }>
  /** Bytes that make sense; what follows is a torn tail. */
  readonly byteLength: number
  /** Bytes of the file; `undefined` when there is none. */
  readonly fileByteLength: number | undefined
}

/** Reads the marks of a pack; none when there is no such file. */
export async function readMarks (disk: PackDisk, number: number): Promise<ReadMarks> {
  const file = await withOpenFile(disk.operations, disk.pathOf(marksName(number)), async (fd) => {
    const bytes = Buffer.alloc(Math.min(await disk.operations.byteLength(fd), MAX_MARKS_BYTES))
    let at = 0
    while (at < bytes.byteLength) {
      const count = await disk.operations.read(fd, bytes.subarray(at), at)
      if (count === 0) break
      at += count
    }
    return bytes.subarray(0, at)
  })
  if (file === undefined) return { marks: [], byteLength: 0, fileByteLength: undefined }
  const marks: Array<{ mark: Mark, end: number }> = []
  let at = isMarksHeader(file, number) ? MARKS_HEADER_BYTES : 0
  while (at > 0) {
    const next = decodeMark(file, at)
    if (next === undefined) break
    marks.push(next)
    at = next.end
  }
  return { marks, byteLength: at, fileByteLength: file.byteLength }
}

export interface MarksWriterParts {
  readonly disk: PackDisk
  readonly storeId: Uint8Array
  readonly log: Logger
  /** Bytes that the marks of a pack have; `undefined` when there is no such pack. */
  readonly byteLengthOf: (number: number) => number | undefined
  /** Called when the marks of a pack have grown. */
  readonly onWritten: (number: number, byteLength: number) => void
}

/**
 * Writes marks behind the callers: what a crash takes of them makes deleted blocks come back, and nothing else.
 *
 * Before each commit of the index they are written and synced, so the index never forgets a block that a rebuilt one would find.
 */
export class MarksWriter {
  readonly #parts: MarksWriterParts
  #waiting = new Map<number, Mark[]>()
  #flushing: Promise<void> = Promise.resolve()

  constructor (parts: MarksWriterParts) {
    this.#parts = parts
  }

  add (number: number, mark: Mark): void {
    const marks = this.#waiting.get(number)
    if (marks === undefined) this.#waiting.set(number, [mark])
    else marks.push(mark)
  }

  /** Drops what waits for a pack that goes. */
  drop (number: number): void {
    this.#waiting.delete(number)
  }

  /** Resolves when all marks added before are durable. @throws `LIMIT` when the disk is full, `UNAVAILABLE` when it failed. */
  async flush (): Promise<void> {
    const flushing = this.#flushing.catch(() => {}).then(async () => { await this.#flush() })
    this.#flushing = flushing
    flushing.catch(() => {}) // Each caller waits for its own.
    await flushing
  }

  async #flush (): Promise<void> {
    this.#parts.disk.requireSound()
    const writing = this.#waiting
    this.#waiting = new Map()
    try {
      for (const [number, marks] of writing) {
        await this.#append(number, marks)
        writing.delete(number)
      }
    } finally {
      for (const [number, marks] of writing) this.#waiting.set(number, [...marks, ...this.#waiting.get(number) ?? []])
    }
  }

  async #append (number: number, marks: readonly Mark[]): Promise<void> {
    const { disk, storeId, byteLengthOf, onWritten } = this.#parts
    const name = marksName(number)
    const begin = byteLengthOf(number)
    if (begin === undefined) return
    const parts: Uint8Array[] = begin === 0 ? [encodeMarksHeader({ storeId, number })] : []
    let end = begin === 0 ? MARKS_HEADER_BYTES : begin
    for (let at = 0; at < marks.length; at += MARKS_PER_TURN) {
      if (at > 0) await setImmediate()
      const part = encodeMarks(marks.slice(at, at + MARKS_PER_TURN), end)
      parts.push(part)
      end += part.byteLength
    }
    const fd = await disk.attempt('open', name, async () => await disk.operations.open(disk.pathOf(name), begin === 0 ? 'wx' : 'r+'))
    try {
      await closing(disk.operations, fd, async () => {
        await disk.writeAll(name, fd, parts, begin)
        await disk.sync(name, fd)
      })
      if (begin === 0) await disk.syncFolder()
    } catch (err) {
      if (!disk.failed) await this.#takeBack(number, begin)
      throw err
    }
    onWritten(number, end)
  }

  async #takeBack (number: number, byteLength: number): Promise<void> {
    const { disk } = this.#parts
    if (byteLength > 0) await cutFile(disk, marksName(number), byteLength)
    else await disk.operations.unlink(disk.pathOf(marksName(number)))
  }
}

/** Records behind each other, the first at `position` of the file. */
function encodeMarks (marks: readonly Mark[], position: number): Buffer {
  const bytes = Buffer.allocUnsafe(marks.reduce((sum, mark) => sum + markByteLength(mark), 0))
  let end = 0
  for (const mark of marks) end = writeMark(bytes, end, mark, position + end)
  return bytes
}
