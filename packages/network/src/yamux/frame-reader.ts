/**
 * Cuts what a connection carries into the frames of yamux.
 *
 * ```
 * frame = version (1 byte, 0), type (1), flags (2), stream id (4), length (4); after data: that many bytes
 * ```
 *
 * The library's own reader takes any length up to 4 GiB on trust, and hands out views, which keep what they were cut from. This one
 * copies each byte once, into memory that holds nothing else: what was read can be given back at once.
 *
 * @see https://github.com/hashicorp/yamux/blob/master/spec.md
 */
import type { Uint8ArrayList } from 'uint8arraylist'

/**
 * Bytes of data that are handed out together; a larger frame comes in several parts. As many wait here at most for each connection.
 * A message of blocks as we send it fits, and is then not copied again.
 */
export const MAX_PART_BYTES: number = (1 << 20) + (64 << 10)

export interface FrameHeader {
  readonly type: number
  readonly flag: number
  readonly streamID: number
  readonly length: number
}

/** A frame, or a part of one. Only data has bytes. */
export interface Frame {
  readonly header: FrameHeader
  readonly data?: Uint8Array
}

/** A frame that no peer may send. The library tells the peer by its `reason` that the protocol was broken. */
export class FrameError extends Error {
  override readonly name = 'FrameError'
  /** GoAway's "protocol error". */
  readonly reason = 1
}

export const DATA = 0

/** Ping, window update, go away: the largest number of a type. */
const LAST_TYPE = 3

const HEADER_BYTES = 12

/** SYN and ACK open a stream, so they belong to the first part of a frame; FIN and RST end it, so they belong to the last. */
const OPENING_FLAGS = 0x1 | 0x2
const ENDING_FLAGS = 0x4 | 0x8

export class FrameReader {
  readonly #maxFrameBytes: number
  readonly #headerBytes = new Uint8Array(HEADER_BYTES)
  #headerByteLength = 0
  /** Of the data that is under way. */
  #header: FrameHeader | undefined
  #leftBytes = 0
  #part: Uint8Array | undefined
  #partBytes = 0

  /** @param maxFrameBytes The most data in one frame: the largest window of a stream. */
  constructor (maxFrameBytes: number) {
    this.#maxFrameBytes = maxFrameBytes
  }

  /** Bytes that wait here for the rest of their part. */
  get heldBytes (): number {
    return this.#partBytes
  }

  /**
   * Takes bytes that come in the middle of a part, and complete nothing: most of a long frame does. Keeps no view of them.
   *
   * @returns whether it took them, all or none.
   */
  takeMiddle (bytes: Uint8Array): boolean {
    const part = this.#part
    if (part === undefined || this.#partBytes + bytes.byteLength >= part.byteLength) return false
    part.set(bytes, this.#partBytes)
    this.#partBytes += bytes.byteLength
    return true
  }

  /**
   * Yields what is complete now. Keeps no view of `bytes`.
   *
   * @throws `FrameError` for a frame of a version or type that does not exist, or of more data than a window has.
   */
  * emitFrames (bytes: Uint8Array | Uint8ArrayList): Generator<Frame, void, undefined> {
    if (bytes instanceof Uint8Array) yield * this.#read(bytes)
    else for (const piece of bytes) yield * this.#read(piece)
  }

  * #read (bytes: Uint8Array): Generator<Frame, void, undefined> {
    for (let at = 0; at < bytes.byteLength;) {
      const frame = this.#header === undefined ? this.#takeHeader(bytes, at) : this.#takeData(this.#header, bytes, at)
      at += this.#takenBytes
      if (frame !== undefined) yield frame
    }
  }

  /** How far the last step went. */
  #takenBytes = 0

  #takeHeader (bytes: Uint8Array, at: number): Frame | undefined {
    const piece = bytes.subarray(at, at + HEADER_BYTES - this.#headerByteLength)
    this.#headerBytes.set(piece, this.#headerByteLength)
    this.#headerByteLength += piece.byteLength
    this.#takenBytes = piece.byteLength
    if (this.#headerByteLength < HEADER_BYTES) return undefined
    this.#headerByteLength = 0
    const header = this.#decodeHeader()
    if (header.type !== DATA) return { header }
    if (header.length === 0) return { header, data: new Uint8Array() }
    this.#header = header
    this.#leftBytes = header.length
    return undefined
  }

  #decodeHeader (): FrameHeader {
    const view = new DataView(this.#headerBytes.buffer)
    const [version, type, length] = [view.getUint8(0), view.getUint8(1), view.getUint32(8)]
    if (version !== 0) throw new FrameError(`A frame of yamux version ${version}: only 0 exists`)
    if (type > LAST_TYPE) throw new FrameError(`A yamux frame of type ${type}: the last is ${LAST_TYPE}`)
    if (type === DATA && length > this.#maxFrameBytes) throw new FrameError(`A yamux frame of ${length} bytes: no window has more than ${this.#maxFrameBytes}`)
    return { type, flag: view.getUint16(2), streamID: view.getUint32(4), length }
  }

  #takeData (header: FrameHeader, bytes: Uint8Array, at: number): Frame | undefined {
    // Not zeroed, so what a length promises costs nothing before it comes.
    const part = this.#part ??= new Uint8Array(Buffer.allocUnsafeSlow(Math.min(this.#leftBytes, MAX_PART_BYTES)).buffer)
    const piece = bytes.subarray(at, at + part.byteLength - this.#partBytes)
    part.set(piece, this.#partBytes)
    this.#partBytes += piece.byteLength
    this.#takenBytes = piece.byteLength
    return this.#partBytes === part.byteLength ? this.#endPart(header, part) : undefined
  }

  #endPart ({ type, flag, streamID, length }: FrameHeader, data: Uint8Array): Frame {
    const isFirst = this.#leftBytes === length
    this.#leftBytes -= data.byteLength
    this.#part = undefined
    this.#partBytes = 0
    const isLast = this.#leftBytes === 0
    if (isLast) this.#header = undefined
    const flags = (isFirst ? OPENING_FLAGS : 0) | (isLast ? ENDING_FLAGS : 0)
    return { header: { type, flag: flag & flags, streamID, length: data.byteLength }, data }
  }
}
