/**
 * CARv1 and CARv2, read as a stream.
 *
 * ```
 * CARv1   header section*                         (car-writer.ts)
 * CARv2   pragma (11 bytes) · characteristics (16) · data offset, data length, index offset (8 each, little-endian)
 *         · padding · CARv1 · padding · index
 * ```
 *
 * The index of a CARv2 is never used: it is somebody's claim, and a stream has passed by when it comes.
 *
 * @see https://ipld.io/specs/transport/car/carv2/
 */
import { decode } from '@ipld/dag-cbor'
import { type AbortOptions, Block, HoldfastError, isErrorCode, MAX_BLOCK_BYTES } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import { ByteReader } from './byte-reader.ts'

/** Longest header in bytes: room for `MAX_CAR_ROOTS` CIDs of any hash (go-car allows 32 MiB). */
export const MAX_CAR_HEADER_BYTES: number = 1024 * 1024

/** Most roots of an archive. */
export const MAX_CAR_ROOTS = 1024

/** Longest section in bytes: a block and its CID of at most 168 bytes, with room. */
export const MAX_CAR_SECTION_BYTES: number = MAX_BLOCK_BYTES + 256

const PRAGMA = Uint8Array.of(0x0a, 0xa1, 0x67, 0x76, 0x65, 0x72, 0x73, 0x69, 0x6f, 0x6e, 0x02)
const V2_HEADER_BYTES = 40

/** An archive whose header was read. */
export interface CarReader {
  readonly version: 1 | 2
  /** The CIDs that the header names; nobody checked that they are in the archive. */
  readonly roots: readonly CID[]
  /**
   * The blocks in their order, repeats included, each checked against its CID. To be iterated once; ending the
   * iteration lets go of the source.
   *
   * @throws `CORRUPT` for bytes that are not what their CID names, `INVALID` for an archive that is malformed or cut
   * short, `LIMIT` for a block that is too long, `UNSUPPORTED` for an unknown hash; each with `byteOffset`, where the section
   * begins, and `blockCount`, the good blocks before it.
   */
  readonly blocks: AsyncIterable<Block>
}

/**
 * Reads the header of an archive. No more than one section is held in memory at a time.
 *
 * @throws `INVALID` for bytes that are no CAR, `LIMIT` for a header with too much in it, `UNSUPPORTED` for a later version.
 */
export async function readCar (source: AsyncIterable<Uint8Array>, options: AbortOptions = {}): Promise<CarReader> {
  const reader = new ByteReader(source, options)
  try {
    return await readHeader(reader)
  } catch (err) {
    await reader.close()
    throw err
  }
}

async function readHeader (reader: ByteReader): Promise<CarReader> {
  const outer = await readCborHeader(reader)
  if (outer.version === 1) return { version: 1, roots: outer.roots, blocks: sections(reader, Infinity) }
  const end = await enterPayload(reader)
  const inner = await readCborHeader(reader)
  if (inner.version !== 1) throw reader.malformed('a CARv2 whose payload is not CARv1')
  return { version: 2, roots: inner.roots, blocks: sections(reader, end) }
}

/** Reads the fixed header of a CARv2, goes to the payload and returns where it ends. */
async function enterPayload (reader: ByteReader): Promise<number> {
  const fixed = Buffer.from(await reader.take(V2_HEADER_BYTES, 'the CARv2 header'))
  const offset = fixed.readBigUInt64LE(16)
  const length = fixed.readBigUInt64LE(24)
  if (offset < BigInt(PRAGMA.byteLength + V2_HEADER_BYTES) || offset + length > BigInt(Number.MAX_SAFE_INTEGER)) {
    throw reader.malformed('a CARv2 header whose payload is not behind it')
  }
  await reader.skip(Number(offset) - reader.offset, 'the padding before the payload')
  return Number(offset + length)
}

async function readCborHeader (reader: ByteReader): Promise<{ version: 1 | 2, roots: CID[] }> {
  const length = await reader.varint('the length of the header')
  if (length === 0) throw reader.malformed('an empty header')
  if (length > MAX_CAR_HEADER_BYTES) throw new HoldfastError('LIMIT', `CAR header of ${length} bytes is longer than the ${MAX_CAR_HEADER_BYTES} that are read`, { byteOffset: reader.offset })
  const header = decodeHeader(await reader.take(length, 'the header'), reader)
  if (header.version === 2 && length === PRAGMA.byteLength - 1) return { version: 2, roots: [] }
  if (header.version !== 1) throw new HoldfastError('UNSUPPORTED', `CAR version ${JSON.stringify(header.version) ?? 'none'} is not supported`, { byteOffset: reader.offset })
  const { roots } = header
  if (!Array.isArray(roots)) throw reader.malformed('a header without roots')
  if (roots.length > MAX_CAR_ROOTS) throw new HoldfastError('LIMIT', `CAR header names ${roots.length} roots, more than ${MAX_CAR_ROOTS}`, { byteOffset: reader.offset })
  return { version: 1, roots: roots.map((root) => CID.asCID(root) ?? fail(reader.malformed('a root that is no CID'))) }
}

function decodeHeader (bytes: Uint8Array, reader: ByteReader): { version?: unknown, roots?: unknown } {
  try {
    const header: unknown = decode(bytes)
    if (typeof header === 'object' && header !== null) return header
  } catch (cause) {
    throw reader.malformed('a header that is not dag-cbor', { cause })
  }
  throw reader.malformed('a header that is no map')
}

async function * sections (reader: ByteReader, end: number): AsyncIterable<Block> {
  let blockCount = 0
  try {
    while (reader.offset < end && !await reader.isDone()) {
      const byteOffset = reader.offset
      try {
        yield await readSection(reader, end)
      } catch (err) {
        throw placed(err, { byteOffset, blockCount })
      }
      blockCount++
    }
    if (end !== Infinity && reader.offset !== end) throw placed(reader.malformed('it ends before its payload does'), { byteOffset: reader.offset, blockCount })
  } finally {
    await reader.close()
  }
}

async function readSection (reader: ByteReader, end: number): Promise<Block> {
  const length = await reader.varint('the length of a section')
  if (length > MAX_CAR_SECTION_BYTES) throw new HoldfastError('LIMIT', `CAR section of ${length} bytes is longer than the ${MAX_CAR_SECTION_BYTES} of a 2 MiB block and its CID`)
  if (reader.offset + length > end) throw reader.malformed('a section that goes beyond the payload')
  const [cid, bytes] = splitSection(await reader.take(length, 'a section'), reader)
  return await Block.verify(cid, bytes)
}

function splitSection (section: Uint8Array, reader: ByteReader): [CID, Uint8Array] {
  try {
    return CID.decodeFirst(section)
  } catch (cause) {
    throw reader.malformed('a section without a CID', { cause })
  }
}

/** Adds to a failure where it was; what a consumer threw into the iteration is not ours to change. */
function placed (err: unknown, place: { byteOffset: number, blockCount: number }): unknown {
  for (const code of ['INVALID', 'CORRUPT', 'LIMIT', 'UNSUPPORTED'] as const) {
    if (isErrorCode(err, code)) return new HoldfastError(code, `${err.message} (section at byte ${place.byteOffset}, after ${place.blockCount} good blocks)`, { ...err.details, ...place, cause: err.cause ?? err })
  }
  return err
}

function fail (err: Error): never {
  throw err
}
