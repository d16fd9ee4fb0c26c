import { HoldfastError, type Ipld } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import { type JournalRecord } from './journal/record.ts'

/** Whether a pin keeps a block with all below it, or the block alone. */
export type PinKind = 'recursive' | 'direct'

/** Whom a pin is for: a pin without an owner is the user's; the cluster's come and go with what its members decide. */
export type PinOwner = 'cluster'

/** Someone's decision to keep content. */
export interface Pin {
  /** UUID. A removal names the pins it saw by their ids, and so erases no other. */
  readonly id: string
  readonly cid: CID
  readonly kind: PinKind
  readonly name?: string
  /** Absent: the user's. */
  readonly owner?: PinOwner
  /** Milliseconds since 1970. Rises strictly from pin to pin of a node, so it orders them. */
  readonly createdMs: number
}

/** Longest name of a pin, in bytes of UTF-8 (Kubo's limit; the Pinning Service API's is 255 characters). */
export const MAX_PIN_NAME_BYTES = 255

/** Most ids of one `unpin` record: 64 KiB of them. */
const MAX_IDS_PER_RECORD = 1024

/** The kinds of journal records that a pin set reads and writes. */
export const PIN_RECORD_KINDS: readonly string[] = ['pin', 'unpin']

export function pinRecord ({ id, cid, kind, name, owner, createdMs }: Pin): JournalRecord {
  return { kind: 'pin', value: { id, cid, kind, ...(name !== undefined && { name }), ...(owner !== undefined && { owner }), createdMs } }
}

export function unpinRecords (ids: readonly string[]): JournalRecord[] {
  const records: JournalRecord[] = []
  for (let at = 0; at < ids.length; at += MAX_IDS_PER_RECORD) {
    records.push({ kind: 'unpin', value: { ids: ids.slice(at, at + MAX_IDS_PER_RECORD) } })
  }
  return records
}

/** Reads the value of a `pin` record. @throws `CORRUPT` when it is none. */
export function pinOf (value: Ipld): Pin {
  const { id, cid, kind, name, owner, createdMs } = fieldsOf(value)
  const link = CID.asCID(cid)
  if (typeof id !== 'string' || link === null || !isPinKind(kind) || typeof createdMs !== 'number' || !isTime(createdMs) || !(name === undefined || typeof name === 'string') || !(owner === undefined || owner === 'cluster')) {
    throw new HoldfastError('CORRUPT', 'A pin record of the journal is not of the form that is read here')
  }
  return { id, cid: link, kind, ...(name !== undefined && { name }), ...(owner !== undefined && { owner }), createdMs }
}

/** Reads the value of an `unpin` record. @throws `CORRUPT` when it is none. */
export function unpinnedIdsOf (value: Ipld): string[] {
  const { ids } = fieldsOf(value)
  if (!Array.isArray(ids) || !ids.every((id) => typeof id === 'string')) {
    throw new HoldfastError('CORRUPT', 'An unpin record of the journal is not of the form that is read here')
  }
  return ids
}

export function isPinKind (value: unknown): value is PinKind {
  return value === 'recursive' || value === 'direct'
}

/** Latest time that ECMAScript can tell (§"Time Values and Time Range"). */
const MAX_TIME_MS = 8.64e15

function isTime (value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= MAX_TIME_MS
}

function fieldsOf (value: Ipld): Readonly<Record<string, Ipld | undefined>> {
  return value !== null && typeof value === 'object' && !Array.isArray(value) && !(value instanceof Uint8Array) && CID.asCID(value) === null
    ? value as Readonly<Record<string, Ipld>>
    : {}
}
