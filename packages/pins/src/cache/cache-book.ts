import type { CacheRecord } from './log-format.ts'

/** Keeps the changes of a book: a file, or nothing. */
export interface BookLog {
  append(record: CacheRecord): void
}

/** What is known of the cache. */
export interface CacheCounts {
  readonly blockCount: number
  /** Bytes of those blocks, without the overhead of the engine. */
  readonly byteLength: number
}

/** A say about blocks that are being stored; it ends with the storing. */
interface Owning extends Disposable {}

/**
 * Knows which blocks are cache, from the one that was used longest ago to the latest.
 *
 * A block is cache when it was fetched, was not here before, and nobody put or pinned it since. Every method answers at
 * once, so that no decision is taken on a state that has changed. Holds about 90 bytes for each block of sha2-256.
 */
export class CacheBook implements CacheCounts {
  readonly #log: BookLog
  readonly #byteLengths: Map<string, number>
  #byteLength = 0
  /** Blocks that a fetch is about to store: cache, if nobody else puts them meanwhile. */
  readonly #claims = new Map<string, object>()
  /** How many puts of a block run that make it no cache. */
  readonly #owners = new Map<string, number>()

  constructor (log: BookLog, entries: ReadonlyMap<string, number> = new Map()) {
    this.#log = log
    this.#byteLengths = new Map(entries)
    for (const byteLength of entries.values()) this.#byteLength += byteLength
  }

  get blockCount (): number {
    return this.#byteLengths.size
  }

  get byteLength (): number {
    return this.#byteLength
  }

  has (key: string): boolean {
    return this.#byteLengths.has(key)
  }

  /** The blocks and their lengths, the one that was used longest ago first. Follows changes made meanwhile. */
  entries (): MapIterator<[key: string, byteLength: number]> {
    return this.#byteLengths.entries()
  }

  /** Notes that the block was used. */
  touch (key: string): void {
    const byteLength = this.#byteLengths.get(key)
    if (byteLength === undefined) return
    this.#byteLengths.delete(key)
    this.#byteLengths.set(key, byteLength)
  }

  /**
   * Says that a fetch is about to store these blocks. Those of them that turn out to be here already are withdrawn;
   * for those left when they are stored, `commit` is called.
   */
  claim (keys: Iterable<string>): Claim {
    const token = {}
    for (const key of keys) {
      if (this.has(key)) this.touch(key)
      else if (!this.#owners.has(key) && !this.#claims.has(key)) this.#claims.set(key, token)
    }
    const isOurs = (key: string): boolean => this.#claims.get(key) === token
    return {
      has: isOurs,
      withdraw: (key) => { if (isOurs(key)) this.#claims.delete(key) },
      commit: (key, byteLength) => {
        if (!isOurs(key)) return
        this.#claims.delete(key)
        this.#byteLengths.set(key, byteLength)
        this.#byteLength += byteLength
        this.#log.append({ kind: 'cached', key, byteLength })
      }
    }
  }

  /** The blocks are no cache from now on, also when a fetch stores them before the result is disposed. */
  own (keys: readonly string[]): Owning {
    for (const key of keys) {
      this.#owners.set(key, (this.#owners.get(key) ?? 0) + 1)
      this.forget(key)
    }
    return {
      [Symbol.dispose]: () => {
        for (const key of keys) {
          const others = (this.#owners.get(key) ?? 1) - 1
          if (others === 0) this.#owners.delete(key)
          else this.#owners.set(key, others)
        }
      }
    }
  }

  /** The block is no cache any more: it is kept, or it is gone. */
  forget (key: string): void {
    this.#claims.delete(key)
    const byteLength = this.#byteLengths.get(key)
    if (byteLength === undefined) return
    this.#byteLengths.delete(key)
    this.#byteLength -= byteLength
    this.#log.append({ kind: 'forgotten', key })
  }

  /** Forgets every block: all stay until the collector comes. */
  clear (): void {
    for (const key of Array.from(this.#byteLengths.keys())) this.forget(key)
    this.#claims.clear()
  }
}

/** What a fetch says about the blocks that it stores. */
export interface Claim {
  /** Reports whether the block will be cache. */
  has(key: string): boolean
  withdraw(key: string): void
  /** The block is stored: it is cache, unless somebody else put it meanwhile. */
  commit(key: string, byteLength: number): void
}
