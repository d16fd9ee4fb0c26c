import type { PeerId } from '@holdfast/network'
import { compareHlc, type Hlc } from '../record/hlc.ts'
import { type HoldRecord, type HoldState, type MemberRecord, parseRecord, type PinRecord, pinKeyBytes, type ProfileFields, type ProfileRecord } from '../record/record.ts'
import { bucketOf } from './merkle-tree.ts'

/**
 * Names what copies are counted by: mode and multihash, in hex.
 *
 * Pins of the same content under other names or codecs share it.
 */
export type PinKey = string

export function pinKeyOf (...[cid, mode]: Parameters<typeof pinKeyBytes>): PinKey {
  return Buffer.from(pinKeyBytes(cid, mode)).toString('hex')
}

interface Stored {
  /** SHA-256 of the envelope, in latin1. */
  readonly hash: string
  readonly bucket: number
  /** The envelope in latin1: a string takes its bytes and little more. */
  readonly bytes: string
  readonly writer: PeerId
  readonly seq: number
}

/** A pin record as it is held: what merging looks at, and the bytes for everything else. */
export interface StoredPin extends Stored {
  readonly kind: 'pin'
  /** In latin1. */
  readonly pinId: string
  readonly pinKey: PinKey
  readonly isPut: boolean
  readonly hlc: Hlc
  readonly context: ReadonlyMap<PeerId, number>
}

export interface StoredHold extends Stored {
  readonly kind: 'hold'
  readonly pinKey: PinKey
  readonly state: HoldState
  readonly byteLength: number
  readonly hlc: Hlc
  readonly why?: string
}

export interface StoredProfile extends Stored {
  readonly kind: 'profile'
  readonly fields: ProfileFields
}

export interface StoredMember extends Stored {
  readonly kind: 'member'
  readonly record: MemberRecord
}

export type StoredRecord = StoredPin | StoredHold | StoredProfile | StoredMember

/** One for all pins that nobody changed. */
const NO_CONTEXT: ReadonlyMap<PeerId, number> = new Map()

export function storedPin (record: PinRecord): StoredPin {
  const { pinId, cid, mode, op, hlc, context } = record.fields
  const id = Buffer.from(pinId).toString('latin1')
  return { kind: 'pin', ...stored(record, `pin/${id}`), pinId: id, pinKey: pinKeyOf(cid, mode), isPut: op === 'put', hlc, context: context.size === 0 ? NO_CONTEXT : context }
}

export function storedHold (record: HoldRecord): StoredHold {
  const { pinKey, state, bytes, hlc, why } = record.fields
  const key = Buffer.from(pinKey).toString('hex')
  return { kind: 'hold', ...stored(record, `hold/${record.writer}/${key}`), pinKey: key, state, byteLength: bytes, hlc, ...why !== undefined && { why } }
}

export function storedProfile (record: ProfileRecord): StoredProfile {
  return { kind: 'profile', ...stored(record, `profile/${record.writer}`), fields: record.fields }
}

export function storedMember (record: MemberRecord): StoredMember {
  return { kind: 'member', ...stored(record, `member/${record.hash}`), record }
}

/** The envelope, as it was signed. */
export function envelopeOf ({ bytes }: Pick<Stored, 'bytes'>): Uint8Array {
  return Uint8Array.from(Buffer.from(bytes, 'latin1'))
}

/** All fields of a stored pin, read from its bytes. */
export function pinRecordOf (pin: StoredPin): PinRecord {
  const record = parseRecord(envelopeOf(pin), { isTrusted: true })
  if (record.kind !== 'pin') throw new TypeError('A stored pin is not a pin record')
  return record
}

/** A total order in which what was written later comes later. */
export function comparePins (a: StoredPin, b: StoredPin): number {
  return compareHlc(a.hlc, b.hlc) || compareText(a.writer, b.writer) || compareText(a.hash, b.hash)
}

/**
 * Reports whether `a` replaces `b`: its writer had seen it, or is the same.
 *
 * Never against the order of time, so that no two records, however they were forged, replace each other. A writer's own later
 * record always replaces its earlier one, so that of each pin there are at most as many records as writers.
 */
export function isReplacedBy (b: StoredPin, a: StoredPin): boolean {
  return comparePins(a, b) > 0 && (a.writer === b.writer || (a.context.get(b.writer) ?? 0) >= b.seq)
}

export function compareText (a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function stored ({ hash, bytes, writer, fields: { seq } }: { hash: string, bytes: Uint8Array, writer: PeerId, fields: { seq: number } }, key: string): Stored {
  return { hash, bucket: bucketOf(key), bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1'), writer, seq }
}
