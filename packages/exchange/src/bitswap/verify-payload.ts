import { Block, CODECS, MAX_BLOCK_BYTES, MIN_DIGEST_BYTES, multihashKey } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import type { CidPrefix } from './cid-prefix.ts'

/** A block that is held keeps its whole message in memory; below this part of the message it is copied out. */
const MIN_PART_OF_MESSAGE = 4

/**
 * Hashes received bytes once and looks for who wanted what they turn out to be.
 *
 * @param find Answers what is known of a multihash (as `multihashKey`), with the CID that was wanted.
 * @returns `undefined` when nobody wanted it, or the bytes cannot be a block
 */
export async function verifyPayload<T extends { readonly cid: CID }> (prefix: CidPrefix, data: Uint8Array, find: (key: string) => T | undefined): Promise<{ found: T, block: Block } | undefined> {
  if (data.byteLength > MAX_BLOCK_BYTES) return undefined
  const bytes = data.byteLength * MIN_PART_OF_MESSAGE < data.buffer.byteLength ? data.slice() : data
  const block = await Block.of(bytes, { hash: prefix.hash })
  const { digest } = block.cid.multihash
  if (prefix.digestByteLength < digest.byteLength) return await verifyShort(prefix, digest, bytes, find)

  const found = find(multihashKey(block.cid))
  return found === undefined ? undefined : { found, block: block.as(found.cid) }
}

/** A CID may carry only the first bytes of a digest; those are rare enough to be hashed again. */
async function verifyShort<T extends { readonly cid: CID }> ({ hash, digestByteLength }: CidPrefix, digest: Uint8Array, bytes: Uint8Array, find: (key: string) => T | undefined): Promise<{ found: T, block: Block } | undefined> {
  if (digestByteLength < MIN_DIGEST_BYTES) return undefined
  const cid = CID.createV1(CODECS.raw, createDigest(hash, digest.subarray(0, digestByteLength)))
  const found = find(multihashKey(cid))
  return found === undefined ? undefined : { found, block: await Block.verify(found.cid, bytes) }
}
