/** A connection of a stranger whose handshake is under way. */
export interface Handshake {
  /** The address group, where it has a bound. */
  readonly group?: { readonly name: string, readonly maxCount: number }
  /** Whether the other side has sent a byte. */
  hasSpoken(): boolean
  /** Ends it. */
  close(reason: Error): void
}

/**
 * The handshakes of others that are under way, in the order in which they came: never more than `maxCount`.
 *
 * A new one is always let in. When there is no room, in all or in its group, the oldest that has not said a word makes some, or
 * else the oldest: who connects and stays silent loses the place to whoever comes next, and shuts nobody out. The library counts
 * too, but refuses the new ones, and not at all once its count has gone past the bound.
 */
export class PendingHandshakes {
  readonly #maxCount: number
  readonly #waiting = new Set<Handshake>()

  constructor (maxCount: number) {
    this.#maxCount = maxCount
  }

  get count (): number {
    return this.#waiting.size
  }

  /** Lets a handshake in until it is disposed. */
  enter (handshake: Handshake): Disposable {
    const { group } = handshake
    if (group !== undefined) this.#makeRoom([...this.#waiting].filter((other) => other.group?.name === group.name), group.maxCount)
    this.#makeRoom([...this.#waiting], this.#maxCount)
    this.#waiting.add(handshake)
    return { [Symbol.dispose]: () => { this.#waiting.delete(handshake) } }
  }

  #makeRoom (candidates: readonly Handshake[], maxCount: number): void {
    if (candidates.length < maxCount) return
    const loser = candidates.find((handshake) => !handshake.hasSpoken()) ?? candidates[0]
    if (loser === undefined) return
    this.#waiting.delete(loser)
    loser.close(new Error('The handshake took longer than those that came after it'))
  }
}
