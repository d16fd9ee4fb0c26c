import { createHash, hash, webcrypto } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { HoldfastError } from './errors.ts'

/** A hash function of the multihash table that this node computes. */
export interface Hasher {
  /** The multicodec name, as `--hash` takes it: `sha2-256`. */
  readonly name: string
  /** The multicodec code: `0x12`. */
  readonly code: number
  /** Returns the digest alone, without the multihash prefix. */
  digest(bytes: Uint8Array): Promise<Uint8Array>
  /**
   * The same in a thread of its own, for long blocks of which several are at hand; absent where there is none.
   *
   * Takes a copy of the bytes first, so in all it costs more: measured 0.78 s for 1 GiB in blocks of 1 MiB instead of 0.62.
   */
  digestBeside?(bytes: Uint8Array): Promise<Uint8Array>
}

/** The hash of every CID that this node makes unless told otherwise. */
export const SHA2_256 = 0x12

/** The "hash" whose digest is the content itself. */
export const IDENTITY = 0x00

/**
 * Longest identity digest that is accepted, in bytes.
 *
 * @see IPIP-0512, https://specs.ipfs.tech/ipips/ipip-0512/
 */
export const MAX_IDENTITY_BYTES = 128

/** Shortest digest of a cryptographic hash that is accepted, in bytes (boxo verifcid). */
export const MIN_DIGEST_BYTES = 20

/** Longest digest that is accepted, in bytes (boxo verifcid). */
export const MAX_DIGEST_BYTES = 128

type Digest = (bytes: Uint8Array) => Promise<Uint8Array>

/** `crypto.hash` is one call without an object: measured the same at 1 MiB and 1.6x at 1 KiB. */
function native (algorithm: string): Digest {
  // A copy lies in V8's heap; what Node returns has memory of its own beside it, as much again for each digest that is kept.
  return async (bytes) => new Uint8Array(hash(algorithm, bytes, 'buffer'))
}

function shake (algorithm: string, outputLength: number): Digest {
  return async (bytes) => createHash(algorithm, { outputLength }).update(bytes).digest()
}

/** Node has no keccak, blake3 or shortened blake2; @noble/hashes loads when one is first asked for. */
function blake2b (dkLen: number): Digest {
  return async (bytes) => await inSlices((await import('@noble/hashes/blake2.js')).blake2b.create({ dkLen }), bytes)
}

function blake2s (dkLen: number): Digest {
  return async (bytes) => await inSlices((await import('@noble/hashes/blake2.js')).blake2s.create({ dkLen }), bytes)
}

function keccak (bits: 256 | 384 | 512 | 224): Digest {
  return async (bytes) => await inSlices((await import('@noble/hashes/sha3.js'))[`keccak_${bits}`].create(), bytes)
}

const blake3: Digest = async (bytes) => await inSlices((await import('@noble/hashes/blake3.js')).blake3.create({}), bytes)

/**
 * Bytes that a hash in JavaScript takes in before the event loop gets a turn.
 *
 * Measured: a block of 2 MiB takes 36 ms of blake3, 45 ms of blake2 and 59 ms of keccak, where SHA-256 of Node takes 1.2 ms.
 * In slices the loop never waits longer than some 4 ms.
 */
const SLICE_BYTES: number = 128 * 1024

interface Hashing {
  update(bytes: Uint8Array): unknown
  digest(): Uint8Array
}

async function inSlices (hashing: Hashing, bytes: Uint8Array): Promise<Uint8Array> {
  for (let at = 0; at < bytes.byteLength; at += SLICE_BYTES) {
    if (at > 0) await setImmediate()
    hashing.update(bytes.subarray(at, at + SLICE_BYTES))
  }
  return hashing.digest()
}

/**
 * The hash functions that boxo's verifcid lets through, so that whatever Kubo serves we can check.
 *
 * blake2 digests shorter than 160 bits and murmur are left out there and here: they are
 * too weak to name content.
 */
const HASHERS: ReadonlyMap<number, Hasher> = new Map<number, Hasher>(([
  [IDENTITY, 'identity', async (bytes) => bytes],
  [0x11, 'sha1', native('sha1')],
  [SHA2_256, 'sha2-256', native('sha256')],
  [0x13, 'sha2-512', native('sha512')],
  [0x14, 'sha3-512', native('sha3-512')],
  [0x15, 'sha3-384', native('sha3-384')],
  [0x16, 'sha3-256', native('sha3-256')],
  [0x17, 'sha3-224', native('sha3-224')],
  [0x18, 'shake-128', shake('shake128', 32)],
  [0x19, 'shake-256', shake('shake256', 64)],
  [0x1a, 'keccak-224', keccak(224)],
  [0x1b, 'keccak-256', keccak(256)],
  [0x1c, 'keccak-384', keccak(384)],
  [0x1d, 'keccak-512', keccak(512)],
  [0x1e, 'blake3', blake3],
  [0x56, 'dbl-sha2-256', async (bytes) => hash('sha256', hash('sha256', bytes, 'buffer'), 'buffer')],
  ...blake2Family('blake2b', 0xb200, 64, blake2b),
  ...blake2Family('blake2s', 0xb240, 32, blake2s)
] satisfies Array<[number, string, Digest]>).map(([code, name, digest]) => [code, { code, name, digest, ...(code === SHA2_256 && { digestBeside }) }]))

/** Node hashes beside in libuv's pool for WebCrypto alone, which wants memory that is not shared. */
async function digestBeside (bytes: Uint8Array): Promise<Uint8Array> {
  if (bytes.buffer instanceof SharedArrayBuffer) return hash('sha256', bytes, 'buffer')
  return new Uint8Array(await webcrypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>))
}

/** The multicodec table numbers blake2 by digest length: `base` + bytes. */
function blake2Family (name: string, base: number, maxBytes: number, digestOf: (bytes: number) => Digest): Array<[number, string, Digest]> {
  const lengths = Array.from({ length: maxBytes - MIN_DIGEST_BYTES + 1 }, (_, index) => MIN_DIGEST_BYTES + index)
  return lengths.map((bytes) => [base + bytes, `${name}-${bytes * 8}`, digestOf(bytes)])
}

const BY_NAME: ReadonlyMap<string, Hasher> = new Map([...HASHERS.values()].map((hasher) => [hasher.name, hasher]))

/**
 * Returns the hash function with this multicodec code.
 *
 * @throws `UNSUPPORTED` when this node cannot compute it, so nothing named by it can be checked.
 */
export function hasherOf (code: number): Hasher {
  const hasher = HASHERS.get(code)
  if (hasher === undefined) {
    throw new HoldfastError('UNSUPPORTED', `Hash function 0x${code.toString(16)} is not supported: its blocks cannot be verified`, { hash: code })
  }
  return hasher
}

/**
 * Returns the hash function with this multicodec name.
 *
 * @throws `UNSUPPORTED` with the names that would work.
 */
export function hasherNamed (name: string): Hasher {
  const hasher = BY_NAME.get(name)
  if (hasher === undefined) {
    throw new HoldfastError('UNSUPPORTED', `Hash function ${name} is not supported; use one of ${hasherNames().join(', ')}`, { hash: name })
  }
  return hasher
}

/** The names that `hasherNamed` knows, the everyday ones first, without the many blake2 lengths. */
export function hasherNames (): string[] {
  return [...BY_NAME.keys()].filter((name) => !/^blake2[bs]-(?!256$|512$)/.test(name) && name !== 'identity')
}
