/**
 * The messages of `/holdfast/records/1.0.0`, each a dag-cbor map with its name under `t`.
 *
 * The side that opened the stream says hello, asks and pushes; the other answers what was asked, in order, and says nothing unasked.
 *
 * @see docs/formats/records.md
 */
import { decodeDagCbor, HoldfastError, type Ipld } from '@holdfast/core'
import { encode } from '@ipld/dag-cbor'
import * as limits from '../limits.ts'
import { BUCKET_COUNT, BUCKET_LEVEL, FAN_OUT, NODE_HASH_BYTES } from '../map/merkle-tree.ts'
import { Fields } from '../record/fields.ts'
import { HASH_BYTES } from '../record/record.ts'

export const RECORDS_PROTOCOL = '/holdfast/records/1.0.0'

/** A fetch that is under way, for `pin status` elsewhere. */
export interface FetchTold {
  readonly pinKey: Uint8Array
  readonly percent: number
  readonly bytesPerSecond: number
}

/** How a member is, every 10 s. */
export interface Heartbeat {
  readonly usedBytes: number
  readonly freeBytes: number
  /** Takes no more pins. */
  readonly isFull: boolean
  /** Fetches that wait. */
  readonly queueLength: number
  readonly fetching: readonly FetchTold[]
  readonly version: string
}

/** What the side that opened the stream says. */
export type Request =
  | { readonly t: 'hello', readonly v: number, readonly cluster: Uint8Array, readonly proof: readonly Uint8Array[] }
  | { readonly t: 'nodes', readonly level: number, readonly of: readonly number[] }
  | { readonly t: 'list', readonly of: readonly number[], readonly after: string }
  | { readonly t: 'get', readonly hashes: readonly string[] }
  | { readonly t: 'push', readonly records: readonly Uint8Array[] }
  | { readonly t: 'beat', readonly root: Uint8Array, readonly beat: Heartbeat }

/** What the other answers: nothing to `push` and `beat`. */
export type Answer =
  | { readonly t: 'hello', readonly v: number }
  | { readonly t: 'refused', readonly why: string, readonly records: readonly Uint8Array[] }
  | { readonly t: 'nodes', readonly hashes: Uint8Array }
  | { readonly t: 'list', readonly lists: ReadonlyArray<readonly string[]>, readonly isCut: boolean }
  | { readonly t: 'records', readonly records: readonly Uint8Array[] }

/** Version of the messages. */
export const MESSAGES_VERSION = 1

export function encodeRequest (request: Request): Uint8Array {
  switch (request.t) {
    case 'list': return encode({ ...request, after: latin1(request.after) })
    case 'get': return encode({ ...request, hashes: latin1(request.hashes.join('')) })
    case 'beat': {
      const { usedBytes, freeBytes, isFull, queueLength, fetching, version } = request.beat
      const told = fetching.slice(0, limits.MAX_FETCHES_TOLD).map(({ pinKey, percent, bytesPerSecond }) => ({ pinKey, percent: Math.round(percent), bytesPerSecond: Math.round(bytesPerSecond) }))
      return encode({ t: 'beat', root: request.root, used: usedBytes, free: freeBytes, full: isFull, queue: queueLength, fetching: told, version })
    }
    default: return encode(request)
  }
}

export function encodeAnswer (answer: Answer): Uint8Array {
  return encode(answer.t === 'list' ? { ...answer, lists: answer.lists.map((hashes) => latin1(hashes.join(''))) } : answer)
}

