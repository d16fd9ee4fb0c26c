/**
 * Lets the heap grow further between two collections while blocks move, and only then.
 *
 * V8 counts the buffers of blocks apart from its own objects, and marks its whole heap each time that 64 MB of buffers were added: 29
 * times at both ends for 1 GiB that is fetched, and a fifth of their processor time was V8's threads. While blocks move one limit is set
 * for both together, which follows from what is live. An idle node keeps the small steps:
 * what it lets go is given back soon, by a collection that V8 makes by itself once nothing happens.
 */
import { setFlagsFromString } from 'node:v8'

/** How often it is looked at what was moved, in milliseconds. */
const LOOK_MS = 500

/** Bytes of blocks between two looks from which a node counts as busy: 8 MiB/s. */
export const BUSY_BYTES: number = 4 << 20

/** Looks without that many bytes after which it no longer does. */
export const QUIET_LOOKS = 4

/**
 * By how many percent the heap and the buffers may grow beyond what is live while the node is busy.
 *
 * Measured with 1 GiB that is fetched, four rounds each: the end that fetches holds 285 MiB at its peak, and 370 with 200 percent, which
 * collects half as often, but the rates differ less than those of two runs of the same do.
 */
export const BUSY_GROWTH_PERCENT = 100

/** V8's own choice, which follows how much time collections take. */
const V8_CHOOSES = 0

/** Tells from what was moved so far when the step changes. */
export class HeapGrowth {
  readonly #setPercent: (percent: number) => void
  #movedBytes = 0
  #quietLooks = QUIET_LOOKS

  constructor (setPercent: (percent: number) => void) {
    this.#setPercent = setPercent
  }

  look (movedBytes: number): void {
    const wasBusy = this.#quietLooks < QUIET_LOOKS
    const isMoving = movedBytes - this.#movedBytes >= BUSY_BYTES
    this.#movedBytes = movedBytes
    this.#quietLooks = isMoving ? 0 : Math.min(this.#quietLooks + 1, QUIET_LOOKS)
    const isBusy = this.#quietLooks < QUIET_LOOKS
    if (isBusy !== wasBusy) this.#setPercent(isBusy ? BUSY_GROWTH_PERCENT : V8_CHOOSES)
  }
}

/** Follows how many bytes of blocks a node has sent and received, until it is disposed. */
export function startHeapGrowth (movedBytes: () => number): Disposable {
  const growth = new HeapGrowth(setGrowth)
  const timer = setInterval(() => { growth.look(movedBytes()) }, LOOK_MS).unref()
  return {
    [Symbol.dispose] () {
      clearInterval(timer)
      setGrowth(V8_CHOOSES)
    }
  }
}

/** Most flags of V8 must not change while it runs. These two are only read when it looks whether to collect, and sets the next limit. */
function setGrowth (percent: number): void {
  for (const flag of growthFlags(percent)) setFlagsFromString(flag)
}

/** What V8 is told. Its own choice has a limit of its own for buffers. */
export function growthFlags (percent: number): string[] {
  return [`--heap-growing-percent=${percent}`, `--${percent === V8_CHOOSES ? 'no-' : ''}external-memory-accounted-in-global-limit`]
}
