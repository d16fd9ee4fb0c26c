/**
 * Lets the heap grow further between two collections while blocks move, and only then.
 *
 * V8 counts the buffers of blocks with its own objects, and marks the whole heap each time that some 12 MiB of both were added to a heap
 * of 35: 28 times for 512 MiB that are fetched, a third of the processor time of both ends. An idle node keeps the small steps:
 * what it lets go is given back soon, by a collection that V8 makes by itself once nothing happens.
 */
import { setFlagsFromString } from 'node:v8'

/** How often it is looked at what was moved, in milliseconds. */
const LOOK_MS = 500

/** Bytes of blocks between two looks from which a node counts as busy: 8 MiB/s. */
export const BUSY_BYTES: number = 4 << 20

/** Looks without that many bytes after which it no longer does. */
export const QUIET_LOOKS = 4

/** By how many percent the heap may grow while the node is busy: a fetch of 512 MiB then collects 8 times, and holds as much as before at its peak. */
export const BUSY_GROWTH_PERCENT = 300

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
  // Read by V8 at the end of each collection, and nowhere else.
  const setPercent = (percent: number): void => { setFlagsFromString(`--heap-growing-percent=${percent}`) }
  const growth = new HeapGrowth(setPercent)
  const timer = setInterval(() => { growth.look(movedBytes()) }, LOOK_MS).unref()
  return {
    [Symbol.dispose] () {
      clearInterval(timer)
      setPercent(V8_CHOOSES)
    }
  }
}
