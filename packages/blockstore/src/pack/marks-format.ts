/**
 * The bytes of a marks file, which says of sections of its pack that they do not count. Normative: docs/formats/pack.md.
 *
 * ```
 * marks    header record*                                integers are little-endian
 *
 * header   0  8  magic 89 48 46 4d 0d 0a 1a 0a
 *          8  4  version, 1
 *         12  4  number of the pack
 *         16 16  id of the store
 *         32  4  crc32 of bytes 0..32
 *
 * record   0  2  magic f5 4d
 *          2  1  kind: 1 dead, 2 quarantined
 *          3  1  byte length of the multihash, n
 *          4  4  offset of the bytes of the block in the pack
 *          8  4  byte length of the block
 *         12  4  crc32 of: the offset of this record (8 bytes), bytes 0..12, the multihash
 *         16  n  multihash of the block
 * ```
 */
import { HoldfastError } from '@holdfast/core'
import { crc32 } from 'node:zlib'
import type { PackHeader } from './pack-format.ts'

export const MARKS_HEADER_BYTES = 36

/** Version of the format that this code writes, and the only one that it reads. */
export const MARKS_FORMAT_VERSION = 1

const RECORD_HEADER_BYTES = 16
const MAGIC = Buffer.of(0x89, 0x48, 0x46, 0x4d, 0x0d, 0x0a, 0x1a, 0x0a)
const RECORD_MAGIC = 0x4df5
const KINDS = { dead: 1, quarantined: 2 } as const

export interface Mark {
  /** `dead`: deleted, or there is a later section of the block. `quarantined`: the bytes were found damaged. */
  readonly kind: keyof typeof KINDS
  /** Where the bytes of the block begin in the pack. */
  readonly offset: number
  readonly byteLength: number
  readonly multihash: Uint8Array
}

export function encodeMarksHeader ({ storeId, number }: PackHeader): Uint8Array {
  const out = Buffer.alloc(MARKS_HEADER_BYTES)
  MAGIC.copy(out)
  out.writeUInt32LE(MARKS_FORMAT_VERSION, 8)
  out.writeUInt32LE(number, 12)
  out.set(storeId, 16)
  out.writeUInt32LE(crc32(out.subarray(0, 32)), 32)
  return out
}

/** Reports whether `bytes` begin with the header of the marks of pack `number`. @throws `UNSUPPORTED` for that of a newer version. */
export function isMarksHeader (bytes: Buffer, number: number): boolean {
  if (bytes.byteLength < MARKS_HEADER_BYTES || !bytes.subarray(0, 8).equals(MAGIC)) return false
  if (crc32(bytes.subarray(0, 32)) !== bytes.readUInt32LE(32)) return false
  const version = bytes.readUInt32LE(8)
  if (version !== MARKS_FORMAT_VERSION) {
    throw new HoldfastError('UNSUPPORTED', `Marks of a pack have format version ${version}, and this program reads version ${MARKS_FORMAT_VERSION}: upgrade Holdfast to open it`, { version })
  }
  return bytes.readUInt32LE(12) === number
}

/** Bytes of a record. */
export function markByteLength ({ multihash }: Mark): number {
  return RECORD_HEADER_BYTES + multihash.byteLength
}

/** Writes a record that will stand at `position` of its file into `out` at `at`, and returns where it ends. */
export function writeMark (out: Buffer, at: number, mark: Mark, position: number): number {
  const { kind, offset, byteLength, multihash } = mark
  out.writeUInt16LE(RECORD_MAGIC, at)
  out[at + 2] = KINDS[kind]
  out[at + 3] = multihash.byteLength
  out.writeUInt32LE(offset, at + 4)
  out.writeUInt32LE(byteLength, at + 8)
  out.set(multihash, at + RECORD_HEADER_BYTES)
  out.writeUInt32LE(crcOf(out, at, position), at + 12)
  return at + markByteLength(mark)
}

/** Reads the record at `position`, or answers `undefined` for anything that was not written there whole. */
export function decodeMark (file: Buffer, position: number): { mark: Mark, end: number } | undefined {
  if (position + RECORD_HEADER_BYTES > file.byteLength || file.readUInt16LE(position) !== RECORD_MAGIC) return undefined
  const end = position + RECORD_HEADER_BYTES + file.readUInt8(position + 3)
  if (end > file.byteLength || crcOf(file, position, position) !== file.readUInt32LE(position + 12)) return undefined
  const record = file.subarray(position, end)
  const kind = record.readUInt8(2) === KINDS.dead ? 'dead' : 'quarantined'
  const multihash = Uint8Array.from(record.subarray(RECORD_HEADER_BYTES))
  return { mark: { kind, offset: record.readUInt32LE(4), byteLength: record.readUInt32LE(8), multihash }, end }
}

/** What the checksum is of, behind each other: one call costs less than three. */
const checked = Buffer.alloc(8 + 12 + 255)

/** The checksum of the record at `at` of `bytes`, which stands at `position` of its file. */
function crcOf (bytes: Buffer, at: number, position: number): number {
  const end = at + RECORD_HEADER_BYTES + bytes.readUInt8(at + 3)
  checked.writeUInt32LE(position % 2 ** 32, 0)
  checked.writeUInt32LE(Math.floor(position / 2 ** 32), 4)
  bytes.copy(checked, 8, at, at + 12)
  bytes.copy(checked, 20, at + RECORD_HEADER_BYTES, end)
  return crc32(checked.subarray(0, 20 + end - at - RECORD_HEADER_BYTES))
}
