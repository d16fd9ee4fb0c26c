import type { PeerId } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import type { PinKey } from '../map/stored-record.ts'
import type { PinMode } from '../record/record.ts'
import type { ClusterPin } from '../cluster/cluster-pin.ts'
import { EXPIRY_MARGIN_MS } from './limits.ts'

/** What placement needs of a pin. */
export interface WantedPin {
  readonly id: string
  readonly cid: CID
  readonly min: number
  readonly max: number | 'all'
  readonly zones: readonly string[] | undefined
  readonly origin: PeerId
  readonly createdMs: number
  readonly expireAtMs: number | undefined
}

/** What one or more pins want kept. */
export interface Content {
  readonly pinKey: PinKey
  readonly mode: PinMode
  readonly pins: ReadonlyMap<string, WantedPin>
}

interface OpenContent extends Content {
  readonly pins: Map<string, WantedPin>
}

/** The pins of the cluster by what they keep: a few hundred bytes each. */
export class PinIndex {
  readonly #contents = new Map<PinKey, OpenContent>()
  readonly #keys = new Map<string, PinKey>()
  readonly #expiring = new Set<string>()

  get pinCount (): number {
    return this.#keys.size
  }

  get contentCount (): number {
    return this.#contents.size
  }

  get (pinKey: PinKey): Content | undefined {
    return this.#contents.get(pinKey)
  }

  contents (): IterableIterator<Content> {
    return this.#contents.values()
  }

  pin (id: string): WantedPin | undefined {
    return this.#contents.get(this.#keys.get(id) ?? '')?.pins.get(id)
  }

  /** Ids of pins that end some day. */
  expiring (): Iterable<string> {
    return this.#expiring
  }

  /** Ids of all pins, those made first first. */
  inOrder (): string[] {
    const pins = [...this.#contents.values()].flatMap(({ pins }) => [...pins.values()])
    return pins.sort((a, b) => a.createdMs - b.createdMs || (a.id < b.id ? -1 : 1)).map(({ id }) => id)
  }

  /** Takes in a pin as it is now. Returns the contents that this changed: two when it names other content than before. */
  put ({ id, cid, mode, pinKey, copies: { min, max }, zones, origin, createdMs, expireAtMs }: ClusterPin): Set<PinKey> {
    const changed = this.#keys.get(id) === pinKey ? new Set<PinKey>() : this.delete(id)
    const content = this.#contents.get(pinKey) ?? { pinKey, mode, pins: new Map() }
    content.pins.set(id, { id, cid, min, max, zones, origin, createdMs, expireAtMs })
    this.#contents.set(pinKey, content)
    this.#keys.set(id, pinKey)
    if (expireAtMs === undefined) this.#expiring.delete(id)
    else this.#expiring.add(id)
    return changed.add(pinKey)
  }

  clear (): void {
    this.#contents.clear()
    this.#keys.clear()
    this.#expiring.clear()
  }

  delete (id: string): Set<PinKey> {
    const pinKey = this.#keys.get(id)
    if (pinKey === undefined) return new Set()
    this.#keys.delete(id)
    this.#expiring.delete(id)
    const content = this.#contents.get(pinKey)
    content?.pins.delete(id)
    if (content?.pins.size === 0) this.#contents.delete(pinKey)
    return new Set([pinKey])
  }
}

/** The CIDs to keep: of one multihash, but a codec decides what lies below, so each codec is walked. */
export function cidsOf ({ pins }: Content): CID[] {
  const byCodec = new Map<number, CID>()
  for (const { cid } of pins.values()) if (!byCodec.has(cid.code)) byCodec.set(cid.code, cid)
  return [...byCodec.values()]
}

/** Whether a pin has been over for long enough, by all clocks that count. */
export function isExpired ({ expireAtMs }: WantedPin, { nowMs }: { readonly nowMs: number }): boolean {
  return expireAtMs !== undefined && nowMs > expireAtMs + EXPIRY_MARGIN_MS
}
