import { HoldfastError } from '@holdfast/core'

/**
 * How long a call waits for its caller to send or to take something, in milliseconds. Long enough for whoever feeds an
 * `add` by hand; without an end, callers that stand still would fill the places of others.
 */
export const CALLER_STALL_MS: number = 10 * 60 * 1000

/** Ends a call whose caller neither sends nor takes anything. Time that the node needs itself does not count. */
export class StallWatch {
  readonly #ended: AbortController
  readonly #stallMs: number

  constructor (ended: AbortController, stallMs: number = CALLER_STALL_MS) {
    this.#ended = ended
    this.#stallMs = stallMs
  }

  /** Begins a wait for the caller; disposing ends it. */
  waitForCaller (): Disposable {
    const timer = setTimeout(() => {
      this.#ended.abort(new HoldfastError('UNAVAILABLE', `The caller neither sent nor took anything for ${this.#stallMs / 1000} s`))
    }, this.#stallMs)
    return { [Symbol.dispose]: () => { clearTimeout(timer) } }
  }

  /** Passes a body on; each wait for its next piece is one for the caller, and ends when the call does. */
  async * body (source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    const iterator = source[Symbol.asyncIterator]()
    for (;;) {
      this.#ended.signal.throwIfAborted()
      const next = await this.#next(iterator)
      if (next.done === true) return
      yield next.value
    }
  }

  async #next (iterator: AsyncIterator<Uint8Array>): Promise<IteratorResult<Uint8Array>> {
    const { signal } = this.#ended
    using _waiting = this.waitForCaller()
    // Not a race with one promise for the whole call: that would keep every piece that ever won.
    const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<Uint8Array>>()
    const onAbort = (): void => { reject(signal.reason) }
    signal.addEventListener('abort', onAbort, { once: true })
    iterator.next().then(resolve, reject)
    try {
      return await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}
