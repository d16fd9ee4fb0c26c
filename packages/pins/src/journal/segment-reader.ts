import { HoldfastError } from '@holdfast/core'
import { crc32 } from 'node:zlib'
import type { JournalFile } from './journal-fs.ts'
import { decodePayload, type JournalRecord } from './record.ts'
import { decodeFrameHeader, decodeSegmentHeader, FRAME_HEADER_BYTES, FRAME_MAGIC, type FrameKind, SEGMENT_HEADER_BYTES, type SegmentHeader } from './segment-format.ts'

/** Bytes asked of the disk at once: a journal is read front to back, mostly in frames of 200 bytes. */
const READ_WINDOW_BYTES = 1024 * 1024

/** A frame whose checksums are right. */
export interface Frame {
  readonly kind: FrameKind
  readonly offset: number
  readonly payload: Uint8Array
  /** Where the next frame starts. */
  readonly end: number
  readonly durableByteLength: number
}

/** Reads one segment from front to back, holding a window of it and at most one frame. */
export class SegmentReader {
  readonly #file: JournalFile
  readonly #byteLength: number
  #window: Uint8Array = new Uint8Array()
  #windowStart = 0

  private constructor (file: JournalFile, byteLength: number) {
    this.#file = file
    this.#byteLength = byteLength
  }

  /** Reads `file` up to `byteLength`, or to its end. The file stays the caller's to close. */
  static async open (file: JournalFile, byteLength: number = Infinity): Promise<SegmentReader> {
    return new SegmentReader(file, Math.min(byteLength, (await file.stat()).size))
  }

  get byteLength (): number {
    return this.#byteLength
  }

  /** The header, or `undefined` when it is not whole. @throws `UNSUPPORTED` for one of a newer version. */
  async header (): Promise<SegmentHeader | undefined> {
    return decodeSegmentHeader(await this.#bytes(0, SEGMENT_HEADER_BYTES))
  }

  /** The frame at `offset`, or `undefined` when there is no whole one. */
  async frame (offset: number, { salt }: SegmentHeader): Promise<Frame | undefined> {
    const header = decodeFrameHeader(await this.#bytes(offset, FRAME_HEADER_BYTES), salt, offset)
    if (header === undefined) return undefined
    const payload = await this.#bytes(offset + FRAME_HEADER_BYTES, header.payloadByteLength)
    if (payload.byteLength < header.payloadByteLength || crc32(payload) !== header.payloadCrc) return undefined
    const { kind, durableByteLength } = header
    return { kind, offset, payload, end: offset + FRAME_HEADER_BYTES + header.payloadByteLength, durableByteLength }
  }

  /**
   * Reports whether a frame written after `offset` says that the bytes at `offset` were durable by then.
   *
   * Then damage at `offset` is rot: bytes that were on the disk have changed. Otherwise it may be
   * a write that a crash cut short, whose pages reach the disk in any order.
   */
  async isKnownDurable (offset: number, { salt }: SegmentHeader): Promise<boolean> {
    // Windows overlap so that each header lies whole in one of them.
    const step = READ_WINDOW_BYTES - FRAME_HEADER_BYTES + 1
    for (let start = offset + 1; start < this.#byteLength; start += step) {
      const bytes = await this.#bytes(start, READ_WINDOW_BYTES)
      const window = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      for (let at = window.indexOf(FRAME_MAGIC); at !== -1; at = window.indexOf(FRAME_MAGIC, at + 1)) {
        const header = decodeFrameHeader(window.subarray(at, at + FRAME_HEADER_BYTES), salt, start + at)
        if (header !== undefined && header.durableByteLength > offset) return true
      }
    }
    return false
  }

  /** Up to `byteLength` bytes at `offset`; fewer only at the end of the segment. */
  async #bytes (offset: number, byteLength: number): Promise<Uint8Array> {
    const end = Math.min(offset + byteLength, this.#byteLength)
    if (end <= offset) return new Uint8Array()
    if (offset < this.#windowStart || end > this.#windowStart + this.#window.byteLength) await this.#fill(offset, end)
    return this.#window.subarray(offset - this.#windowStart, end - this.#windowStart)
  }

  async #fill (offset: number, end: number): Promise<void> {
    const byteLength = Math.min(Math.max(end - offset, READ_WINDOW_BYTES), this.#byteLength - offset)
    const window = new Uint8Array(byteLength)
    let filled = 0
    while (filled < byteLength) {
      const { bytesRead } = await this.#file.read(window, filled, byteLength - filled, offset + filled)
      if (bytesRead === 0) break
      filled += bytesRead
    }
    this.#window = window.subarray(0, filled)
    this.#windowStart = offset
  }
}

/**
 * Yields the records of a segment that was checked when the journal was opened.
 *
 * @throws `CORRUPT` naming file and byte offset when the bytes are damaged since.
 */
export async function * readRecords (reader: SegmentReader, path: string): AsyncGenerator<JournalRecord> {
  const header = await reader.header()
  if (header === undefined) throw damaged(path, 0)
  for (let offset = SEGMENT_HEADER_BYTES; offset < reader.byteLength;) {
    const frame = await reader.frame(offset, header)
    if (frame === undefined) throw damaged(path, offset)
    if (frame.kind === 'records') yield * recordsOf(frame, path)
    offset = frame.end
  }
}

function recordsOf ({ payload, offset }: Frame, path: string): JournalRecord[] {
  try {
    return decodePayload(payload)
  } catch (cause) {
    throw damaged(path, offset, cause)
  }
}

/** The refusal to read on: what is damaged was on the disk, so going on would lose what people decided. */
export function damaged (path: string, byteOffset: number, cause?: unknown): HoldfastError {
  return new HoldfastError('CORRUPT', `Journal segment ${path} is damaged at byte ${byteOffset}: restore the file from a copy; nothing was changed`, { cause, path, byteOffset })
}
