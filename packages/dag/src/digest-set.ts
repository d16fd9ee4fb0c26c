import { IDENTITY } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { hash, randomBytes } from 'node:crypto'

/** Table slots at first: most DAGs that are walked have few blocks, and V8 makes no allocation of its own for 64 bytes. */
const FIRST_SLOTS = 8

/** Digest bytes that go into the fingerprint: as many as the shortest accepted digest has. */
const DIGEST_WORDS = 5

/**
 * A compact set of multihashes, kept as 64-bit fingerprints in a table that is never more than half full:
 * 16 to 32 bytes an entry, twice that for a moment while it grows.
 *
 * `has` may say yes for a multihash that was never added, with a chance of about count / 2^64. The fingerprint
 * is keyed anew for each set, so nobody can make two blocks collide on purpose; what must be
 * exact still has to ask elsewhere. CIDs with equal multihashes are equal here, whatever their codec.
 */
export class DigestSet {
  /** Two words an entry; (0, 0) is an empty slot. */
  #table = new Uint32Array(FIRST_SLOTS * 2)
  #count = 0
  /** Odd factors, and offsets, of each lane. */
  readonly #key: Uint32Array

  constructor () {
    const key = randomBytes((DIGEST_WORDS + 1) * 2 * 4)
    this.#key = Uint32Array.from({ length: key.byteLength / 4 }, (_, index) => key.readUInt32LE(index * 4) | 1)
  }

  /** Entries in the set. */
  get count (): number {
    return this.#count
  }

  /** Adds the multihash of `cid`; reports whether it was new. */
  add (cid: CID): boolean {
    const [high, low] = this.#fingerprint(cid)
    if (!insert(this.#table, high, low)) return false
    if (++this.#count * 4 > this.#table.length) this.#grow()
    return true
  }

  /** Reports whether the multihash of `cid` was added, or collides with one that was. */
  has (cid: CID): boolean {
    const [high, low] = this.#fingerprint(cid)
    const at = find(this.#table, high, low)
    return this.#table[at] === high && this.#table[at + 1] === low
  }

  #grow (): void {
    const larger = new Uint32Array(this.#table.length * 2)
    for (let at = 0; at < this.#table.length; at += 2) {
      const high = this.#table[at] ?? 0
      const low = this.#table[at + 1] ?? 0
      if (high !== 0 || low !== 0) insert(larger, high, low)
    }
    this.#table = larger
  }

  /** Two lanes of a sum of products with secret odd factors, each stirred so that low bits depend on all. */
  #fingerprint ({ multihash: { code, digest, bytes } }: CID): [high: number, low: number] {
    // The digest of an identity CID is chosen by whoever wrote it; only one that was computed is hard to aim.
    const source = code === IDENTITY ? hash('sha256', bytes, 'buffer') : digest
    const seed = code * 0x100 + source.byteLength
    let high = Math.imul(seed, this.#key[0] ?? 1)
    let low = Math.imul(seed, this.#key[1] ?? 1)
    for (let word = 0; word < DIGEST_WORDS; word++) {
      const value = wordAt(source, word * 4)
      high = Math.imul(high ^ (high >>> 15) ^ value, this.#key[2 + word * 2] ?? 1)
      low = Math.imul(low ^ (low >>> 13) ^ value, this.#key[3 + word * 2] ?? 1)
    }
    return [stir(high), high === 0 && low === 0 ? 1 : stir(low)]
  }
}

/** Puts a fingerprint into the table; reports whether it was not there. */
function insert (table: Uint32Array, high: number, low: number): boolean {
  const at = find(table, high, low)
  if (table[at] === high && table[at + 1] === low) return false
  table[at] = high
  table[at + 1] = low
  return true
}

/** Returns where the fingerprint lies, or the empty slot where it would. */
function find (table: Uint32Array, high: number, low: number): number {
  const mask = table.length - 1
  let at = (high * 2) & mask
  while ((table[at] !== high || table[at + 1] !== low) && (table[at] !== 0 || table[at + 1] !== 0)) at = (at + 2) & mask
  return at
}

function wordAt (bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)
}

/** The finalizer of murmur3, a bijection of 32 bits. */
function stir (value: number): number {
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
  return (value ^ (value >>> 16)) >>> 0
}
