/** Calls back when it was armed and nobody disarmed it in time. Arming it again begins anew. */
export class Watchdog implements Disposable {
  readonly #timeoutMs: number
  readonly #onTimeout: () => void
  #timer: NodeJS.Timeout | undefined

  constructor (timeoutMs: number, onTimeout: () => void) {
    this.#timeoutMs = timeoutMs
    this.#onTimeout = onTimeout
  }

  arm (): void {
    if (this.#timer !== undefined) {
      this.#timer.refresh()
      return
    }
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#onTimeout()
    }, this.#timeoutMs)
  }

  disarm (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  [Symbol.dispose] (): void {
    this.disarm()
  }
}
