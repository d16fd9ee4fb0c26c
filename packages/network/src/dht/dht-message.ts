/**
 * The message of Kademlia, read with limits.
 *
 * ```
 * Message  { type = 1 enum, key = 2 bytes, record = 3 bytes, closer = 8 repeated PeerInfo, providers = 9 repeated PeerInfo }
 * PeerInfo { id = 1 bytes, multiaddrs = 2 repeated bytes, connection = 3 enum }
 * ```
 *
 * The library decodes without any limit: 4 MiB of empty entries cost it 1.1 GiB and 1.6 s. Here surplus entries are passed
 * over before anything is made of them, and so is a peer or an address that cannot be read, for which the library would drop
 * the whole message.
 *
 * @see https://github.com/libp2p/specs/blob/master/kad-dht/README.md#rpc-messages
 */
import { HoldfastError, ProtobufReader, varintLength, writeVarint } from '@holdfast/core'
import { peerIdFromMultihash } from '@libp2p/peer-id'
import * as Digest from 'multiformats/hashes/digest'
import { readMultiaddr } from '../addresses.ts'
import { MAX_ADDRESS_BYTES, MAX_PEER_ADDRESSES } from '../limits.ts'

/** The numbers of the types on the wire. */
export const DHT_MESSAGE = { putValue: 0, getValue: 1, addProvider: 2, getProviders: 3, findNode: 4, ping: 5 } as const

/** Bytes of a request. An ordinary one is below 1 KiB; the largest carries an IPNS record of 10 KiB. reliability.md 2.3. */
export const MAX_DHT_REQUEST_BYTES: number = 64 << 10

/** Bytes of an answer: Go servers fill GET_PROVIDERS up to this. reliability.md 2.3. */
export const MAX_DHT_REPLY_BYTES: number = 4 << 20

/** Peers that are taken of each list, those with addresses first. The DHT works with 20 (k), a search ends with 20 providers. */
export const MAX_DHT_PEERS = 20

/** Entries of each list that are looked at for these; the rest is passed over. A server that names the target beside its k has 21. */
export const MAX_DHT_PEERS_READ = 40

/** Addresses that are taken of one peer, those for TCP first, as no other is dialled. Go nodes announce some ten. */
export const MAX_DHT_ADDRESSES = 16

/** As above, of an answer: all of its peers may be dialled, and the library sorts the addresses of each by eight rules. */
export const MAX_DHT_ANSWER_ADDRESSES = 8

/** Entries that are passed over, before a message is no longer worth reading: 4 MiB of peers with one address have 60,000. */
export const MAX_DHT_ENTRIES = 65_536

/** Bytes of a key: a multihash with a digest of 64, or `/ipns/` and a peer id. Go refuses above 80. */
export const MAX_DHT_KEY_BYTES = 80

/** Bytes of a record: IPNS allows 10 KiB, and the envelope repeats the key. */
export const MAX_DHT_RECORD_BYTES: number = 16 << 10

/** Bytes of a peer id as a multihash; an identity hash of the longest key that is written inline has 44. */
const MAX_PEER_ID_BYTES = 64

export interface DhtPeer {
  /** The peer id as a multihash. */
  readonly id: Uint8Array
  readonly addresses: readonly Uint8Array[]
}

export interface DhtMessage {
  readonly type: number
  readonly key?: Uint8Array
  readonly record?: Uint8Array
  readonly closer: readonly DhtPeer[]
  readonly providers: readonly DhtPeer[]
}

/**
 * Reads a message; what it holds are views into `bytes`.
 *
 * @param options.maxAddresses Of each peer. @default MAX_DHT_ADDRESSES
 * @throws `INVALID` for bytes that are not a message, `LIMIT` for a key or record that is too long or too many entries.
 */
export function decodeDhtMessage (bytes: Uint8Array, { maxAddresses = MAX_DHT_ADDRESSES }: { maxAddresses?: number } = {}): DhtMessage {
  const reader = new ProtobufReader(bytes)
  const message: { type: number, key?: Uint8Array, record?: Uint8Array } = { type: DHT_MESSAGE.putValue }
  const closer: PeerList = { readCount: 0, peers: [] }
  const providers: PeerList = { readCount: 0, peers: [] }
  const limits = { entryCount: 0, maxAddresses }

  while (!reader.done) {
    countEntry(limits)
    const tag = reader.varint()
    if (tag === TYPE_TAG) message.type = reader.varint()
    else if (tag === KEY_TAG) message.key = bounded(reader.bytes(), MAX_DHT_KEY_BYTES, 'key')
    else if (tag === RECORD_TAG) message.record = bounded(reader.bytes(), MAX_DHT_RECORD_BYTES, 'record')
    else if (tag === CLOSER_TAG) takePeer(reader.bytes(), closer, limits)
    else if (tag === PROVIDERS_TAG) takePeer(reader.bytes(), providers, limits)
    else skip(reader, tag)
  }
  return { ...message, closer: bestPeers(closer), providers: bestPeers(providers) }
}

/** Writes a message; an absent list, key or record is not written. */
export function encodeDhtMessage ({ type, key, record, closer, providers }: DhtMessage): Uint8Array {
  const parts: Uint8Array[] = [encodeVarints(TYPE_TAG, type)]
  if (key !== undefined) parts.push(...field(KEY_TAG, key))
  if (record !== undefined) parts.push(...field(RECORD_TAG, record))
  for (const peer of closer) parts.push(...field(CLOSER_TAG, encodePeer(peer)))
  for (const peer of providers) parts.push(...field(PROVIDERS_TAG, encodePeer(peer)))
  return Buffer.concat(parts)
}

