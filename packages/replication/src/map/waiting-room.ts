import { MAX_WAITING_BYTES, MAX_WAITING_RECORDS } from '../limits.ts'
import type { ClusterRecord } from '../record/record.ts'

/**
 * Records that may count later: dated in the future, or by somebody who is not known to be a member.
 *
 * Bounded; the oldest make room. What is forgotten comes again from the peers that keep it.
 */
export class WaitingRoom {
  readonly #records = new Map<string, ClusterRecord>()
  #byteLength = 0

  get count (): number {
    return this.#records.size
  }

  has (hash: string): boolean {
    return this.#records.has(hash)
  }

  add (record: ClusterRecord): void {
    if (this.#records.has(record.hash)) return
    this.#records.set(record.hash, record)
    this.#byteLength += record.bytes.byteLength
    for (const oldest of this.#records.values()) {
      if (this.#records.size <= MAX_WAITING_RECORDS && this.#byteLength <= MAX_WAITING_BYTES) break
      this.#delete(oldest)
    }
  }

  /** Removes and returns the records that fit. */
  take (fits: (record: ClusterRecord) => boolean): ClusterRecord[] {
    const taken = [...this.#records.values()].filter(fits)
    for (const record of taken) this.#delete(record)
    return taken
  }

  #delete (record: ClusterRecord): void {
    this.#records.delete(record.hash)
    this.#byteLength -= record.bytes.byteLength
  }
}
