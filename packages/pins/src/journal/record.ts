import { HoldfastError, type Ipld, MAX_NESTING_DEPTH } from '@holdfast/core'
import { decode, encode } from '@ipld/dag-cbor'
import { CID } from 'multiformats/cid'
import { MAX_FRAME_PAYLOAD_BYTES } from './segment-format.ts'

/** One fact of the journal. */
export interface JournalRecord {
  /** Who reads it: `pin`, `unpin`; other packages add theirs. Lower-case words joined by hyphens. */
  readonly kind: string
  readonly value: Ipld
}

/** Most bytes of one encoded record: a record says what was decided, it does not carry content. */
export const MAX_RECORD_BYTES: number = 1024 * 1024

/** Most records of one call to `append`: they are decoded together, and each costs a few hundred bytes of heap besides its value. */
export const MAX_BATCH_RECORDS = 65_536

const KIND = /^[a-z][a-z0-9-]{0,63}$/

/**
 * Encodes a record.
 *
 * @throws `INVALID` for a kind or value that cannot be written, or is nested deeper than can be read everywhere;
 * `LIMIT` above `MAX_RECORD_BYTES`.
 */
export function encodeRecord ({ kind, value }: JournalRecord): Uint8Array {
  if (!KIND.test(kind)) throw new HoldfastError('INVALID', `Not a kind of journal record: ${JSON.stringify(kind)}`, { kind })
  if (isDeeper(value, MAX_NESTING_DEPTH)) throw new HoldfastError('INVALID', `Value of a journal record of kind ${kind} is nested deeper than ${MAX_NESTING_DEPTH} levels`, { kind })
  const bytes = encodeValue(kind, value)
  if (bytes.byteLength > MAX_RECORD_BYTES) {
    throw new HoldfastError('LIMIT', `Journal record of kind ${kind} has ${bytes.byteLength} bytes; at most ${MAX_RECORD_BYTES} are kept`, { kind, byteLength: bytes.byteLength })
  }
  return bytes
}

function isDeeper (value: Ipld, levels: number): boolean {
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array || CID.asCID(value) !== null) return false
  return levels === 0 || Object.values(value).some((child) => isDeeper(child, levels - 1))
}

function encodeValue (kind: string, value: Ipld): Uint8Array {
  try {
    return encode({ kind, value })
  } catch (cause) {
    throw new HoldfastError('INVALID', `Value of a journal record of kind ${kind} is not of the IPLD data model`, { cause, kind })
  }
}

/**
 * The payload of a frame: the records as one dag-cbor list.
 *
 * @throws `LIMIT` when they do not fit in one frame, so cannot be atomic.
 */
export function encodePayload (records: readonly Uint8Array[]): Uint8Array {
  if (records.length > MAX_BATCH_RECORDS) {
    throw new HoldfastError('LIMIT', `${records.length} journal records in one batch; at most ${MAX_BATCH_RECORDS} are written at once`)
  }
  const payload = Buffer.concat([listHead(records.length), ...records])
  if (payload.byteLength > MAX_FRAME_PAYLOAD_BYTES) {
    throw new HoldfastError('LIMIT', `Batch of journal records has ${payload.byteLength} bytes; at most ${MAX_FRAME_PAYLOAD_BYTES} are written at once`)
  }
  return payload
}

/** Head of a CBOR array, in the shortest form as dag-cbor asks. @see RFC 8949 §3 */
function listHead (count: number): Uint8Array {
  if (count < 24) return Uint8Array.of(0x80 | count)
  if (count < 0x100) return Uint8Array.of(0x98, count)
  if (count < 0x1_0000) return Uint8Array.of(0x99, count >> 8, count & 0xff)
  return Uint8Array.of(0x9a, count >>> 24, (count >> 16) & 0xff, (count >> 8) & 0xff, count & 0xff)
}

/** Reads the payload of a frame. @throws `CORRUPT` for one that no journal writes. */
export function decodePayload (payload: Uint8Array): JournalRecord[] {
  const list = decodeList(payload)
  if (!Array.isArray(list) || list.length > MAX_BATCH_RECORDS || !list.every(isRecord)) {
    throw new HoldfastError('CORRUPT', 'Payload of a journal frame is not a list of records')
  }
  return list
}

function decodeList (payload: Uint8Array): unknown {
  try {
    return decode(payload)
  } catch (cause) {
    throw new HoldfastError('CORRUPT', 'Payload of a journal frame is not dag-cbor', { cause })
  }
}

function isRecord (value: unknown): value is JournalRecord {
  return typeof value === 'object' && value !== null && 'kind' in value && 'value' in value && typeof value.kind === 'string' && KIND.test(value.kind)
}
