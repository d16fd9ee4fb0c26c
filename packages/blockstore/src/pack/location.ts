import { HoldfastError } from '@holdfast/core'

/** Where the bytes of a block lie. */
export interface Location {
  readonly pack: number
  /** Where the bytes of the block begin in the pack. */
  readonly offset: number
  readonly byteLength: number
  /** Bytes of the section before those of the block: its length and the CID. */
  readonly headerByteLength: number
  /** The bytes were found damaged: the block counts as absent, and only repair looks at it. */
  readonly isQuarantined: boolean
}

/** Bytes of a location in the index. */
export const LOCATION_BYTES = 13

const QUARANTINED = 1

/** Reports whether both are the same place; whether it is quarantined does not count. */
export function isSamePlace (a: Location, b: Location): boolean {
  return a.offset === b.offset && a.pack === b.pack
}

/** Reports whether `a` was written after `b`. */
export function isLater (a: Location, b: Location): boolean {
  return a.pack === b.pack ? a.offset > b.offset : a.pack > b.pack
}

/** Bytes of the whole section. */
export function sectionByteLength ({ byteLength, headerByteLength }: Location): number {
  return byteLength + headerByteLength
}

/** `pack u32 | offset u32 | byte length u24 | header u8 | flags u8`, little-endian. */
export function encodeLocation ({ pack, offset, byteLength, headerByteLength, isQuarantined }: Location): Buffer {
  const bytes = Buffer.allocUnsafe(LOCATION_BYTES)
  bytes.writeUInt32LE(pack, 0)
  bytes.writeUInt32LE(offset, 4)
  bytes.writeUIntLE(byteLength, 8, 3)
  bytes[11] = headerByteLength
  bytes[12] = isQuarantined ? QUARANTINED : 0
  return bytes
}

/** Reads the first bytes of `bytes`. @throws `CORRUPT` when they are too few. */
export function decodeLocation (bytes: Buffer): Location {
  if (bytes.length < LOCATION_BYTES) throw new HoldfastError('CORRUPT', 'Index of the packs is damaged: an entry is too short; rebuild the index')
  return {
    pack: bytes.readUInt32LE(0),
    offset: bytes.readUInt32LE(4),
    byteLength: bytes.readUIntLE(8, 3),
    headerByteLength: bytes.readUInt8(11),
    isQuarantined: (bytes.readUInt8(12) & QUARANTINED) !== 0
  }
}
