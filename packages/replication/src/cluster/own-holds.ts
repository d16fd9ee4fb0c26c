import { HoldfastError } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import { MAX_WHY_BYTES } from '../limits.ts'
import type { PinKey } from '../map/stored-record.ts'
import { HOLD_STATES, type HoldState } from '../record/record.ts'
import type { RecordStore } from '../store/record-store.ts'
import type { Standing } from './standing.ts'

/** What a member says of its copy. */
export interface HoldView {
  readonly holder: PeerId
  readonly state: HoldState
  readonly byteLength: number
  /** When it said so, in ms since 1970 on its clock. */
  readonly atMs: number
  readonly why?: string
  /** Members whose copy it found wanting. */
  readonly doubts: readonly PeerId[]
}

/** What this node says of its copy. */
export interface HoldReport {
  readonly pinKey: PinKey
  readonly state: HoldState
  readonly byteLength: number
  readonly why?: string | undefined
  /** At most `MAX_DOUBTS`. @default none */
  readonly doubts?: readonly PeerId[] | undefined
}

export interface HoldsDeps {
  readonly self: PeerId
  readonly store: RecordStore
  readonly standing: Standing
}

/** What members say of their copies. */
export function holdsOf (store: RecordStore, pinKey: PinKey): HoldView[] {
  const holds = store.cluster?.map.holds(pinKey) ?? []
  return [...holds].map(({ writer, state, byteLength, hlc: [atMs], why, doubts = [] }) => ({ holder: writer, state, byteLength, atMs, doubts, ...why !== undefined && { why } }))
}

/** Says how this node's own copy is. */
export async function reportHold ({ self, store, standing }: HoldsDeps, { pinKey, state, byteLength, why, doubts = [] }: HoldReport): Promise<void> {
  const { map, writer } = standing.requireMember()
  if (!/^(?:[0-9a-f]{2}){3,133}$/.test(pinKey)) throw new HoldfastError('INVALID', `${JSON.stringify(pinKey.slice(0, 80))} is not a pin key`)
  if (!HOLD_STATES.includes(state)) throw new HoldfastError('INVALID', `Not a state of a copy: ${JSON.stringify(state)}`)
  const known = map.holdOf(pinKey, self)
  // A verification, and a refusal, says something new by its time alone.
  if (known !== undefined && state !== 'verified' && state !== 'refused' && known.state === state && known.byteLength === byteLength && known.why === why) return
  await store.write(writer.hold({ pinKey: Buffer.from(pinKey, 'hex'), state, bytes: byteLength, ...why !== undefined && { why: shortened(why) }, ...doubts.length > 0 && { doubts } }))
}

/** Cuts a reason to what a record holds, at a character. */
function shortened (why: string): string {
  return Buffer.byteLength(why) <= MAX_WHY_BYTES ? why : Buffer.from(why).subarray(0, MAX_WHY_BYTES - 4).toString().replace(/\uFFFD+$/, '') + '…'
}
