import type { PinKey } from '../map/stored-record.ts'
import { FULL_AT, ROOM_AT } from './limits.ts'

/**
 * What the copies for the cluster take on this node, and what is promised to fetches under way.
 *
 * Blocks that several pins share are counted for each: a node promises too little rather than too much.
 */
export class SpaceLedger {
  readonly capacityBytes: number
  readonly #byteLengths = new Map<PinKey, number>()
  #usedBytes = 0
  #isFull = false

  constructor (capacityBytes: number) {
    this.capacityBytes = capacityBytes
  }

  /** Promised bytes included. */
  get usedBytes (): number {
    return this.#usedBytes
  }

  get freeBytes (): number {
    return Math.max(0, this.capacityBytes - this.#usedBytes)
  }

  /** Takes no new pins: from 95 % on, until it is below 85 %. */
  get isFull (): boolean {
    const share = this.capacityBytes === 0 ? 1 : this.#usedBytes / this.capacityBytes
    this.#isFull = share >= FULL_AT || this.#isFull && share > ROOM_AT
    return this.#isFull
  }

  /** Counts so many bytes for a content, in place of what was counted for it. */
  set (pinKey: PinKey, byteLength: number): void {
    this.#usedBytes += byteLength - (this.#byteLengths.get(pinKey) ?? 0)
    this.#byteLengths.set(pinKey, byteLength)
  }

  /** The same, unless that is more than there is. Less than before always fits. */
  reserve (pinKey: PinKey, byteLength: number): boolean {
    const heldBytes = this.#byteLengths.get(pinKey) ?? 0
    if (byteLength > heldBytes && this.#usedBytes + byteLength - heldBytes > this.capacityBytes) return false
    this.set(pinKey, byteLength)
    return true
  }

  byteLengthOf (pinKey: PinKey): number {
    return this.#byteLengths.get(pinKey) ?? 0
  }

  release (pinKey: PinKey): void {
    this.#usedBytes -= this.#byteLengths.get(pinKey) ?? 0
    this.#byteLengths.delete(pinKey)
  }

  clear (): void {
    this.#byteLengths.clear()
    this.#usedBytes = 0
  }
}
