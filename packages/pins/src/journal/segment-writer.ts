import { crc32 } from 'node:zlib'
import { JOURNAL_FILE_MODE, type JournalFile, type JournalFs } from './journal-fs.ts'
import { encodeFrameHeader, encodeSegmentHeader, type FrameKind, type SegmentHeader } from './segment-format.ts'

/** A frame to write. */
export interface FrameDraft {
  readonly kind: FrameKind
  readonly payload: Uint8Array
}

const EMPTY = new Uint8Array()

/** Says in the file that all before it is durable: from then on damage there is told from a torn write. */
export const MARK: FrameDraft = { kind: 'mark', payload: EMPTY }

/** Ends a snapshot: one without it is not whole. */
export const END: FrameDraft = { kind: 'end', payload: EMPTY }

/** Appends frames to one segment. Calls must not overlap. */
export class SegmentWriter implements AsyncDisposable {
  readonly header: SegmentHeader
  readonly #file: JournalFile
  #byteLength: number
  #durableByteLength: number

  /** Goes on after the first `byteLength` bytes of `file`, the first `durableByteLength` of them durable. Owns the file. */
  constructor (file: JournalFile, header: SegmentHeader, byteLength: number, durableByteLength: number = byteLength) {
    this.#file = file
    this.header = header
    this.#byteLength = byteLength
    this.#durableByteLength = durableByteLength
  }

  /**
   * Starts a segment, not yet durable; leaves no file behind when it fails.
   *
   * @param flags `wx` refuses a path that exists, `w` empties it.
   */
  static async create (fs: JournalFs, path: string, header: SegmentHeader, flags: 'wx' | 'w'): Promise<SegmentWriter> {
    await using undo = new AsyncDisposableStack()
    const file = await fs.open(path, flags, JOURNAL_FILE_MODE)
    undo.defer(async () => { await fs.unlink(path) })
    undo.use(file)
    const bytes = encodeSegmentHeader(header)
    await writeFully(file, bytes, 0)
    undo.move()
    return new SegmentWriter(file, header, bytes.byteLength, 0)
  }

  /** Bytes that are durable, so a reader may see them. */
  get durableByteLength (): number {
    return this.#durableByteLength
  }

  /** Writes frames behind each other in one go; they count once `sync` has resolved. */
  async write (frames: readonly FrameDraft[]): Promise<void> {
    const parts: Uint8Array[] = []
    let end = this.#byteLength
    for (const { kind, payload } of frames) {
      const header = { kind, payloadByteLength: payload.byteLength, payloadCrc: crc32(payload), durableByteLength: this.#durableByteLength }
      parts.push(encodeFrameHeader(header, this.header.salt, end), payload)
      end += parts.slice(-2).reduce((sum, { byteLength }) => sum + byteLength, 0)
    }
    await writeFully(this.#file, Buffer.concat(parts), this.#byteLength)
    this.#byteLength = end
  }

  /** Makes everything written durable. After a failure nothing is known of the file: never call this twice. */
  async sync (): Promise<void> {
    // A new file needs more than its bytes to be found again.
    await (this.#durableByteLength === 0 ? this.#file.sync() : this.#file.datasync())
    this.#durableByteLength = this.#byteLength
  }

  /** Takes back, durably, what was written since the last `sync`. */
  async rollBack (): Promise<void> {
    await this.#file.truncate(this.#durableByteLength)
    this.#byteLength = this.#durableByteLength
    await this.sync()
  }

  /** All that counts was synced, so a close that fails loses nothing. */
  async [Symbol.asyncDispose] (): Promise<void> {
    await this.#file.close().catch(() => {})
  }
}

async function writeFully (file: JournalFile, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0
  while (written < bytes.byteLength) {
    const { bytesWritten } = await file.write(bytes, written, bytes.byteLength - written, position + written)
    if (bytesWritten === 0) throw new Error(`The disk took ${written} of ${bytes.byteLength} bytes and then no more`)
    written += bytesWritten
  }
}