/** @throws `INVALID` or `LIMIT` for bytes that no member sends. */
export function decodeRequest (bytes: Uint8Array): Request {
  const fields = fieldsOf(bytes)
  const t = fields.oneOf('t', ['hello', 'nodes', 'list', 'get', 'push', 'beat'])
  switch (t) {
    case 'hello': return { t, v: fields.integer('v'), cluster: fields.bytes('cluster', { min: HASH_BYTES, max: HASH_BYTES }), proof: recordsIn(fields, 'proof', limits.MAX_PROOF_RECORDS) }
    case 'nodes': {
      const level = fields.integer('level', { max: BUCKET_LEVEL - 1 })
      return { t, level, of: numbersIn(fields, limits.MAX_ASKED_NODES, FAN_OUT ** level) }
    }
    case 'list': return { t, of: numbersIn(fields, limits.MAX_ASKED_BUCKETS, BUCKET_COUNT), after: Buffer.from(fields.bytes('after', { max: HASH_BYTES })).toString('latin1') }
    case 'get': return { t, hashes: hashesIn(fields.bytes('hashes', { max: limits.MAX_ASKED_RECORDS * HASH_BYTES })) }
    case 'push': return { t, records: recordsIn(fields, 'records', limits.MAX_MESSAGE_ITEMS) }
    case 'beat': return { t, root: fields.bytes('root', { min: HASH_BYTES, max: HASH_BYTES }), beat: heartbeatIn(fields) }
  }
}

/** @throws `INVALID` or `LIMIT` for bytes that no member sends. */
export function decodeAnswer (bytes: Uint8Array): Answer {
  const fields = fieldsOf(bytes)
  const t = fields.oneOf('t', ['hello', 'refused', 'nodes', 'list', 'records'])
  switch (t) {
    case 'hello': return { t, v: fields.integer('v') }
    case 'refused': return { t, why: fields.text('why', limits.MAX_WHY_BYTES), records: recordsIn(fields, 'records', limits.MAX_PROOF_RECORDS) }
    case 'nodes': return { t, hashes: fields.bytes('hashes', { max: limits.MAX_ASKED_NODES * FAN_OUT * NODE_HASH_BYTES }) }
    case 'list': return { t, lists: bytesIn(fields, 'lists', limits.MAX_ASKED_BUCKETS, limits.MAX_LISTED_BYTES).map(hashesIn), isCut: fields.boolean('isCut') }
    case 'records': return { t, records: recordsIn(fields, 'records', limits.MAX_ASKED_RECORDS) }
  }
}

function fieldsOf (bytes: Uint8Array): Fields {
  return new Fields(decodeDagCbor(bytes, { maxItemCount: limits.MAX_MESSAGE_ITEMS * 2, maxNestingDepth: limits.MAX_RECORD_DEPTH }), 'A message')
}

function heartbeatIn (fields: Fields): Heartbeat {
  return {
    usedBytes: fields.integer('used'),
    freeBytes: fields.integer('free'),
    isFull: fields.boolean('full'),
    queueLength: fields.integer('queue'),
    fetching: fields.list('fetching', limits.MAX_FETCHES_TOLD).map(fetchIn),
    version: fields.text('version', limits.MAX_LABEL_BYTES)
  }
}

function fetchIn (value: Ipld): FetchTold {
  const fields = new Fields(value, 'A fetch in a heartbeat')
  return { pinKey: fields.bytes('pinKey', { max: 256 }), percent: fields.integer('percent', { max: 100 }), bytesPerSecond: fields.integer('bytesPerSecond') }
}

function numbersIn (fields: Fields, maxCount: number, end: number): number[] {
  return fields.list('of', maxCount).map((value) => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value >= end) throw new HoldfastError('INVALID', 'A message asks for a node that the tree does not have')
    return value
  })
}

function recordsIn (fields: Fields, name: string, maxCount: number): Uint8Array[] {
  return bytesIn(fields, name, maxCount, limits.MAX_RECORD_BYTES)
}

function bytesIn (fields: Fields, name: string, maxCount: number, maxBytes: number): Uint8Array[] {
  return fields.list(name, maxCount).map((value) => {
    if (!(value instanceof Uint8Array) || value.byteLength > maxBytes) throw new HoldfastError('INVALID', `A message has wrong ${name}`)
    return value
  })
}

function hashesIn (bytes: Uint8Array): string[] {
  if (bytes.byteLength % HASH_BYTES !== 0) throw new HoldfastError('INVALID', 'A message has a hash of a wrong length')
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
  return Array.from({ length: bytes.byteLength / HASH_BYTES }, (_, index) => text.slice(index * HASH_BYTES, (index + 1) * HASH_BYTES))
}

function latin1 (text: string): Uint8Array {
  return Buffer.from(text, 'latin1')
}
