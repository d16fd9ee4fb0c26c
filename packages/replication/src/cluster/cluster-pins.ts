import { HoldfastError, requireVerifiable } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import { randomBytes } from 'node:crypto'
import { MAX_PINS } from '../limits.ts'
import { pinKeyOf, pinRecordOf } from '../map/stored-record.ts'
import { PIN_MODES, type PinRecord } from '../record/record.ts'
import type { RecordStore } from '../store/record-store.ts'
import { type ClusterPin, type PinFilter, pinView } from './cluster-pin.ts'
import { copiesOf, type PinRequest, requirePinnable } from './pin-request.ts'
import type { Standing } from './standing.ts'

export interface ClusterPinsDeps {
  readonly self: PeerId
  readonly store: RecordStore
  readonly standing: Standing
  readonly now: () => number
}

/** The pins of the cluster, as this node knows them, and those that it puts and deletes. */
export class ClusterPins {
  readonly #self: PeerId
  readonly #store: RecordStore
  readonly #standing: Standing
  readonly #now: () => number
  #lastCreatedMs = 0

  constructor ({ self, store, standing, now }: ClusterPinsDeps) {
    this.#self = self
    this.#store = store
    this.#standing = standing
    this.#now = now
  }

  get (id: string): ClusterPin | undefined {
    const pin = this.#find(id)
    return pin === undefined ? undefined : pinView(pin)
  }

  * list ({ cid, mode, name }: PinFilter = {}): Generator<ClusterPin> {
    const pinKeys = cid === undefined ? undefined : PIN_MODES.map((mode) => pinKeyOf(cid, mode))
    for (const stored of this.#store.cluster?.map.pins() ?? []) {
      if (pinKeys?.includes(stored.pinKey) === false) continue
      const pin = pinView(pinRecordOf(stored))
      if ((mode === undefined || pin.mode === mode) && (name === undefined || pin.name === name)) yield pin
    }
  }

  async put ({ cid, mode = 'recursive', name, meta, copies, zones, expireAtMs, id }: PinRequest): Promise<ClusterPin> {
    const { map, writer } = this.#standing.requireWriter()
    requireVerifiable(cid)
    requirePinnable({ mode, name, meta, zones })
    const known = id === undefined ? undefined : this.#require(id)
    const { origin, createdMs } = known?.fields ?? { origin: this.#self, createdMs: this.#nextCreatedMs() }
    const record = writer.pin({
      pinId: known?.fields.pinId ?? new Uint8Array(randomBytes(16)),
      op: 'put',
      cid,
      mode,
      copies: copiesOf(copies),
      origin,
      createdMs,
      ...name !== undefined && name !== '' && { name },
      ...meta !== undefined && { meta },
      ...zones !== undefined && { zones },
      ...expireAtMs !== undefined && { expireAtMs }
    })
    if (known === undefined && map.counts.pins >= MAX_PINS) throw new HoldfastError('LIMIT', `The cluster has ${MAX_PINS} pins, deleted ones included, the most there can be`)
    await this.#store.write(record)
    return pinView(record)
  }

  async delete (id: string): Promise<ClusterPin> {
    const { writer } = this.#standing.requireWriter()
    const known = this.#require(id)
    const { pinId, cid, mode, copies, origin, createdMs } = known.fields
    await this.#store.write(writer.pin({ pinId, op: 'del', cid, mode, copies, origin, createdMs }))
    return pinView(known)
  }

  #find (id: string): PinRecord | undefined {
    const pin = /^[0-9a-f]{32}$/.test(id) ? this.#store.cluster?.map.pin(Buffer.from(id, 'hex').toString('latin1')) : undefined
    return pin === undefined ? undefined : pinRecordOf(pin)
  }

  #require (id: string): PinRecord {
    const pin = this.#find(id)
    if (pin === undefined) throw new HoldfastError('NOT_FOUND', `No pin has the id ${JSON.stringify(id.slice(0, 80))}`, { reason: 'not-pinned', id: id.slice(0, 80) })
    return pin
  }

  /** The clock may stand still or go back; the order of pins does not. */
  #nextCreatedMs (): number {
    this.#lastCreatedMs = Math.max(Math.floor(this.#now()), this.#lastCreatedMs + 1)
    return this.#lastCreatedMs
  }
}
