/**
 * The UnixFS message that lies in the Data field of a dag-pb node.
 *
 * ```
 * Data     { Type = 1 (required), Data = 2 bytes, filesize = 3, blocksizes = 4 repeated,
 *            hashType = 5, fanout = 6, mode = 7, mtime = 8 UnixTime }
 * UnixTime { Seconds = 1 int64 (required), FractionalNanoseconds = 2 fixed32 }
 * ```
 *
 * @see https://specs.ipfs.tech/unixfs/
 */
import { HoldfastError, ProtobufReader, varintLength, writeVarint } from '@holdfast/core'

/** Most `blocksizes` of one node: as many as it can have links. */
const MAX_BLOCK_BYTE_LENGTHS = 65_536

const TYPES = ['raw', 'directory', 'file', 'metadata', 'symlink', 'hamt-sharded-directory'] as const

/** What a UnixFS node is; the index is the number on the wire. */
export type UnixFsType = typeof TYPES[number]

/** A moment as UnixFS stores it: before 1970 `seconds` is negative and `nanoseconds` still counts forward. */
export interface UnixFsTime {
  readonly seconds: bigint
  /** 0 to 999,999,999. */
  readonly nanoseconds: number
}

export interface UnixFsData {
  readonly type: UnixFsType
  /** Content of a leaf, target of a symlink, bitfield of a HAMT shard. */
  readonly data?: Uint8Array | undefined
  /** `filesize`: bytes of the file content below this node. */
  readonly byteLength?: number | undefined
  /** `blocksizes`: bytes of file content below each link, in the order of the links. */
  readonly blockByteLengths?: readonly number[] | undefined
  /** Multicodec of the HAMT's hash function. */
  readonly hashType?: number | undefined
  readonly fanout?: number | undefined
  /** POSIX permission bits, without the file type. */
  readonly mode?: number | undefined
  readonly mtime?: UnixFsTime | undefined
}

/** Writes the message with its fields in ascending order, as every implementation does. */
export function encodeUnixFs ({ type, data, byteLength, blockByteLengths = [], hashType, fanout, mode, mtime }: UnixFsData): Uint8Array {
  const time = mtime === undefined ? undefined : encodeTime(mtime)
  const numbers: Array<[tag: number, value: number | undefined]> = [
    [TAGS.filesize, byteLength],
    ...blockByteLengths.map((length): [number, number] => [TAGS.blocksizes, length]),
    [TAGS.hashType, hashType],
    [TAGS.fanout, fanout],
    [TAGS.mode, mode]
  ]
  let total = 2
  if (data !== undefined) total += 1 + varintLength(data.byteLength) + data.byteLength
  for (const [, value] of numbers) if (value !== undefined) total += 1 + varintLength(value)
  if (time !== undefined) total += 1 + varintLength(time.byteLength) + time.byteLength

  const out = new Uint8Array(total)
  let at = writeVarint(out, writeVarint(out, 0, TAGS.type), TYPES.indexOf(type))
  if (data !== undefined) at = writeBytes(out, at, TAGS.data, data)
  for (const [tag, value] of numbers) if (value !== undefined) at = writeVarint(out, writeVarint(out, at, tag), value)
  if (time !== undefined) writeBytes(out, at, TAGS.mtime, time)
  return out
}

/**
 * Reads the message; `data` is a view into `bytes`. Unknown fields are skipped, as protobuf asks.
 *
 * @throws `INVALID` for bytes that are not UnixFS, `LIMIT` for more block sizes than a node can have links.
 */
