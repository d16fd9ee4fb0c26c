import type { PeerId } from '@holdfast/network'
import { MAX_HOLDS } from '../limits.ts'
import type { HoldState } from '../record/record.ts'
import { type HoldWord, isNewer, type PinKey, type StoredHold } from './stored-record.ts'

/** The copies that one member says it has. */
export interface CopyTotal {
  readonly count: number
  readonly byteLength: number
}

/** What members say of their copies: of each member and content one word, the newest. */
export class HoldBook {
  readonly #holds = new Map<PinKey, Map<PeerId, StoredHold>>()
  /** Kept with each change: they are asked for ten times a second, and there may be millions of holds. */
  readonly #totals = new Map<PeerId, CopyTotal>()
  #count = 0

  get count (): number {
    return this.#count
  }

  get totals (): ReadonlyMap<PeerId, CopyTotal> {
    return this.#totals
  }

  of (pinKey: PinKey): Iterable<StoredHold> {
    return this.#holds.get(pinKey)?.values() ?? []
  }

  get (pinKey: PinKey, holder: PeerId): StoredHold | undefined {
    return this.#holds.get(pinKey)?.get(holder)
  }

  /** Reports whether this says something that is not known, and there is room for it. */
  isNews (hold: HoldWord): boolean {
    const known = this.get(hold.pinKey, hold.writer)
    return isNewer(hold, known) && (known !== undefined || this.#count < MAX_HOLDS)
  }

  /** Takes in news. Returns what it replaced. */
  put (hold: StoredHold): StoredHold | undefined {
    const holds = this.#holds.get(hold.pinKey) ?? new Map<PeerId, StoredHold>()
    const known = holds.get(hold.writer)
    this.#holds.set(hold.pinKey, holds.set(hold.writer, hold))
    this.#add(hold, 1)
    if (known === undefined) this.#count++
    else this.#add(known, -1)
    return known
  }

  delete (hold: StoredHold): void {
    const holds = this.#holds.get(hold.pinKey)
    if (holds?.get(hold.writer) !== hold) return
    holds.delete(hold.writer)
    if (holds.size === 0) this.#holds.delete(hold.pinKey)
    this.#count--
    this.#add(hold, -1)
  }

  #add ({ writer, state, byteLength }: StoredHold, sign: 1 | -1): void {
    if (!isCopy(state)) return
    const total = this.#totals.get(writer) ?? { count: 0, byteLength: 0 }
    const count = total.count + sign
    if (count === 0) this.#totals.delete(writer)
    else this.#totals.set(writer, { count, byteLength: total.byteLength + sign * byteLength })
  }
}

function isCopy (state: HoldState): boolean {
  return state === 'verified' || state === 'complete'
}
