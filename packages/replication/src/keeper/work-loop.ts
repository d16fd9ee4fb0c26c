import type { Logger } from '@holdfast/core'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { PinKey } from '../map/stored-record.ts'
import { PINS_PER_SLICE, SWEEP_MS } from './limits.ts'
import type { Content } from './pin-index.ts'

export interface WorkLoopDeps {
  readonly log: Logger
  /** Learns what there is, before anything is begun; false when that was cut short. */
  readonly load: (signal: AbortSignal) => Promise<boolean>
  readonly contents: () => IterableIterator<Content>
  /** Does what is to be done about one content, from all that is known now. */
  readonly lookAt: (pinKey: PinKey) => void
}

/**
 * Looks at contents that are due, in slices that let other work through.
 *
 * Level-triggered: it holds only which contents to look at, never what happened to them.
 */
export class WorkLoop implements AsyncDisposable {
  readonly #deps: WorkLoopDeps
  readonly #closed = new AbortController()
  /** To be looked at. */
  readonly #due = new Set<PinKey>()
  /** Not as wanted: looked at again with every interval. */
  readonly #unsettled = new Set<PinKey>()
  #sweep: Iterator<Content> | undefined
  #sweptAtMs = performance.now()
  #working: Promise<void> | undefined
  #isLoaded = false

  constructor (deps: WorkLoopDeps) {
    this.#deps = deps
  }

  /** Has a content looked at soon. */
  add (pinKey: PinKey): void {
    this.#due.add(pinKey)
  }

  /** Has it looked at again with every interval, until it is settled. */
  unsettle (pinKey: PinKey): void {
    this.#unsettled.add(pinKey)
  }

  settle (pinKey: PinKey): void {
    this.#unsettled.delete(pinKey)
  }

  /** Has everything looked at. Does nothing until all was learnt: that looks at everything by itself. */
  sweep (): void {
    if (!this.#isLoaded) return
    this.#sweep = this.#deps.contents()
    this.#sweptAtMs = performance.now()
    this.run()
  }

  /** An interval went by. */
  tick (): void {
    for (const pinKey of this.#unsettled) this.#due.add(pinKey)
    if (performance.now() - this.#sweptAtMs > SWEEP_MS) this.sweep()
    this.run()
  }

  /** Begins anew: learns everything again. */
  restart (): void {
    this.#due.clear()
    this.#unsettled.clear()
    this.#sweep = undefined
    this.#isLoaded = false
    this.run()
  }

  /** Begins to look at what is due, when that is not under way. */
  run (): void {
    if (this.#closed.signal.aborted) return
    this.#working ??= this.#workThrough()
      .catch((err: unknown) => { this.#deps.log.error('The keeper could not read the pins, and tries again later', { err }) })
      .finally(() => {
        this.#working = undefined
        if (this.#due.size > 0) this.run()
      })
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#closed.abort()
    await this.#working
  }

  async #workThrough (): Promise<void> {
    await nextTurn()
    if (!this.#isLoaded && await this.#deps.load(this.#closed.signal)) {
      this.#isLoaded = true
      this.sweep()
    }
    for (let isMore = true; isMore && !this.#closed.signal.aborted;) {
      isMore = this.#workSlice()
      await nextTurn()
    }
  }

  #workSlice (): boolean {
    const slice = [...this.#due.values().take(PINS_PER_SLICE)]
    for (const pinKey of slice) {
      this.#due.delete(pinKey)
      this.#tryLookAt(pinKey)
    }
    for (let count = slice.length; count < PINS_PER_SLICE && this.#sweep !== undefined; count++) {
      const { done, value } = this.#sweep.next()
      if (done === true) this.#sweep = undefined
      else this.#tryLookAt(value.pinKey)
    }
    return this.#due.size > 0 || this.#sweep !== undefined
  }

  #tryLookAt (pinKey: PinKey): void {
    try {
      this.#deps.lookAt(pinKey)
    } catch (err) {
      this.#deps.log.error('The keeper stumbled over a pin, and tries it again later', { pinKey, err })
      this.#unsettled.add(pinKey)
    }
  }
}
