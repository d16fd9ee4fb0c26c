import type { CID } from 'multiformats/cid'
import type { CidPrefix } from './cid-prefix.ts'
import { MAX_LIVE_WANTS } from './limits.ts'

/** Asks that ended at a peer and are still remembered, to tell a late block from a wrong one. */
const MAX_ENDED: number = 2 * MAX_LIVE_WANTS

/** What may come from one peer: tells blocks that are worth a hash, and late ones from wrong ones. */
export class ExpectedBlocks {
  /** Hash functions and digest lengths of the blocks that may come, with how many. */
  readonly #hashes = new Map<string, number>()
  /** Asks that ended, by key; `true` where a block that comes late is still welcome. */
  readonly #ended = new Map<string, { hashName: string, isWelcome: boolean }>()

  /** The peer is asked for something. */
  add (key: string, cid: CID): void {
    this.#forget(key)
    this.#count(hashNameOf(cid), 1)
  }

  /** What was asked is over. */
  end (key: string, cid: CID, { isWelcome }: { isWelcome: boolean }): void {
    const hashName = hashNameOf(cid)
    if (!isWelcome) this.#count(hashName, -1)
    this.#ended.set(key, { hashName, isWelcome })
    for (const oldest of this.#ended.keys()) {
      if (this.#ended.size <= MAX_ENDED) break
      this.#forget(oldest)
    }
  }

  /** Reports whether an ask for this block is over, and not for long. */
  hasEnded (key: string): boolean {
    return this.#ended.has(key)
  }

  /**
   * Reports whether a block of such a CID is awaited at all; if not, it is not worth a hash.
   *
   * Version and codec do not count: 1.0 does not say them, and the same bytes answer every CID of the multihash.
   */
  includes ({ hash, digestByteLength }: CidPrefix): boolean {
    return this.#hashes.has(`${hash}:${digestByteLength}`)
  }

  #forget (key: string): void {
    const ended = this.#ended.get(key)
    this.#ended.delete(key)
    if (ended?.isWelcome === true) this.#count(ended.hashName, -1)
  }

  #count (hashName: string, change: 1 | -1): void {
    const count = (this.#hashes.get(hashName) ?? 0) + change
    if (count > 0) this.#hashes.set(hashName, count)
    else this.#hashes.delete(hashName)
  }
}

function hashNameOf ({ multihash }: CID): string {
  return `${multihash.code}:${multihash.size}`
}
