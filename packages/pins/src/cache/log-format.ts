/**
 * The file in which the book of cached blocks survives a restart (docs/formats/cache.md).
 *
 * ```
 * magic    48 46 43 41 43 48 45 31                     "HFCACHE1"
 * frame    length of payload (4) · crc32 of it (4) · payload
 * payload  records, one after the other
 *
 * 01 · n (1) · multihash (n) · byteLength (4)          the block is cache
 * 02 · n (1) · multihash (n)                           the block is none any more
 * 03                                                   the book was closed in order
 * ```
 *
 * Numbers are little-endian. A block of sha2-256 costs 40 bytes, and 8 for all blocks of a frame.
 */
import { CODECS, requireVerifiable } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import { decode as decodeDigest } from 'multiformats/hashes/digest'
import { crc32 } from 'node:zlib'

/** One change of the book. Keys are multihashes as `multihashKey` spells them. */
export type CacheRecord =
  | { readonly kind: 'cached', readonly key: string, readonly byteLength: number }
  | { readonly kind: 'forgotten', readonly key: string }
  | { readonly kind: 'closed' }

/** First bytes of the file: the format and its version. */
export const CACHE_LOG_MAGIC: Uint8Array = Buffer.from('HFCACHE1')

/** Bytes before the payload of a frame. */
export const FRAME_HEADER_BYTES = 8

/** Longest payload of a frame, in bytes: what a damaged length can make a reader wait for. */
export const MAX_FRAME_BYTES: number = 64 * 1024

/** Longest record, in bytes: its multihash has a length of one byte. */
const MAX_RECORD_BYTES: number = 2 + 255 + 4

const CACHED = 1
const FORGOTTEN = 2
const CLOSED = 3

/** Writes records as frames, as many as are needed. */
export function * encodeFrames (records: Iterable<CacheRecord>): Generator<Uint8Array> {
  let frame = Buffer.alloc(FRAME_HEADER_BYTES + MAX_FRAME_BYTES)
  let end = FRAME_HEADER_BYTES
  for (const record of records) {
    if (end + MAX_RECORD_BYTES > frame.byteLength) {
      yield finished(frame, end)
      frame = Buffer.alloc(FRAME_HEADER_BYTES + MAX_FRAME_BYTES)
      end = FRAME_HEADER_BYTES
    }
    end = writeRecord(frame, end, record)
  }
  if (end > FRAME_HEADER_BYTES) yield finished(frame, end)
}

function finished (frame: Buffer, end: number): Uint8Array {
  frame.writeUInt32LE(end - FRAME_HEADER_BYTES, 0)
  frame.writeUInt32LE(crc32(frame.subarray(FRAME_HEADER_BYTES, end)), 4)
  return frame.subarray(0, end)
}

function writeRecord (frame: Buffer, at: number, record: CacheRecord): number {
  if (record.kind === 'closed') return frame.writeUInt8(CLOSED, at)
  frame.writeUInt8(record.kind === 'cached' ? CACHED : FORGOTTEN, at)
  const keyAt = frame.writeUInt8(record.key.length, at + 1)
  const end = keyAt + frame.write(record.key, keyAt, 'latin1')
  return record.kind === 'cached' ? frame.writeUInt32LE(record.byteLength, end) : end
}

/** What the bytes at a place of the file are. */
export type FrameRead =
  | { readonly kind: 'frame', readonly byteLength: number, readonly records: readonly CacheRecord[] }
  /** More bytes are needed to tell; at the end of the file, a write that a crash cut short. */
  | { readonly kind: 'short' }
  | { readonly kind: 'damaged' }

/** Reads the frame at the beginning of `bytes`. */
export function decodeFrame (bytes: Buffer): FrameRead {
  if (bytes.byteLength < FRAME_HEADER_BYTES) return { kind: 'short' }
  const byteLength = bytes.readUInt32LE(0)
  if (byteLength === 0 || byteLength > MAX_FRAME_BYTES) return { kind: 'damaged' }
  const end = FRAME_HEADER_BYTES + byteLength
  if (bytes.byteLength < end) return { kind: 'short' }
  const payload = bytes.subarray(FRAME_HEADER_BYTES, end)
  const records = crc32(payload) === bytes.readUInt32LE(4) ? decodeRecords(payload) : undefined
  return records === undefined ? { kind: 'damaged' } : { kind: 'frame', byteLength: end, records }
}

function decodeRecords (payload: Buffer): CacheRecord[] | undefined {
  const records: CacheRecord[] = []
  let at = 0
  while (at < payload.byteLength) {
    const kind = payload.readUInt8(at)
    if (kind === CLOSED) {
      records.push({ kind: 'closed' })
      at++
      continue
    }
    if (kind !== CACHED && kind !== FORGOTTEN) return undefined
    const keyAt = at + 2
    const keyEnd = keyAt + (payload[at + 1] ?? payload.byteLength)
    at = keyEnd + (kind === CACHED ? 4 : 0)
    if (keyEnd === keyAt || at > payload.byteLength) return undefined
    const key = payload.toString('latin1', keyAt, keyEnd)
    records.push(kind === CACHED ? { kind: 'cached', key, byteLength: payload.readUInt32LE(keyEnd) } : { kind: 'forgotten', key })
  }
  return records
}

/**
 * The CID of a key, as CIDv1 with the raw codec.
 *
 * @throws what no block could be named by: a key that is no multihash, or one of a hash that this node cannot check.
 */
export function cidOfKey (key: string): CID {
  const cid = CID.createV1(CODECS.raw, decodeDigest(Uint8Array.from(Buffer.from(key, 'latin1'))))
  requireVerifiable(cid)
  return cid
}
