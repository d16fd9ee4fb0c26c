/**
 * The bytes of a journal segment. Normative: docs/formats/journal.md. Integers are little-endian.
 *
 * ```
 * segment = header frame*
 *
 * header   0  8  magic 89 48 46 4a 0d 0a 1a 0a
 *          8  2  version, 1
 *         10  2  kind: 1 log, 2 snapshot
 *         12  4  number, as in the file name
 *         16  8  salt, random
 *         24  8  bytes of the log before this one when it was closed; 0 in log 1 and in a snapshot
 *         32  4  flags, 0
 *         36  4  crc32 of bytes 0..36
 *
 * frame    0  4  magic f5 48 46 4a
 *          4  4  kind: 1 records, 2 mark, 3 end
 *          8  4  byte length of the payload
 *         12  4  crc32 of the payload
 *         16  8  bytes of this segment that were durable before this frame was written
 *         24  4  crc32 of: salt, offset of this frame (8 bytes), bytes 0..24 of this header
 *         28  -  payload: dag-cbor list of { kind, value }; empty in a mark and an end
 * ```
 */
import { HoldfastError } from '@holdfast/core'
import { crc32 } from 'node:zlib'

export const SEGMENT_HEADER_BYTES = 40
export const FRAME_HEADER_BYTES = 28

/** Highest version of the format that this code reads, and the one it writes. */
export const JOURNAL_FORMAT_VERSION = 1

/** Most bytes of one frame's payload: one frame is held in memory whole, to be checked before any of it counts. */
export const MAX_FRAME_PAYLOAD_BYTES: number = 16 * 1024 * 1024

/** 0xf5 occurs in no UTF-8 text, so a search for frames stops seldom inside names. */
export const FRAME_MAGIC: Uint8Array = Uint8Array.of(0xf5, 0x48, 0x46, 0x4a)

/** As PNG's: a transfer that treats the file as text changes it. */
const SEGMENT_MAGIC = Uint8Array.of(0x89, 0x48, 0x46, 0x4a, 0x0d, 0x0a, 0x1a, 0x0a)

const SEGMENT_KINDS = { log: 1, snapshot: 2 } as const
const FRAME_KINDS = { records: 1, mark: 2, end: 3 } as const

export type SegmentKind = keyof typeof SEGMENT_KINDS
export type FrameKind = keyof typeof FRAME_KINDS

export interface SegmentHeader {
  readonly kind: SegmentKind
  readonly number: number
  /** 8 random bytes that bind frames to this segment: no frame copied from elsewhere is taken for one of it. */
  readonly salt: Uint8Array
  readonly previousByteLength: number
}

export interface FrameHeader {
  readonly kind: FrameKind
  readonly payloadByteLength: number
  readonly payloadCrc: number
  /** Bytes of the segment that were durable before this frame was written: damage below is no torn write. */
  readonly durableByteLength: number
}

export function encodeSegmentHeader ({ kind, number, salt, previousByteLength }: SegmentHeader): Uint8Array {
  const out = Buffer.alloc(SEGMENT_HEADER_BYTES)
  out.set(SEGMENT_MAGIC)
  out.writeUInt16LE(JOURNAL_FORMAT_VERSION, 8)
  out.writeUInt16LE(SEGMENT_KINDS[kind], 10)
  out.writeUInt32LE(number, 12)
  out.set(salt, 16)
  out.writeBigUInt64LE(BigInt(previousByteLength), 24)
  out.writeUInt32LE(crc32(out.subarray(0, 36)), 36)
  return out
}

/**
 * Reads the header of a segment, or answers `undefined` for bytes that are no whole header.
 *
 * @throws `UNSUPPORTED` for a sound header that a newer version wrote.
 */
export function decodeSegmentHeader (bytes: Uint8Array): SegmentHeader | undefined {
  const header = asBuffer(bytes)
  if (header.byteLength < SEGMENT_HEADER_BYTES || !header.subarray(0, 8).equals(SEGMENT_MAGIC)) return undefined
  if (crc32(header.subarray(0, 36)) !== header.readUInt32LE(36)) return undefined

  const version = header.readUInt16LE(8)
  const kind = keyOf(SEGMENT_KINDS, header.readUInt16LE(10))
  if (version !== JOURNAL_FORMAT_VERSION || kind === undefined || header.readUInt32LE(32) !== 0) {
    throw new HoldfastError('UNSUPPORTED', `Journal has format version ${version}, and this program reads version ${JOURNAL_FORMAT_VERSION}: upgrade Holdfast to open it`, { version })
  }
  return {
    kind,
    number: header.readUInt32LE(12),
    salt: Uint8Array.from(header.subarray(16, 24)),
    previousByteLength: Number(header.readBigUInt64LE(24))
  }
}

/** The header of a frame that starts at `offset` of the segment with this salt. */
export function encodeFrameHeader (frame: FrameHeader, salt: Uint8Array, offset: number): Uint8Array {
  const out = Buffer.alloc(FRAME_HEADER_BYTES)
  out.set(FRAME_MAGIC)
  out.writeUInt32LE(FRAME_KINDS[frame.kind], 4)
  out.writeUInt32LE(frame.payloadByteLength, 8)
  out.writeUInt32LE(frame.payloadCrc, 12)
  out.writeBigUInt64LE(BigInt(frame.durableByteLength), 16)
  out.writeUInt32LE(frameCrc(out, salt, offset), 24)
  return out
}

/** Reads the header of a frame at `offset`, or answers `undefined` for anything that was not written there whole. */
export function decodeFrameHeader (bytes: Uint8Array, salt: Uint8Array, offset: number): FrameHeader | undefined {
  const header = asBuffer(bytes)
  if (header.byteLength < FRAME_HEADER_BYTES || !header.subarray(0, 4).equals(FRAME_MAGIC)) return undefined
  if (frameCrc(header, salt, offset) !== header.readUInt32LE(24)) return undefined

  const kind = keyOf(FRAME_KINDS, header.readUInt32LE(4))
  const payloadByteLength = header.readUInt32LE(8)
  if (kind === undefined || payloadByteLength > MAX_FRAME_PAYLOAD_BYTES) return undefined
  return {
    kind,
    payloadByteLength,
    payloadCrc: header.readUInt32LE(12),
    durableByteLength: Number(header.readBigUInt64LE(16))
  }
}

function frameCrc (header: Buffer, salt: Uint8Array, offset: number): number {
  const place = Buffer.alloc(16)
  place.set(salt)
  place.writeBigUInt64LE(BigInt(offset), 8)
  return crc32(header.subarray(0, 24), crc32(place))
}

function keyOf<Kind extends string> (kinds: Readonly<Record<Kind, number>>, code: number): Kind | undefined {
  for (const kind in kinds) {
    if (kinds[kind] === code) return kind
  }
  return undefined
}

function asBuffer (bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
