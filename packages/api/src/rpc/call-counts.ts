import type { CallCounts } from './node-metrics.ts'

/** Counts calls by command and status: both come from short lists, so there are few of them. */
export class CallCounter implements CallCounts {
  readonly #counts = new Map<string, { readonly command: string, readonly status: number, count: number }>()
  openCount = 0

  /** Counts a call that has ended. @param command A command of the table; empty for what was turned away. */
  ended (command: string, status: number): void {
    const key = `${status} ${command}`
    const entry = this.#counts.get(key) ?? { command, status, count: 0 }
    entry.count++
    this.#counts.set(key, entry)
  }

  counted (): Iterable<{ readonly command: string, readonly status: number, readonly count: number }> {
    return this.#counts.values()
  }
}
