/**
 * The bytes of an envelope: canonical dag-cbor sorts keys by length, so all but the kind and the payload lies where it always does.
 *
 * ```
 * a5                    a map of five
 * 61 'v' 01             the version
 * 63 'sig' 58 40        64 bytes of signature
 * 64 'kind'             text of at most 23 bytes
 * 66 'writer' 58 26     38 bytes of peer id
 * 67 'payload'          bytes to the end, their length in the shortest form
 * ```
 *
 * Bytes that read so have no other form, so nothing has to be encoded again to know that they are canonical: it takes a tenth of
 * the time. Everything else goes to the decoder for all of dag-cbor, which says what is wrong.
 */
import { SIGNATURE_BYTES } from '@holdfast/network'
import { PEER_BYTES } from './peer-bytes.ts'

/** The parts of an envelope of version 1, as views of its bytes. */
export interface EnvelopeParts {
  readonly kind: string
  readonly payload: Uint8Array
  readonly writer: Uint8Array
  readonly signature: Uint8Array
}

const BEFORE_SIGNATURE = Buffer.from('\xa5\x61v\x01\x63sig\x58\x40', 'latin1')
const BEFORE_KIND = Buffer.from('\x64kind', 'latin1')
const BEFORE_WRITER = Buffer.from('\x66writer\x58\x26', 'latin1')
const BEFORE_PAYLOAD = Buffer.from('\x67payload', 'latin1')

/** CBOR major types, and the longest text whose length stands in its head. RFC 8949 §3. */
const TEXT = 0x60
const BYTES = 0x40
const MAX_SHORT_LENGTH = 23

const MAX_ASCII = 0x7f

/** Splits an envelope; `undefined` for bytes that lie in another way. */
export function splitEnvelope (bytes: Uint8Array): EnvelopeParts | undefined {
  const kindAt = BEFORE_SIGNATURE.byteLength + SIGNATURE_BYTES + BEFORE_KIND.byteLength
  const kindLength = (bytes[kindAt] ?? 0) - TEXT
  if (kindLength < 0 || kindLength > MAX_SHORT_LENGTH) return undefined
  const writerAt = kindAt + 1 + kindLength + BEFORE_WRITER.byteLength
  const headAt = writerAt + PEER_BYTES + BEFORE_PAYLOAD.byteLength
  const isLaidOut = isAt(bytes, 0, BEFORE_SIGNATURE) && isAt(bytes, BEFORE_SIGNATURE.byteLength + SIGNATURE_BYTES, BEFORE_KIND) &&
    isAt(bytes, writerAt - BEFORE_WRITER.byteLength, BEFORE_WRITER) && isAt(bytes, headAt - BEFORE_PAYLOAD.byteLength, BEFORE_PAYLOAD)
  const payload = isLaidOut ? bytesToEnd(bytes, headAt) : undefined
  const kind = bytes.subarray(kindAt + 1, kindAt + 1 + kindLength)
  if (payload === undefined || kind.some((byte) => byte > MAX_ASCII)) return undefined
  return {
    kind: String.fromCharCode(...kind),
    payload,
    writer: bytes.subarray(writerAt, writerAt + PEER_BYTES),
    signature: bytes.subarray(BEFORE_SIGNATURE.byteLength, BEFORE_SIGNATURE.byteLength + SIGNATURE_BYTES)
  }
}

/** The byte string that begins at `headAt` and ends with the bytes; `undefined` when its length is not so, or not in the shortest form. */
function bytesToEnd (bytes: Uint8Array, headAt: number): Uint8Array | undefined {
  const head = (bytes[headAt] ?? 0) - BYTES
  const lengthBytes = head === 24 ? 1 : head === 25 ? 2 : 0
  if (head < 0 || head > 25) return undefined
  const at = headAt + 1 + lengthBytes
  const byteLength = lengthBytes === 0 ? head : lengthBytes === 1 ? bytes[headAt + 1] ?? 0 : (bytes[headAt + 1] ?? 0) * 0x100 + (bytes[headAt + 2] ?? 0)
  const isShortest = lengthBytes === 0 ? head <= MAX_SHORT_LENGTH : byteLength > (lengthBytes === 1 ? MAX_SHORT_LENGTH : 0xff)
  return isShortest && at + byteLength === bytes.byteLength ? bytes.subarray(at) : undefined
}

function isAt (bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  if (at + expected.byteLength > bytes.byteLength) return false
  for (let index = 0; index < expected.byteLength; index++) if (bytes[at + index] !== expected[index]) return false
  return true
}
