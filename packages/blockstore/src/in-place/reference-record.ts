/**
 * References as the journal keeps them (docs/formats/references-in-place.md).
 *
 * ```
 * in-place      { path: string, entries: bytes }     entry: length of the multihash 1 | multihash | offset 6 | length 4
 * in-place-rm   { multihashes: bytes }               entry: length of the multihash 1 | multihash
 * ```
 */
import { HoldfastError, type Ipld, MAX_BLOCK_BYTES } from '@holdfast/core'
import { isAbsolute } from 'node:path'
import { MAX_MULTIHASH_BYTES, type Reference } from './reference-table.ts'

/** One record of the log: what it is, and its value. */
export interface ReferenceRecord {
  readonly kind: string
  readonly value: Ipld
}

/** The kinds of records that are ours. */
export const REFERENCE_KINDS = ['in-place', 'in-place-rm'] as const

/** Most entries of one record: with the longest multihashes some 600 KiB, and the journal takes 1 MiB. */
export const MAX_RECORD_ENTRIES = 4096

/** Bytes of an entry beside the multihash. */
const REFERENCE_BYTES = 11

/** Most bytes of a file that an offset counts: 6 bytes of it. */
const MAX_OFFSET: number = 2 ** 48 - 1

/** What a record says. */
export type ReferenceChange = { readonly referred: Reference } | { readonly released: Uint8Array }

/** Encodes references, each record those of one file that stand together. */
export function * encodeReferences (references: Iterable<Reference>): Generator<ReferenceRecord> {
  let path: string | undefined
  let entries: Buffer[] = []
  for (const reference of references) {
    if (entries.length > 0 && (reference.path !== path || entries.length === MAX_RECORD_ENTRIES)) {
      yield referenceRecord(path ?? '', entries)
      entries = []
    }
    path = reference.path
    entries.push(encodeEntry(reference))
  }
  if (entries.length > 0) yield referenceRecord(path ?? '', entries)
}

/** Encodes that these are no references any more. */
export function * encodeReleases (multihashes: readonly Uint8Array[]): Generator<ReferenceRecord> {
  for (let at = 0; at < multihashes.length; at += MAX_RECORD_ENTRIES) {
    const entries = multihashes.slice(at, at + MAX_RECORD_ENTRIES).flatMap((multihash) => [Uint8Array.of(multihash.byteLength), multihash])
    yield { kind: 'in-place-rm', value: { multihashes: plain(Buffer.concat(entries)) } }
  }
}

/**
 * Reads a record; one of another kind says nothing.
 *
 * @throws `CORRUPT` for a record of ours that is malformed.
 */
export function * decodeReferenceRecord ({ kind, value }: ReferenceRecord): Generator<ReferenceChange> {
  if (kind !== 'in-place' && kind !== 'in-place-rm') return
  if (value === null || typeof value !== 'object' || Array.isArray(value) || value instanceof Uint8Array) throw malformed(kind)
  const { path, entries, multihashes } = value as Readonly<Record<string, Ipld>>
  if (kind === 'in-place-rm') {
    if (!(multihashes instanceof Uint8Array)) throw malformed(kind)
    for (const { multihash } of splitEntries(multihashes, { kind, tailBytes: 0 })) yield { released: multihash }
    return
  }
  if (typeof path !== 'string' || !isAbsolute(path) || !(entries instanceof Uint8Array)) throw malformed(kind)
  for (const { multihash, tail } of splitEntries(entries, { kind, tailBytes: REFERENCE_BYTES - 1 })) {
    const [offset, byteLength] = [tail.readUIntLE(0, 6), tail.readUInt32LE(6)]
    if (byteLength > MAX_BLOCK_BYTES) throw malformed(kind)
    yield { referred: { multihash, path, offset, byteLength } }
  }
}

function referenceRecord (path: string, entries: readonly Buffer[]): ReferenceRecord {
  return { kind: 'in-place', value: { path, entries: plain(Buffer.concat(entries)) } }
}

function encodeEntry ({ multihash, path, offset, byteLength }: Reference): Buffer {
  if (offset > MAX_OFFSET) throw new HoldfastError('LIMIT', `Cannot refer to ${path}: it is longer than 256 TiB`, { path })
  const entry = Buffer.alloc(REFERENCE_BYTES + multihash.byteLength)
  entry[0] = multihash.byteLength
  entry.set(multihash, 1)
  entry.writeUIntLE(offset, 1 + multihash.byteLength, 6)
  entry.writeUInt32LE(byteLength, 7 + multihash.byteLength)
  return entry
}

function * splitEntries (bytes: Uint8Array, { kind, tailBytes }: { readonly kind: string, readonly tailBytes: number }): Generator<{ readonly multihash: Uint8Array, readonly tail: Buffer }> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0; at < buffer.byteLength;) {
    const length = buffer[at] ?? 0
    const end = at + 1 + length
    if (length < 2 || length > MAX_MULTIHASH_BYTES || end + tailBytes > buffer.byteLength) throw malformed(kind)
    yield { multihash: buffer.subarray(at + 1, end), tail: buffer.subarray(end, end + tailBytes) }
    at = end + tailBytes
  }
}

/** DAG-CBOR takes no Buffer. */
function plain ({ buffer, byteOffset, byteLength }: Buffer): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength)
}

function malformed (kind: string): HoldfastError {
  return new HoldfastError('CORRUPT', `A record of kind ${kind} in the journal is malformed: it was written by another program`, { kind })
}
