import { CODECS } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import { CID } from 'multiformats/cid'
import { decode as decodeDigest } from 'multiformats/hashes/digest'
import { compareHlc, type Hlc } from '../record/hlc.ts'
import { parseRecord } from '../record/parse-record.ts'
import { type ForgetRecord, type HoldRecord, type HoldState, type MemberRecord, type PinMode, type PinRecord, pinKeyBytes, type ProfileFields, type ProfileRecord } from '../record/record.ts'
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

/** A CID of what a key names; its codec says nothing. */
export function cidOfPinKey (pinKey: PinKey): CID {
  return CID.createV1(CODECS.raw, decodeDigest(Buffer.from(pinKey, 'hex').subarray(1)))
}

export function modeOfPinKey (pinKey: PinKey): PinMode {
  return pinKey.startsWith('00') ? 'recursive' : 'direct'
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
  readonly doubts?: readonly PeerId[]
}

export interface StoredProfile extends Stored {
  readonly kind: 'profile'
  readonly fields: ProfileFields
}

export interface StoredMember extends Stored {
  readonly kind: 'member'
  readonly record: MemberRecord
}

export interface StoredForget extends Stored {
  readonly kind: 'forget'
}

export type StoredRecord = StoredPin | StoredHold | StoredProfile | StoredMember | StoredForget

/** One for all pins that nobody changed. */
const NO_CONTEXT: ReadonlyMap<PeerId, number> = new Map()

/** What of a pin record merging looks at. */
export type PinWord = Pick<StoredPin, 'hash' | 'writer' | 'seq' | 'pinId' | 'hlc' | 'context'>

export function pinWordOf ({ hash, writer, fields: { pinId, seq, hlc, context } }: PinRecord): PinWord {
  return { hash, writer, seq, pinId: Buffer.from(pinId).toString('latin1'), hlc, context: context.size === 0 ? NO_CONTEXT : context }
}

/** What of a hold record merging looks at. */
export type HoldWord = Pick<StoredHold, 'hash' | 'writer' | 'seq' | 'pinKey'>

export function holdWordOf ({ hash, writer, fields: { pinKey, seq } }: HoldRecord): HoldWord {
  return { hash, writer, seq, pinKey: Buffer.from(pinKey).toString('hex') }
}

export function storedPin (record: PinRecord): StoredPin {
  const { cid, mode, op } = record.fields
  const word = pinWordOf(record)
  return { kind: 'pin', ...stored(record, `pin/${word.pinId}`), ...word, pinKey: pinKeyOf(cid, mode), isPut: op === 'put' }
}

export function storedHold (record: HoldRecord): StoredHold {
  const { state, bytes, hlc, why, doubts } = record.fields
  const word = holdWordOf(record)
  return { kind: 'hold', ...stored(record, `hold/${record.writer}/${word.pinKey}`), ...word, state, byteLength: bytes, hlc, ...why !== undefined && { why }, ...doubts !== undefined && { doubts } }
}

export function storedProfile (record: ProfileRecord): StoredProfile {
  return { kind: 'profile', ...stored(record, `profile/${record.writer}`), fields: record.fields }
}

export function storedMember (record: MemberRecord): StoredMember {
  return { kind: 'member', ...stored(record, `member/${record.hash}`), record }
}

export function storedForget (record: ForgetRecord): StoredForget {
  return { kind: 'forget', ...stored(record, `forget/${record.hash}`) }
}

/** The pins that a record has forgotten, by their ids in latin1. */
export function forgottenIn (forget: StoredForget): string[] {
  const record = parseRecord(envelopeOf(forget), { isTrusted: true })
  return record.kind === 'forget' ? record.fields.pinIds.map((id) => Buffer.from(id).toString('latin1')) : []
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
export function comparePins (a: PinWord, b: PinWord): number {
  return compareHlc(a.hlc, b.hlc) || compareText(a.writer, b.writer) || compareText(a.hash, b.hash)
}

/**
 * Reports whether `a` replaces `b`: its writer had seen it, or is the same.
 *
 * Never against the order of time, so that no two records, however they were forged, replace each other. A writer's own later
 * record always replaces its earlier one, so that of each pin there are at most as many records as writers.
 */
export function isReplacedBy (b: PinWord, a: PinWord): boolean {
  return comparePins(a, b) > 0 && (a.writer === b.writer || (a.context.get(b.writer) ?? 0) >= b.seq)
}

/** One writer's word on one thing: the highest seq decides, of two with the same the higher hash. */
export function isNewer (word: Pick<Stored, 'hash' | 'seq'>, known: Pick<Stored, 'hash' | 'seq'> | undefined): boolean {
  return known === undefined || word.seq > known.seq || word.seq === known.seq && word.hash > known.hash
}

export function compareText (a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function stored ({ hash, bytes, writer, fields: { seq } }: { hash: string, bytes: Uint8Array, writer: PeerId, fields: { seq: number } }, key: string): Stored {
  return { hash, bucket: bucketOf(key), bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1'), writer, seq }
}
