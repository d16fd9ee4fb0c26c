/**
 * A Merkle tree over a set of records, by which two members find what differs in a few small messages.
 *
 * ```
 * level 0   root: SHA-256 of its 16 children
 * level 1…3 16, 256, 4,096 nodes: SHA-256 of their 16 children
 * level 4   65,536 buckets: SHA-256 of the sorted hashes of the records in it
 * bucket    the first 16 bits of SHA-256 of the record's key
 * ```
 *
 * Hashes of sorted lists and not sums: collisions of sums can be made. A record's hash covers its key, so keys are not hashed again.
 *
 * @see Auvolat & Taïani, "Merkle Search Trees", SRDS 2019; reference/replication.md 5.2
 */
import { hash } from 'node:crypto'

/** Level of the buckets. */
export const BUCKET_LEVEL = 4

/** Children of each inner node. */
export const FAN_OUT = 16

export const BUCKET_COUNT: number = FAN_OUT ** BUCKET_LEVEL

export const NODE_HASH_BYTES = 32

/** What each level is made of while nothing is in the tree. */
const EMPTY_HASHES: readonly Buffer[] = emptyHashes()

function emptyHashes (): Buffer[] {
  const hashes = [hash('sha256', Buffer.alloc(0), 'buffer')]
  for (let level = BUCKET_LEVEL; level > 0; level--) {
    const below = hashes[0] ?? Buffer.alloc(0)
    hashes.unshift(hash('sha256', Buffer.alloc(FAN_OUT * NODE_HASH_BYTES, below), 'buffer'))
  }
  return hashes
}

/** Finds the bucket of a record by its key. */
export function bucketOf (key: string): number {
  return hash('sha256', Buffer.from(key, 'latin1'), 'buffer').readUInt16BE()
}

/** The tree. Hashes are computed when they are asked for: 2.2 MB, and what the buckets list. */
export class MerkleTree {
  /** Hashes of each level, one after the other. */
  readonly #levels = EMPTY_HASHES.map((empty, level) => Buffer.alloc(FAN_OUT ** level * NODE_HASH_BYTES, empty))
  /** Hashes of records in latin1; sorted, unless the bucket is dirty. */
  readonly #buckets = new Map<number, string[]>()
  readonly #dirty = new Set<number>()

  /** @param recordHash Not in the tree yet. */
  add (bucket: number, recordHash: string): void {
    const hashes = this.#buckets.get(bucket)
    if (hashes === undefined) this.#buckets.set(bucket, [recordHash])
    else hashes.push(recordHash)
    this.#dirty.add(bucket)
  }

  delete (bucket: number, recordHash: string): void {
    const hashes = this.#buckets.get(bucket)
    const index = hashes?.indexOf(recordHash) ?? -1
    if (hashes === undefined || index === -1) return
    hashes.splice(index, 1)
    if (hashes.length === 0) this.#buckets.delete(bucket)
    this.#dirty.add(bucket)
  }

  /** Hash of the whole set. */
  root (): Uint8Array {
    return Uint8Array.from(this.#hashes(0))
  }

  /** Hashes of the 16 children of a node, one after the other. @param level 0 to 3. */
  children (level: number, index: number): Uint8Array {
    const byteLength = FAN_OUT * NODE_HASH_BYTES
    return Uint8Array.from(this.#hashes(level + 1).subarray(index * byteLength, (index + 1) * byteLength))
  }

  /** The records of a bucket, sorted. */
  list (bucket: number): readonly string[] {
    this.#clean()
    return this.#buckets.get(bucket) ?? []
  }

  #hashes (level: number): Buffer {
    this.#clean()
    return this.#levels[level] ?? Buffer.alloc(0)
  }

  #clean (): void {
    if (this.#dirty.size === 0) return
    let touched = new Set<number>()
    for (const bucket of this.#dirty) {
      const hashes = this.#buckets.get(bucket)?.sort() ?? []
      this.#set(BUCKET_LEVEL, bucket, Buffer.from(hashes.join(''), 'latin1'))
      touched.add(Math.floor(bucket / FAN_OUT))
    }
    this.#dirty.clear()
    for (let level = BUCKET_LEVEL - 1; level >= 0; level--) {
      const byteLength = FAN_OUT * NODE_HASH_BYTES
      const below = this.#levels[level + 1] ?? Buffer.alloc(0)
      for (const index of touched) this.#set(level, index, below.subarray(index * byteLength, (index + 1) * byteLength))
      touched = new Set([...touched].map((index) => Math.floor(index / FAN_OUT)))
    }
  }

  #set (level: number, index: number, content: Buffer): void {
    this.#levels[level]?.set(hash('sha256', content, 'buffer'), index * NODE_HASH_BYTES)
  }
}
