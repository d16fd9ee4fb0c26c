import type { PeerId } from '@holdfast/network'
import { base58btc } from 'multiformats/bases/base58'

/** First bytes of the peer id of an Ed25519 key: identity multihash of 36 bytes, key type 1, 32 bytes of key. */
const PREFIX = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20)

/** Bytes of the peer id of an Ed25519 key. */
export const PEER_BYTES: number = PREFIX.byteLength + 32

/** Peer ids by their bytes: base58 of one costs 10 µs. As many as members and a crowd. */
const MAX_KNOWN = 2048
const peerByBytes = new Map<string, PeerId>()

/** The one that was asked for last: records of one writer come in a row. */
let last: { readonly bytes: Uint8Array, readonly peer: PeerId } | undefined

/** The bytes of ids, the other way round. Each record has its writer's, and a pin that of its origin. */
const bytesByPeer = new Map<PeerId, Uint8Array>()

/** Of the same id always the same bytes: not to be written to. @param peer The id of an Ed25519 key. */
export function peerToBytes (peer: PeerId): Uint8Array {
  const known = bytesByPeer.get(peer)
  if (known !== undefined) return known
  const bytes = base58btc.baseDecode(peer)
  if (bytesByPeer.size >= MAX_KNOWN) bytesByPeer.clear()
  bytesByPeer.set(peer, bytes)
  return bytes
}

/** The peer id, or `undefined` for bytes that are not the id of an Ed25519 key. */
export function peerFromBytes (bytes: Uint8Array): PeerId | undefined {
  if (last !== undefined && Buffer.compare(bytes, last.bytes) === 0) return last.peer
  if (bytes.byteLength !== PEER_BYTES || !PREFIX.every((byte, index) => bytes[index] === byte)) return undefined
  const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
  const known = peerByBytes.get(key)
  const peer = known ?? base58btc.baseEncode(bytes)
  last = { bytes: Uint8Array.from(bytes), peer }
  if (known !== undefined) return known
  if (peerByBytes.size >= MAX_KNOWN) peerByBytes.clear()
  peerByBytes.set(key, peer)
  return peer
}