/** `bytes` behind their length, as every message travels. */
export function frame (bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(varintLength(bytes.byteLength) + bytes.byteLength)
  out.set(bytes, writeVarint(out, 0, bytes.byteLength))
  return out
}

const VARINT = 0
const FIXED_64 = 1
const LENGTH_DELIMITED = 2
const FIXED_32 = 5

const TYPE_TAG = (1 << 3) | VARINT
const KEY_TAG = (2 << 3) | LENGTH_DELIMITED
const RECORD_TAG = (3 << 3) | LENGTH_DELIMITED
const CLOSER_TAG = (8 << 3) | LENGTH_DELIMITED
const PROVIDERS_TAG = (9 << 3) | LENGTH_DELIMITED

const ID_TAG = (1 << 3) | LENGTH_DELIMITED
const ADDRESSES_TAG = (2 << 3) | LENGTH_DELIMITED

interface MessageLimits {
  /** Entries of the message so far, those inside of peers with them. */
  entryCount: number
  readonly maxAddresses: number
}

function countEntry (limits: MessageLimits): void {
  if (++limits.entryCount > MAX_DHT_ENTRIES) throw new HoldfastError('LIMIT', `DHT message of more than ${MAX_DHT_ENTRIES} entries`)
}

interface PeerList {
  readCount: number
  readonly peers: DhtPeer[]
}

function takePeer (bytes: Uint8Array, list: PeerList, limits: MessageLimits): void {
  if (list.readCount === MAX_DHT_PEERS_READ) return
  list.readCount++
  const peer = decodePeer(bytes, limits)
  if (peer !== undefined) list.peers.push(peer)
}

/** Only of those that are kept is anything made: each address costs some 5 µs, and an answer has room for hundreds of thousands. */
function bestPeers ({ peers }: PeerList): DhtPeer[] {
  const best = bestOf(peers, ({ addresses }) => addresses.length > 0, MAX_DHT_PEERS)
  return best.map(({ id, addresses }) => ({ id, addresses: addresses.filter((address) => readMultiaddr(address) !== undefined) }))
}

/** The first `maxCount`, if there are more: first those that are `better`, each kind in its order. */
function bestOf<T> (all: readonly T[], better: (one: T) => boolean, maxCount: number): T[] {
  return all.length <= maxCount ? [...all] : [...all.filter(better), ...all.filter((one) => !better(one))].slice(0, maxCount)
}

function decodePeer (bytes: Uint8Array, limits: MessageLimits): DhtPeer | undefined {
  const reader = new ProtobufReader(bytes)
  const addresses: Uint8Array[] = []
  let id: Uint8Array | undefined
  while (!reader.done) {
    countEntry(limits)
    const tag = reader.varint()
    if (tag === ID_TAG) {
      id = reader.bytes()
    } else if (tag === ADDRESSES_TAG) {
      const address = reader.bytes()
      if (addresses.length < MAX_PEER_ADDRESSES && isPlace(address)) addresses.push(address)
    } else {
      skip(reader, tag)
    }
  }
  if (id === undefined || !isPeerId(id)) return undefined
  return { id, addresses: bestOf(addresses, isForTcp, limits.maxAddresses) }
}

/** Whether an address begins as one that leads to a machine. */
function isPlace (address: Uint8Array): boolean {
  return address.byteLength <= MAX_ADDRESS_BYTES && PLACES.has(address[0] ?? 0)
}

/** ip4, ip6, ip6zone, dns, dns4, dns6 and dnsaddr. https://github.com/multiformats/multiaddr/blob/master/protocols.csv */
const PLACES: ReadonlySet<number> = new Set([4, 41, 42, 53, 54, 55, 56])

/** Whether `/ip4/…` or `/ip6/…` is followed by `/tcp/…`; of names this does not tell, and they count as such. */
function isForTcp (address: Uint8Array): boolean {
  if (address[0] === IP4) return address[5] === TCP
  if (address[0] === IP6) return address[17] === TCP
  return true
}

const IP4 = 4
const IP6 = 41
const TCP = 6

function isPeerId (bytes: Uint8Array): boolean {
  if (bytes.byteLength > MAX_PEER_ID_BYTES) return false
  try {
    peerIdFromMultihash(Digest.decode(bytes))
    return true
  } catch {
    return false
  }
}

/** Fields that newer peers may send. */
function skip (reader: ProtobufReader, tag: number): void {
  const wireType = tag % 8
  if (wireType === VARINT) reader.varint64()
  else if (wireType === FIXED_64) reader.take(8)
  else if (wireType === LENGTH_DELIMITED) reader.bytes()
  else if (wireType === FIXED_32) reader.take(4)
  else throw new HoldfastError('INVALID', `Not a DHT message: wire type ${wireType}`)
}

function bounded (bytes: Uint8Array, maxBytes: number, what: string): Uint8Array {
  if (bytes.byteLength > maxBytes) throw new HoldfastError('LIMIT', `DHT message with a ${what} of ${bytes.byteLength} bytes; at most ${maxBytes} are read`)
  return bytes
}

function encodePeer ({ id, addresses }: DhtPeer): Uint8Array {
  return Buffer.concat([...field(ID_TAG, id), ...addresses.flatMap((address) => field(ADDRESSES_TAG, address))])
}

function field (tag: number, bytes: Uint8Array): Uint8Array[] {
  return [encodeVarints(tag, bytes.byteLength), bytes]
}

function encodeVarints (first: number, second: number): Uint8Array {
  const out = new Uint8Array(varintLength(first) + varintLength(second))
  writeVarint(out, writeVarint(out, 0, first), second)
  return out
}
