import type { PeerId } from '@holdfast/network'
import { MAX_CONTEXT_WRITERS } from '../limits.ts'
import { compareHlc, type Hlc } from '../record/hlc.ts'
import { comparePins, isReplacedBy, type PinWord, type StoredPin } from './stored-record.ts'

const NOTHING: readonly StoredPin[] = []

/** Of each pin the records that no other replaces; more than one where members changed it without seeing the other. */
export class PinBook {
  readonly #records = new Map<string, readonly StoredPin[]>()
  readonly #maxPins: number

  constructor (maxPins: number) {
    this.#maxPins = maxPins
  }

  /** Deleted pins included. */
  get count (): number {
    return this.#records.size
  }

  /** The put that decides what a pin is, or `undefined` when it is deleted or was never there. */
  get (pinId: string): StoredPin | undefined {
    return decisivePut(this.#of(pinId))
  }

  /** The put of each pin that is not deleted. */
  * list (): Generator<StoredPin> {
    for (const records of this.#records.values()) {
      const put = decisivePut(records)
      if (put !== undefined) yield put
    }
  }

  /** Reports whether this says something that is not known, and there is room for it. */
  isNews (pin: PinWord): boolean {
    const held = this.#records.get(pin.pinId)
    if (held === undefined) return this.#records.size < this.#maxPins
    return !held.some((other) => other.hash === pin.hash || isReplacedBy(pin, other))
  }

  /** Takes in news. Returns what it replaced. */
  put (pin: StoredPin): readonly StoredPin[] {
    const held = this.#of(pin.pinId)
    const replaced = held.filter((other) => isReplacedBy(other, pin))
    this.#records.set(pin.pinId, [...held.filter((other) => !replaced.includes(other)), pin])
    return replaced
  }

  delete (pin: StoredPin): void {
    const rest = this.#of(pin.pinId).filter((other) => other !== pin)
    if (rest.length === 0) this.#records.delete(pin.pinId)
    else this.#records.set(pin.pinId, rest)
  }

  /** Takes out all records of a pin, and returns them. */
  forget (pinId: string): readonly StoredPin[] {
    const held = this.#of(pinId)
    this.#records.delete(pinId)
    return held
  }

  /** The pins that were deleted, and not changed since a time in ms, by their ids. */
  * deletedBefore (timeMs: number): Generator<string> {
    for (const pinId of this.#records.keys()) if (this.isDeletedBefore(pinId, timeMs)) yield pinId
  }

  isDeletedBefore (pinId: string, timeMs: number): boolean {
    return this.#records.get(pinId)?.every(({ isPut, hlc: [ms] }) => !isPut && ms < timeMs) ?? false
  }

  /** Reports whether the same writer signed another record of this pin with the same number: it was copied, or means harm. */
  contradicts ({ pinId, writer, seq, hash }: PinWord): boolean {
    return this.#of(pinId).some((other) => other.writer === writer && other.seq === seq && other.hash !== hash)
  }

  /** What a new record of this pin replaces: all that is held of it, and all that those replaced. */
  contextOf (pinId: string): Map<PeerId, number> {
    const context = new Map<PeerId, number>()
    const add = (writer: PeerId, seq: number): void => { context.set(writer, Math.max(seq, context.get(writer) ?? 0)) }
    const held = this.#of(pinId)
    for (const record of held) add(record.writer, record.seq)
    for (const record of held) {
      for (const [writer, seq] of record.context) {
        if (context.has(writer) || context.size < MAX_CONTEXT_WRITERS) add(writer, seq)
      }
    }
    return new Map([...context].slice(0, MAX_CONTEXT_WRITERS))
  }

  /** When the pin was changed last. */
  latestTimeOf (pinId: string): Hlc | undefined {
    return this.#records.get(pinId)?.map(({ hlc }) => hlc).reduce((latest, hlc) => compareHlc(hlc, latest) > 0 ? hlc : latest)
  }

  #of (pinId: string): readonly StoredPin[] {
    return this.#records.get(pinId) ?? NOTHING
  }
}

function decisivePut (records: readonly StoredPin[]): StoredPin | undefined {
  let decisive: StoredPin | undefined
  for (const record of records) {
    if (record.isPut && (decisive === undefined || comparePins(record, decisive) > 0)) decisive = record
  }
  return decisive
}
