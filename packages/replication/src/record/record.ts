import type { PeerId } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import { hash } from 'node:crypto'
import type { Hlc } from './hlc.ts'

/** What a member may do. Admins sign member records; admins and members write pins; readers only hold and read. */
export type Role = 'admin' | 'member' | 'reader'

export const ROLES: readonly Role[] = ['admin', 'member', 'reader']

/** How far a copy is. Only `complete` and `verified` are copies. */
export type HoldState = 'queued' | 'fetching' | 'complete' | 'verified' | 'corrupt' | 'refused' | 'dropping'

export const HOLD_STATES: readonly HoldState[] = ['queued', 'fetching', 'complete', 'verified', 'corrupt', 'refused', 'dropping']

/** Whether all below the CID is meant, or its block alone. */
export type PinMode = 'recursive' | 'direct'

export const PIN_MODES: readonly PinMode[] = ['recursive', 'direct']

/** How many copies are wanted. A pin is well from `min` on, and `max` are made. */
export interface Copies {
  readonly min: number
  readonly max: number | 'all'
}

/** The beginning of a cluster. Its id is the hash of this payload. */
export interface GenesisFields {
  readonly name: string
  readonly admin: PeerId
  readonly nonce: Uint8Array
  readonly createdMs: number
}

/** An admin's decision about a member. */
export interface MemberFields {
  readonly cluster: Uint8Array
  readonly peer: PeerId
  readonly role: Role
  readonly state: 'active' | 'removed'
  /** The last of this peer's pin records that counts. Given for readers and for who was removed. */
  readonly cutoff?: number
  /** Hash of the last of this peer's member records that counts; absent: none does. Looked at when this record ends an admin's term. */
  readonly head?: Uint8Array
  /** Hash of the signer's member record before this one. */
  readonly prev?: Uint8Array
  readonly zone?: string
  readonly hlc: Hlc
  readonly seq: number
}

/** What a member says of itself. */
export interface ProfileFields {
  readonly cluster: Uint8Array
  readonly seq: number
  /** What people call it; nothing depends on it. */
  readonly name?: string
  readonly zone: string
  readonly capacityBytes: number
  readonly version: string
  readonly addresses: readonly string[]
}

/** Somebody's decision to keep content in the cluster, or not to keep it any more. */
export interface PinFields {
  readonly cluster: Uint8Array
  readonly pinId: Uint8Array
  readonly op: 'put' | 'del'
  readonly cid: CID
  readonly mode: PinMode
  readonly name?: string
  readonly meta?: Readonly<Record<string, string>>
  readonly copies: Copies
  readonly zones?: readonly string[]
  readonly expireAtMs?: number
  /** The member that added it; its own copy counts. */
  readonly origin: PeerId
  readonly createdMs: number
  readonly hlc: Hlc
  readonly seq: number
  /** What this record replaces: of each writer all up to this seq. */
  readonly context: ReadonlyMap<PeerId, number>
}

/** What a member says of its copy of something. */
export interface HoldFields {
  readonly cluster: Uint8Array
  readonly pinKey: Uint8Array
  readonly seq: number
  readonly state: HoldState
  readonly bytes: number
  readonly hlc: Hlc
  readonly why?: string
  /** Members whose copy the writer of this found wanting. */
  readonly doubts?: readonly PeerId[]
}

/** Deleted pins that are forgotten for good: of each no record counts any more, whatever its date. */
export interface ForgetFields {
  readonly cluster: Uint8Array
  /** 1 to `MAX_FORGOTTEN_PER_RECORD`. */
  readonly pinIds: readonly Uint8Array[]
  readonly hlc: Hlc
  readonly seq: number
}

interface Proven<Kind extends string, Payload> {
  readonly kind: Kind
  readonly writer: PeerId
  /** SHA-256 of `bytes`, in latin1. */
  readonly hash: string
  /** The envelope. */
  readonly bytes: Uint8Array
  readonly fields: Payload
}

export type GenesisRecord = Proven<'genesis', GenesisFields>
export type MemberRecord = Proven<'member', MemberFields>
export type ProfileRecord = Proven<'profile', ProfileFields>
export type PinRecord = Proven<'pin', PinFields>
export type HoldRecord = Proven<'hold', HoldFields>
export type ForgetRecord = Proven<'forget', ForgetFields>

/** A record of a cluster; the genesis stands apart, for it comes before the cluster. */
export type ClusterRecord = MemberRecord | ProfileRecord | PinRecord | HoldRecord | ForgetRecord

export type AnyRecord = GenesisRecord | ClusterRecord

/** Bytes of a cluster id, and of the hash of a record. */
export const HASH_BYTES = 32

/** Bytes of a pin id. */
export const PIN_ID_BYTES = 16

/** Longest pin key: a mode and the longest multihash that is read, two varints of 2 bytes and 128 of digest. */
export const MAX_PIN_KEY_BYTES: number = 1 + 4 + 128

const MODE_BYTES: Readonly<Record<PinMode, number>> = { recursive: 0, direct: 1 }

/** What copies are counted by: the mode and the multihash, for codec and name change nothing about what is held. */
export function pinKeyBytes (cid: CID, mode: PinMode): Uint8Array {
  return Buffer.concat([Uint8Array.of(MODE_BYTES[mode]), cid.multihash.bytes])
}

/** The cluster that a genesis begins. */
export function clusterIdOf (payload: Uint8Array): Uint8Array {
  return new Uint8Array(hash('sha256', payload, 'buffer'))
}
