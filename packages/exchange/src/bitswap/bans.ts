import type { PeerId } from '@holdfast/network'

/** How long a peer that lied is left alone, in milliseconds. */
export const BAN_MS = 600_000

/** Peers that are remembered as liars; identities are free, so more would only cost memory. */
export const MAX_BANNED_PEERS = 1024

/** Peers that nothing is asked of for a while, because they sent wrong bytes. Outlives their connections. */
export class Bans {
  readonly #untilMs = new Map<PeerId, number>()

  /** Bans a peer; above `MAX_BANNED_PEERS` the oldest ban ends. */
  add (id: PeerId): void {
    this.#untilMs.delete(id)
    this.#untilMs.set(id, performance.now() + BAN_MS)
    for (const oldest of this.#untilMs.keys()) {
      if (this.#untilMs.size <= MAX_BANNED_PEERS) break
      this.#untilMs.delete(oldest)
    }
  }

  has (id: PeerId): boolean {
    const untilMs = this.#untilMs.get(id)
    return untilMs !== undefined && untilMs > performance.now()
  }
}
