/**
 * The bytes of a pack. Normative: docs/formats/pack.md.
 *
 * ```
 * pack      header section*                              a CARv1
 * header    varint | dag-cbor { roots: [root], version: 1 }
 * root      01 55 00 22 | "holdfast pack" | version u8 | store id 16 | number u32     an identity CID
 * section   varint length of what follows | CID | bytes of the block
 * ```
 *
 * @see https://ipld.io/specs/transport/car/carv1/
 */
import { encodeCarHeader } from '@holdfast/car'
import { CODECS, HoldfastError, IDENTITY, MAX_BLOCK_BYTES, requireVerifiable, SHA2_256, varintLength, writeVarint } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import { create as createDigest, Digest } from 'multiformats/hashes/digest'

/** Version of the format that this code writes, and the only one that it reads. */
export const PACK_FORMAT_VERSION = 1

/** Bytes of the random name of a store, which its packs carry. */
export const STORE_ID_BYTES = 16

/** Highest number of a pack: eight digits, so that names sort as the numbers do. */
export const MAX_PACK_NUMBER = 99_999_999

/** Longest section header: a length of four bytes and the longest CID that is verified (boxo: 168 bytes). */
export const MAX_SECTION_HEADER_BYTES: number = 4 + 168

/** Longest section with its header. */
export const MAX_SECTION_BYTES: number = MAX_SECTION_HEADER_BYTES + MAX_BLOCK_BYTES

const MAGIC = Buffer.from('holdfast pack')
const ROOT_BYTES = MAGIC.byteLength + 1 + STORE_ID_BYTES + 4

export interface PackHeader {
  readonly storeId: Uint8Array
  readonly number: number
}

/** Returns the first bytes of a pack; always as many. */
export function encodePackHeader ({ storeId, number }: PackHeader): Uint8Array {
  const root = Buffer.alloc(ROOT_BYTES)
  MAGIC.copy(root)
  root[MAGIC.byteLength] = PACK_FORMAT_VERSION
  root.set(storeId, MAGIC.byteLength + 1)
  root.writeUInt32LE(number, ROOT_BYTES - 4)
  return encodeCarHeader([CID.createV1(CODECS.raw, createDigest(IDENTITY, new Uint8Array(root)))])
}

/** Bytes before the first section. */
export const PACK_HEADER_BYTES: number = encodePackHeader({ storeId: new Uint8Array(STORE_ID_BYTES), number: 0 }).byteLength

/**
 * Reads the first bytes of a pack, or answers `undefined` for anything else.
 *
 * @throws `UNSUPPORTED` for the pack of a newer version.
 */
export function decodePackHeader (bytes: Uint8Array): PackHeader | undefined {
  const header = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, PACK_HEADER_BYTES))
  const at = header.indexOf(MAGIC)
  if (at === -1 || header.byteLength < PACK_HEADER_BYTES) return undefined
  const root = header.subarray(at, at + ROOT_BYTES)
  if (root.byteLength < ROOT_BYTES) return undefined
  const storeId = Uint8Array.from(root.subarray(MAGIC.byteLength + 1, MAGIC.byteLength + 1 + STORE_ID_BYTES))
  const found = { storeId, number: root.readUInt32LE(ROOT_BYTES - 4) }
  const version = root.readUInt8(MAGIC.byteLength)
  const expected = Buffer.from(encodePackHeader(found))
  expected[at + MAGIC.byteLength] = version
  if (!expected.equals(header)) return undefined
  if (version !== PACK_FORMAT_VERSION) {
    throw new HoldfastError('UNSUPPORTED', `Pack has format version ${version}, and this program reads version ${PACK_FORMAT_VERSION}: upgrade Holdfast to open it`, { version })
  }
  return found
}

/** Bytes of `varint | CID` of a section. */
export function sectionHeaderByteLength (cid: CID, byteLength: number): number {
  return varintLength(cid.bytes.byteLength + byteLength) + cid.bytes.byteLength
}

/** Writes `varint | CID` at `at` and returns where the bytes of the block begin. */
export function writeSectionHeader (into: Uint8Array, at: number, cid: CID, byteLength: number): number {
  const end = writeVarint(into, at, cid.bytes.byteLength + byteLength)
  into.set(cid.bytes, end)
  return end + cid.bytes.byteLength
}

export interface SectionHeader {
  readonly cid: CID
  /** Bytes of `varint | CID`. */
  readonly headerByteLength: number
  /** Bytes of the block. */
  readonly byteLength: number
}

/** Reads `varint | CID` at `at`, or answers `undefined` for anything that this code would not have written. */
export function readSectionHeader (bytes: Uint8Array, at: number): SectionHeader | undefined {
  const length = readVarint(bytes, at)
  if (length === undefined) return undefined
  const begin = at + varintLength(length)
  // Most bytes are no CID; telling so without an exception makes a search bearable.
  if (bytes[begin] !== 0x01 && (bytes[begin] !== 0x12 || bytes[begin + 1] !== 0x20)) return undefined
  const common = readCommonCid(bytes, begin)
  if (common !== undefined) {
    const byteLength = length - COMMON_CID_BYTES
    return byteLength < 0 || byteLength > MAX_BLOCK_BYTES ? undefined : { cid: common, headerByteLength: begin - at + COMMON_CID_BYTES, byteLength }
  }
  try {
    const [cid] = CID.decodeFirst(bytes.subarray(begin, begin + MAX_SECTION_HEADER_BYTES))
    requireVerifiable(cid)
    const byteLength = length - cid.bytes.byteLength
    if (cid.multihash.code === IDENTITY || byteLength < 0 || byteLength > MAX_BLOCK_BYTES) return undefined
    return { cid, headerByteLength: begin - at + cid.bytes.byteLength, byteLength }
  } catch {
    return undefined // Bytes that are no CID make the decoder throw; to a search for sections they are only bytes.
  }
}

/** `01 | codec of one byte | 12 20 | digest`. */
const COMMON_CID_BYTES = 36

/** Reads the CID that nearly all blocks have, at a third of what the decoder takes; it matters when millions are read. */
function readCommonCid (bytes: Uint8Array, at: number): CID | undefined {
  const codec = bytes[at + 1] ?? 0x80
  if (bytes[at] !== 0x01 || codec >= 0x80 || bytes[at + 2] !== SHA2_256 || bytes[at + 3] !== 0x20 || at + COMMON_CID_BYTES > bytes.byteLength) return undefined
  const cidBytes = plain(bytes, at, at + COMMON_CID_BYTES)
  return new CID(1, codec, new Digest(SHA2_256, 32, cidBytes.subarray(4), cidBytes.subarray(2)), cidBytes)
}

/** A view that is no `Buffer`, whatever it is of. */
function plain ({ buffer, byteOffset }: Uint8Array, from: number, to: number): Uint8Array {
  return new Uint8Array(buffer, byteOffset + from, to - from)
}

/** No section needs more than four bytes for its length; a padded length is none that was written. */
function readVarint (bytes: Uint8Array, at: number): number | undefined {
  let value = 0
  for (let index = 0; index < 4; index++) {
    const byte = bytes[at + index]
    if (byte === undefined) return undefined
    value += (byte & 0x7f) * 0x80 ** index
    if (byte >= 0x80) continue
    return (byte === 0 && index > 0) || value > MAX_SECTION_BYTES ? undefined : value
  }
  return undefined
}
