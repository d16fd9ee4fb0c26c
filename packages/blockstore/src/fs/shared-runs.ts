/**
 * Lets callers share the runs of a costly operation on one thing, such as the sync of a folder.
 *
 * Every call is answered by a run that began after the call; calls that come while one runs share the next.
 */
export class SharedRuns {
  readonly #runs = new Map<string, { current: Promise<void>, next: Promise<void> | undefined }>()

  /** Resolves when a run of `operation` that began after this call has succeeded. */
  async run (key: string, operation: () => Promise<void>): Promise<void> {
    const running = this.#runs.get(key)
    if (running === undefined) return await this.#begin(key, operation)
    running.next ??= running.current.then(
      () => this.#begin(key, operation),
      () => this.#begin(key, operation)
    )
    await running.next
  }

  async #begin (key: string, operation: () => Promise<void>): Promise<void> {
    const run: { current: Promise<void>, next: Promise<void> | undefined } = { current: operation(), next: undefined }
    this.#runs.set(key, run)
    try {
      await run.current
    } finally {
      if (run.next === undefined) this.#runs.delete(key)
    }
  }
}