export function decodeUnixFs (bytes: Uint8Array): UnixFsData {
  const reader = new ProtobufReader(bytes)
  const blockByteLengths: number[] = []
  let type: UnixFsType | undefined
  let data: Uint8Array | undefined
  let byteLength: number | undefined
  let hashType: number | undefined
  let fanout: number | undefined
  let mode: number | undefined
  let mtime: UnixFsTime | undefined

  while (!reader.done) {
    const tag = reader.varint()
    switch (tag) {
      case TAGS.type: type = TYPES[reader.varint()]; break
      case TAGS.data: data = reader.bytes(); break
      case TAGS.filesize: byteLength = reader.varint(); break
      case TAGS.blocksizes: addBlockByteLength(blockByteLengths, reader); break
      case TAGS.packedBlocksizes: {
        const packed = new ProtobufReader(reader.bytes())
        while (!packed.done) addBlockByteLength(blockByteLengths, packed)
        break
      }
      case TAGS.hashType: hashType = reader.varint(); break
      case TAGS.fanout: fanout = reader.varint(); break
      case TAGS.mode: mode = reader.varint() & 0o7777; break
      case TAGS.mtime: mtime = decodeTime(reader.bytes()); break
      default: skipField(reader, tag)
    }
  }
  if (type === undefined) throw new HoldfastError('INVALID', 'Not UnixFS: no known Type')
  return { type, data, byteLength, blockByteLengths, hashType, fanout, mode, mtime }
}

const TAGS = {
  type: 1 << 3,
  data: (2 << 3) | 2,
  filesize: 3 << 3,
  blocksizes: 4 << 3,
  packedBlocksizes: (4 << 3) | 2,
  hashType: 5 << 3,
  fanout: 6 << 3,
  mode: 7 << 3,
  mtime: (8 << 3) | 2
} as const

const TIME_TAGS = { seconds: 1 << 3, nanoseconds: (2 << 3) | 5 } as const

function addBlockByteLength (lengths: number[], reader: ProtobufReader): void {
  if (lengths.length === MAX_BLOCK_BYTE_LENGTHS) throw new HoldfastError('LIMIT', `UnixFS node has more than ${MAX_BLOCK_BYTE_LENGTHS} block sizes`)
  lengths.push(reader.varint())
}

function skipField (reader: ProtobufReader, tag: number): void {
  switch (tag & 7) {
    case 0: reader.varint64(); break
    case 1: reader.take(8); break
    case 2: reader.bytes(); break
    case 5: reader.take(4); break
    default: throw new HoldfastError('INVALID', `Not UnixFS: unknown field tag ${tag}`)
  }
}

function writeBytes (out: Uint8Array, at: number, tag: number, bytes: Uint8Array): number {
  at = writeVarint(out, writeVarint(out, at, tag), bytes.byteLength)
  out.set(bytes, at)
  return at + bytes.byteLength
}

function encodeTime ({ seconds, nanoseconds }: UnixFsTime): Uint8Array {
  const out: number[] = [TIME_TAGS.seconds]
  let rest = BigInt.asUintN(64, seconds)
  for (; rest >= 0x80n; rest >>= 7n) out.push(Number(rest & 0x7fn) | 0x80)
  out.push(Number(rest))
  // A whole second has no fraction on the wire: the CID of Kubo's vectors depends on it.
  if (nanoseconds !== 0) out.push(TIME_TAGS.nanoseconds, nanoseconds & 0xff, (nanoseconds >>> 8) & 0xff, (nanoseconds >>> 16) & 0xff, nanoseconds >>> 24)
  return Uint8Array.from(out)
}

function decodeTime (bytes: Uint8Array): UnixFsTime {
  const reader = new ProtobufReader(bytes)
  let seconds: bigint | undefined
  let nanoseconds = 0
  while (!reader.done) {
    const tag = reader.varint()
    if (tag === TIME_TAGS.seconds) seconds = reader.varint64()
    else if (tag === TIME_TAGS.nanoseconds) nanoseconds = Buffer.from(reader.take(4)).readUInt32LE()
    else skipField(reader, tag)
  }
  if (seconds === undefined || nanoseconds > 999_999_999) throw new HoldfastError('INVALID', 'Not UnixFS: a time without seconds or with a fraction above one')
  return { seconds, nanoseconds }
}
