import { isErrorCode, type Logger } from '@holdfast/core'
import type { CollectResult } from './collect.ts'

/** Share of the bound from which on garbage is collected without being asked for: a tenth is left for what is written meanwhile (Kubo's `StorageGCWatermark`). */
export const COLLECT_WATERMARK = 0.9

/** Least share of the bound that is written between two collections: where nothing can go, not every write looks again. */
const MIN_WRITTEN_SHARE = 0.01

/** How often it is looked whether much was written, in ms. */
const CHECK_INTERVAL_MS = 5_000

export interface CollectorDeps {
  /** Bytes of all stored blocks. May take a walk of the store. */
  usedBytes(): Promise<number>
  /** Bytes that were written since the start. */
  writtenBytes(): number
  collect(options: { readonly signal: AbortSignal }): Promise<CollectResult>
  readonly log: Logger
}

export interface CollectorOptions {
  /** Bytes that all blocks may take. */
  readonly maxBytes: number
  /** @default CHECK_INTERVAL_MS */
  readonly intervalMs?: number | undefined
}

/**
 * Collects garbage whenever the store holds more than `COLLECT_WATERMARK` of its bound.
 *
 * The store is measured only when so much was written that it may have got there.
 */
export function startCollector (deps: CollectorDeps, options: CollectorOptions): AsyncDisposable {
  return new Collector(deps, options)
}

class Collector implements AsyncDisposable {
  readonly #deps: CollectorDeps
  readonly #maxBytes: number
  readonly #timer: NodeJS.Timeout
  readonly #closing = new AbortController()
  /** What may be written before it is looked again; at first it is not known how much is there. */
  #headroomBytes = 0
  #writtenBytes = 0
  #looking: Promise<void> | undefined

  constructor (deps: CollectorDeps, { maxBytes, intervalMs = CHECK_INTERVAL_MS }: CollectorOptions) {
    this.#deps = deps
    this.#maxBytes = maxBytes
    this.#timer = setInterval(() => { this.#lookWhenDue() }, intervalMs).unref()
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    clearInterval(this.#timer)
    this.#closing.abort(new Error('The node is closing'))
    await this.#looking
  }

  #lookWhenDue (): void {
    if (this.#looking !== undefined || this.#deps.writtenBytes() - this.#writtenBytes < this.#headroomBytes) return
    this.#looking = this.#look()
      .catch((err: unknown) => {
        // Whoever collects already does what is to be done.
        if (!this.#closing.signal.aborted && !isErrorCode(err, 'UNAVAILABLE')) this.#deps.log.warn('Garbage could not be collected, and the store is nearly full', { err })
      })
      .finally(() => { this.#looking = undefined })
  }

  async #look (): Promise<void> {
    const { signal } = this.#closing
    this.#headroomBytes = this.#maxBytes * MIN_WRITTEN_SHARE
    if (await this.#measure() > 0) return
    const { removedCount, removedByteLength } = await this.#deps.collect({ signal })
    this.#deps.log.info('Garbage was collected because the store is nearly full', { removedCount, removedByteLength, maxBytes: this.#maxBytes })
    await this.#measure()
  }

  /** Returns the bytes that are left below the watermark, less than 0 above it. */
  async #measure (): Promise<number> {
    const writtenBytes = this.#deps.writtenBytes()
    const leftBytes = this.#maxBytes * COLLECT_WATERMARK - await this.#deps.usedBytes()
    this.#writtenBytes = writtenBytes
    this.#headroomBytes = Math.max(leftBytes, this.#maxBytes * MIN_WRITTEN_SHARE)
    return leftBytes
  }
}
