/**
 * Lets the heap shrink while the node has nothing to do.
 *
 * V8 gives memory back when little was allocated for a while; the keep-alives of some hundred connections are already more than it
 * means by little. Its memory saver collects sooner and compacts what is left, at up to twice the processor time of a fetch: so it is on
 * only while there is no work that it could slow down.
 */
import { performance } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'

/** How often the node asks itself whether it works, in ms: for so long, at most, work goes on under the memory saver. */
const LOOK_INTERVAL_MS = 1000

/** Share of the time in which the event loop works, from which on a node is busy. With 300 peers and nothing to do it is below a hundredth. */
export const BUSY_SHARE = 0.2

/** Looks in a row that must find nothing to do; the chunks of a slow download are no reason to start anew each time. */
export const QUIET_LOOKS = 20

/** Tells `setSaving` once whenever a node that is looked at becomes quiet or busy. */
export class QuietWatch {
  readonly #setSaving: (isSaving: boolean) => void
  #quietLooks = 0

  constructor (setSaving: (isSaving: boolean) => void) {
    this.#setSaving = setSaving
  }

  /** Takes the share of the time in which the event loop worked since the last look, from 0 to 1. */
  look (busyShare: number): void {
    const wasSaving = this.#quietLooks >= QUIET_LOOKS
    this.#quietLooks = busyShare < BUSY_SHARE ? this.#quietLooks + 1 : 0
    const isSaving = this.#quietLooks >= QUIET_LOOKS
    if (isSaving !== wasSaving) this.#setSaving(isSaving)
  }
}

/** Watches this process until it is disposed. */
export function startQuietHeap (): Disposable {
  const watch = new QuietWatch(setMemorySaver)
  let seen = performance.eventLoopUtilization()
  const timer = setInterval(() => {
    const now = performance.eventLoopUtilization()
    watch.look(performance.eventLoopUtilization(now, seen).utilization)
    seen = now
  }, LOOK_INTERVAL_MS)
  timer.unref()
  return {
    [Symbol.dispose]: () => {
      clearInterval(timer)
      setMemorySaver(false)
    }
  }
}

/** Most flags of V8 must not change while it runs. This one is only read when a collection picks pages to compact and sets the next limit. */
function setMemorySaver (isSaving: boolean): void {
  setFlagsFromString(isSaving ? '--memory-saver-mode' : '--no-memory-saver-mode')
}
