/**
 * What a CAR begins with.
 *
 * ```
 * CARv1   varint length | DAG-CBOR { roots: [CID], version: 1 } | sections
 * CARv2   0a a1 67 "version" 02                                   a CARv1 header that says 2
 *         characteristics 16 | data offset u64 | data size u64 | index offset u64, little-endian
 *         padding | a whole CARv1, `data size` bytes from `data offset` on | index
 * ```
 *
 * The index is not read: it may lie, and every block is read anyway.
 *
 * @see https://ipld.io/specs/transport/car/carv1/ and https://ipld.io/specs/transport/car/carv2/
 */
import { encode as encodeDagCbor } from '@ipld/dag-cbor'
import { Block, CODECS, decodeIpld, HoldfastError, type Ipld, isHoldfastError } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import type { ByteSource } from './byte-source.ts'
import { encodeVarint, takeVarint } from './varint.ts'

/** Longest CARv1 header that is read, in bytes: go-car caps it at 32 MiB, and the most roots need 100 KiB. */
export const MAX_CAR_HEADER_BYTES: number = 1024 * 1024

/** Most roots of a CAR, read or written; each of them may become a pin. */
export const MAX_CAR_ROOTS = 1024

export interface CarHeader {
  readonly version: 1 | 2
  readonly roots: readonly CID[]
}

/**
 * Returns the first bytes of a CARv1, from its length on.
 *
 * @throws `LIMIT` above `MAX_CAR_ROOTS`.
 */
export function encodeCarHeader (roots: readonly CID[]): Uint8Array {
  requireRootCount(roots)
  const header = encodeDagCbor({ roots: [...roots], version: 1 })
  const length = encodeVarint(header.byteLength)
  const bytes = new Uint8Array(length.byteLength + header.byteLength)
  bytes.set(length)
  bytes.set(header, length.byteLength)
  return bytes
}

/** Reads up to the first section. Of a CARv2 the source then ends with the CARv1 inside. */
export async function takeCarHeader (source: ByteSource): Promise<CarHeader> {
  const outer = await takeV1Header(source)
  if (outer.version === 1) return { version: 1, roots: rootsIn(outer, 0) }
  if (outer.version !== 2) throw new HoldfastError('UNSUPPORTED', `CAR has version ${JSON.stringify(outer.version)}; 1 and 2 are read`, { byteOffset: 0 })
  if (Object.keys(outer).length !== 1) throw malformed('a CARv2 header has one field', 0)

  await seekV1(source)
  const innerOffset = source.position
  const inner = await takeV1Header(source)
  if (inner.version !== 1) throw malformed('the payload of a CARv2 is a CARv1', innerOffset)
  return { version: 2, roots: rootsIn(inner, innerOffset) }
}

const V2_HEADER_BYTES = 40

async function seekV1 (source: ByteSource): Promise<void> {
  const byteOffset = source.position
  const bytes = await source.take(V2_HEADER_BYTES)
  if (bytes === undefined) throw cutShort(byteOffset)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const dataOffset = Number(view.getBigUint64(16, true))
  const dataByteLength = Number(view.getBigUint64(24, true))
  if (dataOffset < source.position || !Number.isSafeInteger(dataOffset + dataByteLength)) {
    throw malformed(`${dataByteLength} bytes from ${dataOffset} on cannot be the payload of a CARv2`, byteOffset)
  }
  if (!await source.skip(dataOffset - source.position)) throw cutShort(byteOffset)
  source.endAt(dataOffset + dataByteLength)
}

async function takeV1Header (source: ByteSource): Promise<Record<string, Ipld>> {
  const byteOffset = source.position
  const byteLength = await takeVarint(source, byteOffset)
  if (byteLength === undefined) throw cutShort(byteOffset)
  if (byteLength > MAX_CAR_HEADER_BYTES) {
    throw new HoldfastError('LIMIT', `CAR header has ${byteLength} bytes, more than the ${MAX_CAR_HEADER_BYTES} that are read`, { byteOffset, byteLength })
  }
  const bytes = await source.take(byteLength)
  if (bytes === undefined) throw cutShort(byteOffset)
  const header = await decodeHeader(bytes, byteOffset)
  if (header === null || typeof header !== 'object' || Array.isArray(header) || header instanceof Uint8Array || CID.asCID(header) !== null) {
    throw malformed('the header is not a map', byteOffset)
  }
  return Object.fromEntries(Object.entries(header))
}

/** As a block, the header gets the limits that every DAG-CBOR block has on depth and count. */
async function decodeHeader (bytes: Uint8Array, byteOffset: number): Promise<Ipld> {
  try {
    return decodeIpld(await Block.of(bytes, { codec: CODECS.dagCbor }))
  } catch (cause) {
    if (!isHoldfastError(cause)) throw cause
    throw new HoldfastError(cause.code, 'CAR header cannot be decoded: it is not DAG-CBOR, or beyond its limits', { cause, byteOffset })
  }
}

function rootsIn ({ roots, ...rest }: Record<string, Ipld>, byteOffset: number): CID[] {
  if (!Array.isArray(roots) || Object.keys(rest).length !== 1) throw malformed('a CARv1 header has a version and a list of roots', byteOffset)
  requireRootCount(roots)
  return roots.map((root) => {
    const cid = CID.asCID(root)
    if (cid === null) throw malformed('a root is not a CID', byteOffset)
    return cid
  })
}

function requireRootCount ({ length }: readonly unknown[]): void {
  if (length > MAX_CAR_ROOTS) throw new HoldfastError('LIMIT', `CAR has ${length} roots, more than ${MAX_CAR_ROOTS}`, { rootCount: length })
}

function malformed (why: string, byteOffset: number): HoldfastError {
  return new HoldfastError('INVALID', `Not a CAR: ${why}`, { byteOffset })
}

function cutShort (byteOffset: number): HoldfastError {
  return new HoldfastError('INVALID', 'Not a CAR: it ends inside its header', { byteOffset, blockCount: 0 })
}
