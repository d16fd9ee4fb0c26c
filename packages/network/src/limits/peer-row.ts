/**
 * A row of the library's peer store, cut to what we keep of a peer.
 *
 * ```
 * Peer    { addresses = 1 repeated Address, protocols = 2 repeated string, public_key = 4, peer_record_envelope = 5 bytes,
 *           metadata = 6 map<string, bytes>, tags = 7 map<string, Tag>, updated = 8 uint64 }
 * Address { multiaddr = 1 bytes, isCertified = 2 bool, observed = 3 uint64 }
 * ```
 *
 * The library puts in what a peer says of itself in ten messages of 8 KiB, and what any DHT server says of others, without a bound.
 *
 * @see https://github.com/libp2p/js-libp2p/blob/main/packages/peer-store/src/pb/peer.proto
 */
import { HoldfastError, ProtobufReader, varintLength, writeVarint } from '@holdfast/core'
import { MAX_ADDRESS_BYTES, MAX_PEER_ADDRESSES, MAX_PEER_METADATA_BYTES, MAX_PEER_PROTOCOLS, MAX_PEER_RECORD_BYTES, MAX_PROTOCOL_CHARACTERS } from '../limits.ts'

const ADDRESSES = 1
const PROTOCOLS = 2
const PUBLIC_KEY = 4
const ENVELOPE = 5
const METADATA = 6
const TAGS = 7
const UPDATED = 8

/** A public key of the largest RSA that the library reads, with its envelope. */
const MAX_KEY_BYTES = 2 << 10

/** Tags come from our own code, which has three. */
const MAX_TAGS = 32

interface PeerRow {
  readonly addresses: Array<{ readonly bytes: Uint8Array, readonly isCertified: boolean }>
  readonly protocols: Uint8Array[]
  readonly metadata: Uint8Array[]
  metadataBytes: number
  readonly tags: Uint8Array[]
  key?: Uint8Array
  envelope?: Uint8Array
  updated?: number
}

/**
 * Returns the row without what is beyond the limits. Of the addresses those that the peer itself signed are kept first.
 *
 * @throws `INVALID` for bytes that are no such row.
 */
export function cutPeerRow (bytes: Uint8Array): Uint8Array {
  const row: PeerRow = { addresses: [], protocols: [], metadata: [], metadataBytes: 0, tags: [] }
  const reader = new ProtobufReader(bytes)
  while (!reader.done) readField(reader, row)
  const addresses = row.addresses.toSorted((a, b) => Number(b.isCertified) - Number(a.isCertified)).slice(0, MAX_PEER_ADDRESSES)
  return Buffer.concat([
    ...addresses.flatMap(({ bytes }) => field(ADDRESSES, bytes)),
    ...row.protocols.flatMap((protocol) => field(PROTOCOLS, protocol)),
    ...(row.key === undefined ? [] : field(PUBLIC_KEY, row.key)),
    ...(row.envelope === undefined ? [] : field(ENVELOPE, row.envelope)),
    ...row.metadata.flatMap((entry) => field(METADATA, entry)),
    ...row.tags.flatMap((tag) => field(TAGS, tag)),
    ...(row.updated === undefined ? [] : [varints(UPDATED << 3, row.updated)])
  ])
}

function readField (reader: ProtobufReader, row: PeerRow): void {
  const tag = reader.varint()
  if (tag === UPDATED << 3) {
    row.updated = reader.varint()
    return
  }
  if ((tag & 7) !== LENGTH_DELIMITED) throw new HoldfastError('INVALID', `Not a row of the peer store: tag ${tag}`)
  keep(tag >> 3, reader.bytes(), row)
}

function keep (number: number, bytes: Uint8Array, row: PeerRow): void {
  if (number === ADDRESSES) {
    const { addressBytes, isCertified } = readAddress(bytes)
    if (addressBytes <= MAX_ADDRESS_BYTES) row.addresses.push({ bytes, isCertified })
  } else if (number === PROTOCOLS) {
    if (row.protocols.length < MAX_PEER_PROTOCOLS && bytes.byteLength <= MAX_PROTOCOL_CHARACTERS) row.protocols.push(bytes)
  } else if (number === PUBLIC_KEY) {
    if (bytes.byteLength <= MAX_KEY_BYTES) row.key = bytes
  } else if (number === ENVELOPE) {
    if (bytes.byteLength <= MAX_PEER_RECORD_BYTES) row.envelope = bytes
  } else if (number === METADATA) {
    if (row.metadataBytes + bytes.byteLength > MAX_PEER_METADATA_BYTES) return
    row.metadataBytes += bytes.byteLength
    row.metadata.push(bytes)
  } else if (number === TAGS) {
    if (row.tags.length < MAX_TAGS) row.tags.push(bytes)
  }
}

function readAddress (bytes: Uint8Array): { addressBytes: number, isCertified: boolean } {
  const reader = new ProtobufReader(bytes)
  let addressBytes = 0
  let isCertified = false
  while (!reader.done) {
    const tag = reader.varint()
    if ((tag & 7) === LENGTH_DELIMITED) {
      addressBytes += reader.bytes().byteLength
    } else {
      const value = reader.varint()
      if (tag >> 3 === 2) isCertified = value === 1
    }
  }
  return { addressBytes, isCertified }
}

const LENGTH_DELIMITED = 2

function field (number: number, bytes: Uint8Array): Uint8Array[] {
  return [varints(number << 3 | LENGTH_DELIMITED, bytes.byteLength), bytes]
}

function varints (first: number, second: number): Uint8Array {
  const out = new Uint8Array(varintLength(first) + varintLength(second))
  writeVarint(out, writeVarint(out, 0, first), second)
  return out
}
