/**
 * Hybrid logical clock: wall time, and a counter for what happens within one millisecond or while the clock stands still.
 *
 * @see Kulkarni, Demirbas et al., "Logical Physical Clocks", OPODIS 2014
 */
import { MAX_CLOCK_LEAD_MS } from '../limits.ts'

/** Milliseconds since 1970, and a counter. */
export type Hlc = readonly [ms: number, counter: number]

/** Latest time of a record, in ms since 1970: what ECMAScript can tell. */
export const MAX_HLC_MS = 8.64e15

/** Highest counter: 32 bits. */
export const MAX_HLC_COUNTER = 0xffff_ffff

export function compareHlc (a: Hlc, b: Hlc): number {
  return a[0] - b[0] || a[1] - b[1]
}

/** Reports whether a time lies so far ahead of the clock that it cannot be an honest one. */
export function isFuture ([ms]: Hlc, nowMs: number): boolean {
  return ms > nowMs + MAX_CLOCK_LEAD_MS
}

/** Gives times that rise strictly, and are above all that were observed. */
export class HlcClock {
  readonly #now: () => number
  #last: Hlc = [0, 0]

  constructor (now: () => number) {
    this.#now = now
  }

  /** The next time. When the wall clock was set back by more than the lead that others bear, it follows the wall clock. */
  next (): Hlc {
    const nowMs = Math.floor(this.#now())
    const [lastMs, counter] = this.#last
    if (lastMs < nowMs || isFuture(this.#last, nowMs)) this.#last = [nowMs, 0]
    else this.#last = counter < MAX_HLC_COUNTER ? [lastMs, counter + 1] : [lastMs + 1, 0]
    return this.#last
  }

  /** Takes note of the time of another's record. One from the future changes nothing. */
  observe (time: Hlc): void {
    if (compareHlc(time, this.#last) > 0 && !isFuture(time, this.#now())) this.#last = time
  }
}
