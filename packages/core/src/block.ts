import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { CODECS } from './codecs.ts'
import { HoldfastError } from './errors.ts'
import { hasherOf, IDENTITY, MAX_DIGEST_BYTES, MAX_IDENTITY_BYTES, MIN_DIGEST_BYTES, SHA2_256 } from './hashers.ts'

/**
 * Longest block that is stored, read or sent, in bytes.
 *
 * Kubo's soft limit since 0.40 and what the trustless gateway specification asks peers to
 * keep, so that every block fits in a 4 MiB Bitswap message.
 */
export const MAX_BLOCK_BYTES: number = 2 * 1024 * 1024

export interface BlockOptions {
  /** Multicodec code of the content. @default 0x55, raw */
  codec?: number
  /** Multicodec code of the hash function. @default 0x12, sha2-256 */
  hash?: number
  /** Version of the CID; 0 only with dag-pb and sha2-256. @default 1 */
  version?: 0 | 1
  /** Hash in another thread if the hash function has one: worth it for long blocks while this thread has other work. @default false */
  beside?: boolean
}

/**
 * Bytes that were proven to match a CID.
 *
 * The constructor is private, so whoever holds a `Block` knows that the hash was
 * checked or computed: nobody verifies twice and nobody forgets.
 */
export class Block {
  readonly cid: CID
  /** A plain `Uint8Array`, never a `Buffer`. Shared, so nobody writes to it. */
  readonly bytes: Uint8Array

  private constructor (cid: CID, bytes: Uint8Array) {
    this.cid = cid
    // A Buffer is a Uint8Array whose slice() shares instead of copying: readers would differ by where the bytes came from.
    this.bytes = Buffer.isBuffer(bytes) ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength) : bytes
  }

  /**
   * Hashes `bytes` and names them.
   *
   * @throws `LIMIT` above `MAX_BLOCK_BYTES`, `UNSUPPORTED` for an unknown hash, `INVALID` for a CIDv0 of
   * another codec or hash, and for more identity bytes than `MAX_IDENTITY_BYTES`.
   */
  static async of (bytes: Uint8Array, { codec = CODECS.raw, hash = SHA2_256, version = 1, beside = false }: BlockOptions = {}): Promise<Block> {
    requireBlockLength(bytes)
    const hasher = hasherOf(hash)
    if (hash === IDENTITY) requireIdentityLength(bytes.byteLength)
    if (version === 0 && (codec !== CODECS.dagPb || hash !== SHA2_256)) {
      throw new HoldfastError('INVALID', 'CIDv0 exists with dag-pb and sha2-256 only', { codec, hash })
    }
    const digest = createDigest(hash, beside && hasher.digestBeside !== undefined ? await hasher.digestBeside(bytes) : await hasher.digest(bytes))
    return new Block(CID.create(version, codec, digest), bytes)
  }

  /**
   * Checks that `bytes` are what `cid` names.
   *
   * @throws `CORRUPT` when they are not, `UNSUPPORTED` for a hash this node cannot
   * compute, `INVALID` for a digest of unreasonable length, `LIMIT` above `MAX_BLOCK_BYTES`.
   */
  static async verify (cid: CID, bytes: Uint8Array): Promise<Block> {
    requireBlockLength(bytes, cid)
    requireVerifiable(cid)
    const digest = await hasherOf(cid.multihash.code).digest(bytes)
    // A digest may be cut short (multihash allows it down to MIN_DIGEST_BYTES), never longer; identity is no digest.
    const expected = cid.multihash.digest
    const isWhole = cid.multihash.code !== IDENTITY || expected.byteLength === bytes.byteLength
    if (!isWhole || expected.byteLength > digest.byteLength || Buffer.compare(expected, digest.subarray(0, expected.byteLength)) !== 0) {
      throw new HoldfastError('CORRUPT', `Bytes do not match ${cid}`, { cid: cid.toString(), byteLength: bytes.byteLength })
    }
    return new Block(cid, bytes)
  }

  /**
   * Takes `bytes` for those of `cid` without a look: only for what a store wrote itself to a medium that its user chose to trust.
   *
   * @throws `LIMIT` above `MAX_BLOCK_BYTES`.
   */
  static trusted (cid: CID, bytes: Uint8Array): Block {
    requireBlockLength(bytes, cid)
    return new Block(cid, bytes)
  }

  /** The same bytes under another CID of the same multihash, for example with another codec. */
  as (cid: CID): Block {
    if (cid === this.cid) return this
    if (Buffer.compare(cid.multihash.bytes, this.cid.multihash.bytes) !== 0) {
      throw new HoldfastError('CORRUPT', `Bytes of ${this.cid} do not match ${cid}`, { cid: cid.toString() })
    }
    return new Block(cid, this.bytes)
  }
}

/**
 * Returns the block that an identity CID carries in itself, or `undefined` for any other CID.
 *
 * @throws `INVALID` when the digest is longer than `MAX_IDENTITY_BYTES`.
 */
export async function identityBlock (cid: CID): Promise<Block | undefined> {
  return cid.multihash.code === IDENTITY ? await Block.verify(cid, cid.multihash.digest) : undefined
}

/**
 * Checks that blocks named by `cid` could be verified at all, before any of them is looked for.
 *
 * @throws `UNSUPPORTED` for an unknown hash, `INVALID` for a digest of unreasonable length and for a CIDv0 whose
 * digest is not the 32 bytes of sha2-256.
 */
export function requireVerifiable (cid: CID): void {
  const { code, digest } = cid.multihash
  if (code === SHA2_256 && digest.byteLength === 32) return // Nearly all of them.
  hasherOf(code)
  if (cid.version === 0 && (code !== SHA2_256 || digest.byteLength !== 32)) {
    throw new HoldfastError('INVALID', `${cid} is no CIDv0: its digest is not one of sha2-256`, { cid: cid.toString() })
  }
  if (code === IDENTITY) return requireIdentityLength(digest.byteLength)
  if (digest.byteLength < MIN_DIGEST_BYTES || digest.byteLength > MAX_DIGEST_BYTES) {
    throw new HoldfastError('INVALID', `Digest of ${cid} has ${digest.byteLength} bytes; ${MIN_DIGEST_BYTES} to ${MAX_DIGEST_BYTES} are accepted`, { cid: cid.toString() })
  }
}

function requireIdentityLength (byteLength: number): void {
  if (byteLength > MAX_IDENTITY_BYTES) {
    throw new HoldfastError('INVALID', `Identity CID carries ${byteLength} bytes; at most ${MAX_IDENTITY_BYTES} are accepted`, { byteLength })
  }
}

function requireBlockLength ({ byteLength }: Uint8Array, cid?: CID): void {
  if (byteLength > MAX_BLOCK_BYTES) {
    throw new HoldfastError('LIMIT', `Block ${cid === undefined ? '' : `${cid} `}has ${byteLength} bytes, more than the ${MAX_BLOCK_BYTES} of a block (2 MiB)`, { cid: cid?.toString(), byteLength })
  }
}
