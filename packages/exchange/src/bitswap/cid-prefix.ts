/**
 * What a block payload says of its CID: all but the digest, which the receiver computes.
 *
 * ```
 * prefix = version varint, codec varint, hash function varint, digest length varint
 * ```
 *
 * @see https://specs.ipfs.tech/bitswap-protocol/ "Bitswap 1.1.0"
 */
import { HoldfastError, ProtobufReader, varintLength, writeVarint } from '@holdfast/core'
import type { CID } from 'multiformats/cid'

export interface CidPrefix {
  readonly version: number
  readonly codec: number
  /** Multicodec code of the hash function. */
  readonly hash: number
  readonly digestByteLength: number
}

/** Version 0, dag-pb, sha2-256, 32 bytes: what Bitswap 1.0 means without saying so. */
export const CID_V0_PREFIX: Uint8Array = Uint8Array.of(0, 0x70, 0x12, 0x20)

export function cidPrefixOf ({ version, code, multihash }: CID): Uint8Array {
  const fields = [version, code, multihash.code, multihash.size]
  const bytes = new Uint8Array(fields.reduce((sum, field) => sum + varintLength(field), 0))
  fields.reduce((at, field) => writeVarint(bytes, at, field), 0)
  return bytes
}

/** @throws `INVALID` for anything but four varints. */
export function decodeCidPrefix (bytes: Uint8Array): CidPrefix {
  const reader = new ProtobufReader(bytes)
  const prefix = { version: reader.varint(), codec: reader.varint(), hash: reader.varint(), digestByteLength: reader.varint() }
  if (!reader.done) throw new HoldfastError('INVALID', 'A block prefix is longer than four varints')
  return prefix
}
