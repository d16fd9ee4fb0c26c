/** Reading CIDs out of the index of references, of which there are many at a time: without a copy and an allocation each. */
import { CODECS } from '@holdfast/core'
import { digest as Digest, varint } from 'multiformats'
import { CID } from 'multiformats/cid'

const SHA2_256 = 0x12
const SHA2_256_BYTES = 32

/** The raw CIDs of multihashes that lie one after the other; they share one copy of the bytes. */
export function * decodeMultihashes (bytes: Uint8Array): Generator<CID> {
  let shared = new Uint8Array(0)
  let end = 0
  for (let at = 0; at < bytes.byteLength;) {
    const byteLength = multihashByteLength(bytes, at)
    // More are shorter than the first only where hash functions differ.
    if (end + 2 + byteLength > shared.byteLength) {
      shared = new Uint8Array(Math.ceil((bytes.byteLength - at) / byteLength) * (2 + byteLength))
      end = 0
    }
    shared[end] = 1
    shared[end + 1] = CODECS.raw
    shared.set(bytes.subarray(at, at + byteLength), end + 2)
    const cid = shared.subarray(end, end + 2 + byteLength)
    yield new CID(1, CODECS.raw, digestAt(cid, 2), cid)
    end += 2 + byteLength
    at += byteLength
  }
}

/** The CIDs that lie one after the other in `bytes`, which they keep. */
export function decodeCids (bytes: Uint8Array): CID[] {
  const cids: CID[] = []
  for (let at = 0; at < bytes.byteLength;) {
    const cid = cidAt(bytes, at)
    cids.push(cid)
    at += cid.bytes.byteLength
  }
  return cids
}

/** The CID that begins at `at` of `bytes`, which it keeps. */
export function cidAt (bytes: Uint8Array, at: number): CID {
  return isPlain(bytes, at) ? plainAt(bytes, at) : CID.decodeFirst(bytes.subarray(at))[0]
}

/** Nearly all: version 1, a codec of one byte, sha2-256. */
function isPlain (bytes: Uint8Array, at: number): boolean {
  return bytes[at] === 1 && (bytes[at + 1] ?? 128) < 128 && bytes[at + 2] === SHA2_256 && bytes[at + 3] === SHA2_256_BYTES && at + 4 + SHA2_256_BYTES <= bytes.byteLength
}

function plainAt (bytes: Uint8Array, at: number): CID {
  const cid = bytes.subarray(at, at + 4 + SHA2_256_BYTES)
  return new CID(1, cid[1] ?? 0, digestAt(cid, 2), cid)
}

function digestAt (bytes: Uint8Array, at: number): Digest.Digest<number, number> {
  const multihash = bytes.subarray(at)
  if (multihash[0] !== SHA2_256 || multihash[1] !== SHA2_256_BYTES || multihash.byteLength !== 2 + SHA2_256_BYTES) return Digest.decode(multihash)
  return new Digest.Digest(SHA2_256, SHA2_256_BYTES, multihash.subarray(2), multihash)
}

function multihashByteLength (bytes: Uint8Array, at: number): number {
  if (bytes[at] === SHA2_256 && bytes[at + 1] === SHA2_256_BYTES) return 2 + SHA2_256_BYTES
  const [, codeBytes] = varint.decode(bytes, at)
  const [digestBytes, lengthBytes] = varint.decode(bytes, at + codeBytes)
  return codeBytes + lengthBytes + digestBytes
}
