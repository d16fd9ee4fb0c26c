import { MAX_FORGET_RECORDS } from '../limits.ts'
import { forgottenIn, type StoredForget } from './stored-record.ts'

/** Deleted pins that are forgotten for good, by records that count: some 100 bytes each. */
export class ForgottenPins {
  /** How many records have forgotten it. */
  readonly #counts = new Map<string, number>()
  #recordCount = 0

  get count (): number {
    return this.#counts.size
  }

  get hasRoom (): boolean {
    return this.#recordCount < MAX_FORGET_RECORDS
  }

  has (pinId: string): boolean {
    return this.#counts.has(pinId)
  }

  /** Takes in a record, and returns the pins that it names. */
  put (forget: StoredForget): string[] {
    const ids = forgottenIn(forget)
    for (const id of ids) this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1)
    this.#recordCount++
    return ids
  }

  /** Takes out a record that does not count any more. What it made void comes back from members that still have it. */
  delete (forget: StoredForget): void {
    for (const id of forgottenIn(forget)) {
      const count = this.#counts.get(id) ?? 0
      if (count > 1) this.#counts.set(id, count - 1)
      else this.#counts.delete(id)
    }
    this.#recordCount--
  }
}
