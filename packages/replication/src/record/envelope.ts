/**
 * A signed record.
 *
 * ```
 * envelope = canonical dag-cbor { v: 1, kind: text, payload: bytes, writer: peer id bytes, sig: 64 bytes }
 * signed   = "holdfast-record:" kind ":" payload
 * ```
 *
 * @see docs/formats/records.md
 */
import { decodeDagCbor, HoldfastError, isHoldfastError } from '@holdfast/core'
import { type Identity, type PeerId, SIGNATURE_BYTES, verifySignature } from '@holdfast/network'
import { encode } from '@ipld/dag-cbor'
import { hash } from 'node:crypto'
import { MAX_RECORD_BYTES, MAX_RECORD_DEPTH, MAX_RECORD_ITEMS } from '../limits.ts'
import { splitEnvelope } from './envelope-layout.ts'
import { Fields } from './fields.ts'
import { peerFromBytes, peerToBytes } from './peer-bytes.ts'

/** What a record is about. */
export type RecordKind = 'genesis' | 'member' | 'profile' | 'pin' | 'hold' | 'forget'

export const RECORD_KINDS: readonly RecordKind[] = ['genesis', 'member', 'profile', 'pin', 'hold', 'forget']

/** Version of the envelope that is read and written here. */
export const RECORD_VERSION = 1

/** The envelope of a record, decoded. Nothing is proven about the signature: `isSigned` tells. */
export interface Envelope {
  readonly kind: RecordKind
  /** The fields, as they were signed. What a newer version put there stays in these bytes. */
  readonly payload: Uint8Array
  readonly writer: PeerId
  readonly signature: Uint8Array
  /** The envelope as it is stored and sent. */
  readonly bytes: Uint8Array
}

/** Signs a payload. @throws `LIMIT` when the record is longer than `MAX_RECORD_BYTES`. */
export function signEnvelope (identity: Identity, kind: RecordKind, payload: Uint8Array): Envelope {
  const signature = identity.sign(signedBytes(kind, payload))
  const bytes = encodeEnvelope({ kind, payload, writer: identity.peerId, signature })
  if (bytes.byteLength > MAX_RECORD_BYTES) {
    throw new HoldfastError('LIMIT', `Record of kind ${kind} has ${bytes.byteLength} bytes; at most ${MAX_RECORD_BYTES} are kept. Use a shorter name or less meta`, { kind, byteLength: bytes.byteLength })
  }
  return { kind, payload, writer: identity.peerId, signature, bytes }
}

export interface DecodeOptions {
  /** Whether the bytes were read once before, so that their form needs no second look: it takes half of the time. @default false */
  isTrusted?: boolean
}

/**
 * Reads an envelope. Only the one canonical form is taken, so that nobody can give a record a second hash.
 *
 * @throws `INVALID` for bytes that are no envelope, `LIMIT` for too many of them, `UNSUPPORTED` for a version or kind that is not read here.
 */
export function decodeEnvelope (bytes: Uint8Array, options: DecodeOptions = {}): Envelope {
  if (bytes.byteLength > MAX_RECORD_BYTES) throw new HoldfastError('LIMIT', `Record has ${bytes.byteLength} bytes; at most ${MAX_RECORD_BYTES} are read`, { byteLength: bytes.byteLength })
  return readLayout(bytes) ?? decodeAny(bytes, options)
}

/** What every envelope looks like that is written here; `undefined` for others. */
function readLayout (bytes: Uint8Array): Envelope | undefined {
  const parts = splitEnvelope(bytes)
  const kind = RECORD_KINDS.find((name) => name === parts?.kind)
  const writer = parts === undefined ? undefined : peerFromBytes(parts.writer)
  if (parts === undefined || kind === undefined || writer === undefined) return undefined
  return { kind, payload: parts.payload, writer, signature: parts.signature, bytes }
}

function decodeAny (bytes: Uint8Array, options: DecodeOptions): Envelope {
  const fields = decodeFields(bytes, 'A record', options)
  if (fields.integer('v') !== RECORD_VERSION) throw new HoldfastError('UNSUPPORTED', `Records of version ${fields.integer('v')} are not read here`)
  const kind = fields.text('kind', 64)
  const known = RECORD_KINDS.find((name) => name === kind)
  if (known === undefined) throw new HoldfastError('UNSUPPORTED', `Records of kind ${JSON.stringify(kind)} are not read here`, { kind })
  const envelope = {
    kind: known,
    payload: fields.bytes('payload', { max: MAX_RECORD_BYTES }),
    writer: fields.peer('writer'),
    signature: fields.bytes('sig', { min: SIGNATURE_BYTES, max: SIGNATURE_BYTES }),
    bytes
  }
  // A map of more fields is canonical too, and no envelope.
  if (options.isTrusted !== true && !sameBytes(encodeEnvelope(envelope), bytes)) throw new HoldfastError('INVALID', 'A record is not in canonical form')
  return envelope
}

/** Reports whether the writer signed it. Costs 0.1 ms. */
export function isSigned ({ kind, payload, writer, signature }: Envelope): boolean {
  return verifySignature(writer, signedBytes(kind, payload), signature)
}

/** The name of a record: SHA-256 of the envelope, in latin1. */
export function hashOf (bytes: Uint8Array): string {
  return hash('sha256', bytes, 'buffer').toString('latin1')
}

/** Decodes the map in a payload within the limits of a record. @throws `INVALID` also for one that is not in canonical form. */
export function decodeFields (bytes: Uint8Array, what: string, { isTrusted = false }: DecodeOptions = {}): Fields {
  try {
    const value = decodeDagCbor(bytes, { maxItemCount: MAX_RECORD_ITEMS, maxNestingDepth: MAX_RECORD_DEPTH })
    if (!isTrusted && !sameBytes(encode(value), bytes)) throw new HoldfastError('INVALID', `${what} is not in canonical form`)
    return new Fields(value, what)
  } catch (cause) {
    if (isHoldfastError(cause)) throw cause
    throw new HoldfastError('INVALID', `${what} is not dag-cbor`, { cause })
  }
}

function encodeEnvelope ({ kind, payload, writer, signature }: Omit<Envelope, 'bytes'>): Uint8Array {
  return encode({ v: RECORD_VERSION, kind, payload, writer: peerToBytes(writer), sig: signature })
}

function signedBytes (kind: RecordKind, payload: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`holdfast-record:${kind}:`), payload])
}

function sameBytes (a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
