import { HoldfastError, type Ipld } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import { CID } from 'multiformats/cid'
import { type Hlc, MAX_HLC_COUNTER, MAX_HLC_MS } from './hlc.ts'
import { peerFromBytes } from './peer-bytes.ts'

/**
 * Reads the fields of a decoded map, each with its type and bound.
 *
 * Fields that nobody asks for are passed over: a newer version may have put them there.
 *
 * @throws `INVALID` naming the field, from every method.
 */
export class Fields {
  readonly #what: string
  readonly #map: ReadonlyMap<string, Ipld>

  /** @param what For messages: "A pin record". */
  constructor (value: Ipld, what: string) {
    this.#what = what
    if (!isMap(value)) throw new HoldfastError('INVALID', `${what} is not a map`)
    this.#map = new Map(Object.entries(value))
  }

  get names (): string[] {
    return [...this.#map.keys()]
  }

  has (name: string): boolean {
    return this.#map.has(name)
  }

  bytes (name: string, { min = 0, max }: { min?: number, max: number }): Uint8Array {
    const value = this.#map.get(name)
    if (!(value instanceof Uint8Array) || value.byteLength < min || value.byteLength > max) throw this.#wrong(name)
    return value
  }

  text (name: string, maxBytes: number): string {
    const value = this.#map.get(name)
    if (typeof value !== 'string' || Buffer.byteLength(value) > maxBytes) throw this.#wrong(name)
    return value
  }

  /** A whole number from `min` to `max`. */
  integer (name: string, { min = 0, max = Number.MAX_SAFE_INTEGER }: { min?: number, max?: number } = {}): number {
    const value = this.#map.get(name)
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) throw this.#wrong(name)
    return value
  }

  boolean (name: string): boolean {
    const value = this.#map.get(name)
    if (typeof value !== 'boolean') throw this.#wrong(name)
    return value
  }

  oneOf <const Choice extends string> (name: string, choices: readonly Choice[]): Choice {
    const value = this.#map.get(name)
    const choice = choices.find((choice) => choice === value)
    if (choice === undefined) throw this.#wrong(name)
    return choice
  }

  cid (name: string): CID {
    const cid = CID.asCID(this.#map.get(name))
    if (cid === null) throw this.#wrong(name)
    return cid
  }

  peer (name: string): PeerId {
    const value = this.#map.get(name)
    const peer = value instanceof Uint8Array ? peerFromBytes(value) : undefined
    if (peer === undefined) throw this.#wrong(name)
    return peer
  }

  hlc (name: string): Hlc {
    const [ms, counter, ...rest] = this.list(name, 2)
    const isTime = typeof ms === 'number' && Number.isInteger(ms) && ms >= 0 && ms <= MAX_HLC_MS
    const isCounter = typeof counter === 'number' && Number.isInteger(counter) && counter >= 0 && counter <= MAX_HLC_COUNTER
    if (!isTime || !isCounter || rest.length > 0) throw this.#wrong(name)
    return [ms, counter]
  }

  list (name: string, maxCount: number): readonly Ipld[] {
    const value = this.#map.get(name)
    if (!Array.isArray(value) || value.length > maxCount) throw this.#wrong(name)
    return value
  }

  texts (name: string, { maxCount, maxBytes }: { maxCount: number, maxBytes: number }): string[] {
    return this.list(name, maxCount).map((value) => {
      if (typeof value !== 'string' || Buffer.byteLength(value) > maxBytes) throw this.#wrong(name)
      return value
    })
  }

  /** A map of any keys; what bounds it is the caller's. */
  entries (name: string, maxCount: number): Array<[string, Ipld]> {
    const value = this.#map.get(name)
    const entries = value !== undefined && isMap(value) ? Object.entries(value) : undefined
    if (entries === undefined || entries.length > maxCount) throw this.#wrong(name)
    return entries
  }

  #wrong (name: string): HoldfastError {
    return new HoldfastError('INVALID', `${this.#what} has ${this.#map.has(name) ? 'a wrong' : 'no'} ${name}`, { field: name })
  }
}

function isMap (value: Ipld): value is { [key: string]: Ipld } {
  return value !== null && typeof value === 'object' && !Array.isArray(value) && !(value instanceof Uint8Array) && CID.asCID(value) === null
}
