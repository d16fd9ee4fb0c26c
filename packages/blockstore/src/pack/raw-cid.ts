import { CODECS, requireVerifiable } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import { decode as decodeDigest } from 'multiformats/hashes/digest'

/** The CID of an entry; `undefined` for a key that is no multihash, as damage makes them. */
export function rawCidOf (multihash: Uint8Array): CID | undefined {
  try {
    const cid = CID.createV1(CODECS.raw, decodeDigest(Uint8Array.from(multihash)))
    requireVerifiable(cid)
    return cid
  } catch {
    return undefined
  }
}
