import type { Want } from './want.ts'

/** Wants of one session that are to be asked of a peer, in the order in which they came; those that someone waits for go first. */
export class WantQueue {
  readonly #demanded = new Set<Want>()
  readonly #ahead = new Set<Want>()

  /** Reports whether no want is left that nobody waits for yet. */
  get hasNoneAhead (): boolean {
    return this.#ahead.size === 0
  }

  add (want: Want, isDemanded: boolean): void {
    (isDemanded ? this.#demanded : this.#ahead).add(want)
  }

  /** Somebody waits for a want that was queued to be fetched ahead. */
  demand (want: Want): void {
    if (this.#ahead.delete(want)) this.#demanded.add(want)
  }

  delete (want: Want): void {
    this.#demanded.delete(want)
    this.#ahead.delete(want)
  }

  /** Hands out one want after the other and takes it out, until `ask` answers `false`: then that one stays. Reports whether all are out. */
  drain (ask: (want: Want) => boolean): boolean {
    return drainSet(this.#demanded, ask) && drainSet(this.#ahead, ask)
  }
}

function drainSet (queue: Set<Want>, ask: (want: Want) => boolean): boolean {
  for (const want of queue) {
    if (!ask(want)) return false
    queue.delete(want)
  }
  return true
}
