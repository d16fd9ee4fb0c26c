/**
 * Bytes of Bitswap, Kademlia and identify as an attacker makes them: without any of the limits and checks of our packages.
 *
 * ```
 * frame   = length varint, message
 * field   = (number << 3 | 2) varint, length varint, bytes
 * Bitswap { wantlist = 1 { entries = 1 { cid = 1, priority = 2, cancel = 3, type = 4, sendDontHave = 5 } }, payload = 3 { prefix = 1, data = 2 }, presences = 4 { cid = 1, type = 2 } }
 * DHT     { type = 1, key = 2, closer = 8 { id = 1, multiaddrs = 2 }, providers = 9 { id = 1, multiaddrs = 2 } }
 * ```
 */
import { randomBytes } from 'node:crypto'

export const MIB: number = 1 << 20

/** The longest message that any of the protocols allows, without its length. */
export const FULL_MESSAGE_BYTES: number = 4 * MIB

export const BITSWAP = '/ipfs/bitswap/1.2.0'
export const LAN_KAD = '/ipfs/lan/kad/1.0.0'

/** Numbers of the DHT's requests. */
export const ADD_PROVIDER = 2
export const GET_PROVIDERS = 3
export const FIND_NODE = 4

export function varint (value: number): Uint8Array {
  const bytes: number[] = []
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push(value % 0x80 | 0x80)
  return Uint8Array.from([...bytes, value])
}

/** One length-delimited field. */
export function field (number: number, ...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([varint(number << 3 | 2), varint(parts.reduce((sum, { byteLength }) => sum + byteLength, 0)), ...parts])
}

/** One field of a number. */
export function numberField (number: number, value: number): Uint8Array {
  return Buffer.concat([varint(number << 3), varint(value)])
}

export function frame (...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([varint(parts.reduce((sum, { byteLength }) => sum + byteLength, 0)), ...parts])
}

/** A CID of a raw block that nobody has. */
export function randomCid (): Uint8Array {
  return Buffer.concat([CID_HEAD, randomBytes(32)])
}

/** A peer id that reads well and belongs to nobody: an Ed25519 key of random bytes, as a multihash. */
export function randomPeer (): Uint8Array {
  return Buffer.concat([PEER_HEAD, randomBytes(32)])
}

export function wantHave (cid: Uint8Array): Uint8Array {
  return field(1, field(1, cid), numberField(2, 1), numberField(4, 1), numberField(5, 1))
}

export function wantBlock (cid: Uint8Array): Uint8Array {
  return field(1, field(1, cid), numberField(2, 1))
}

export function wantList (...entries: readonly Uint8Array[]): Uint8Array {
  return frame(field(1, ...entries))
}

export function have (cid: Uint8Array): Uint8Array {
  return field(4, field(1, cid))
}

/** A block whose CID begins as `cid` does. */
export function payload (cid: Uint8Array, data: Uint8Array): Uint8Array {
  return field(3, field(1, cid.subarray(0, -32)), field(2, data))
}

/** A message of exactly the largest size that holds nothing but empty entries. */
export function emptyEntries (number: number): Uint8Array {
  return Buffer.alloc(FULL_MESSAGE_BYTES, field(number))
}

export function dhtPeer (id: Uint8Array, addresses: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat([field(1, id), ...addresses.map((address) => field(2, address))])
}

export function dhtRequest (type: number, key: Uint8Array, ...more: readonly Uint8Array[]): Uint8Array {
  return frame(numberField(1, type), field(2, key), ...more)
}

export interface Want {
  readonly cid: Uint8Array
  readonly isCancel: boolean
  readonly isHave: boolean
}

/** What the message of an honest peer asks for. */
export function wantsOf (message: Uint8Array): Want[] {
  return fieldsOf(message).filter(({ number }) => number === 1).flatMap(({ bytes }) => fieldsOf(bytes)).filter(({ number, bytes }) => number === 1 && bytes.byteLength > 0).map(({ bytes }) => {
    const entry = new Map(fieldsOf(bytes).map(({ number, bytes, value }) => [number, { bytes, value }]))
    return { cid: entry.get(1)?.bytes ?? new Uint8Array(), isCancel: entry.get(3)?.value === 1, isHave: entry.get(4)?.value === 1 }
  })
}

/** Puts the messages of an honest stream together. */
export class Frames {
  #rest = Buffer.alloc(0)

  push (bytes: Uint8Array): Uint8Array[] {
    this.#rest = Buffer.concat([this.#rest, bytes])
    const messages: Uint8Array[] = []
    for (;;) {
      const length = readVarint(this.#rest, 0)
      if (length === undefined || this.#rest.byteLength < length.next + length.value) return messages
      messages.push(this.#rest.subarray(length.next, length.next + length.value))
      this.#rest = this.#rest.subarray(length.next + length.value)
    }
  }
}

/** CIDv1, raw, sha2-256 of 32 bytes. */
const CID_HEAD = Uint8Array.of(1, 0x55, 0x12, 0x20)

/** Identity hash of 36 bytes: a protobuf with key type Ed25519 and a key of 32 bytes. */
const PEER_HEAD = Uint8Array.of(0, 0x24, 8, 1, 0x12, 0x20)

interface Field {
  readonly number: number
  readonly bytes: Uint8Array
  readonly value: number
}

function fieldsOf (message: Uint8Array): Field[] {
  const fields: Field[] = []
  for (let at = 0; at < message.byteLength;) {
    const tag = readVarint(message, at)
    const value = tag === undefined ? undefined : readVarint(message, tag.next)
    if (tag === undefined || value === undefined) break
    const isBytes = tag.value % 8 === 2
    at = isBytes ? value.next + value.value : value.next
    fields.push({ number: tag.value >> 3, bytes: isBytes ? message.subarray(value.next, at) : new Uint8Array(), value: value.value })
  }
  return fields
}

function readVarint (bytes: Uint8Array, at: number): { value: number, next: number } | undefined {
  for (let value = 0, scale = 1; at < bytes.byteLength; scale *= 0x80) {
    const byte = bytes[at++] ?? 0
    value += (byte & 0x7f) * scale
    if (byte < 0x80) return { value, next: at }
  }
  return undefined
}
