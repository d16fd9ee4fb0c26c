import type { PeerId } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import { type PinKey, pinKeyOf } from '../map/stored-record.ts'
import type { Copies, PinMode, PinRecord } from '../record/record.ts'

/** A pin of the cluster. */
export interface ClusterPin {
  /** 16 bytes in hex. */
  readonly id: string
  readonly cid: CID
  readonly mode: PinMode
  /** What its copies are counted by. */
  readonly pinKey: PinKey
  readonly name?: string
  readonly meta: Readonly<Record<string, string>>
  readonly copies: Copies
  /** Zones that are asked for. */
  readonly zones?: readonly string[]
  readonly expireAtMs?: number
  /** The member that added it. */
  readonly origin: PeerId
  readonly createdMs: number
  /** Who changed it last. */
  readonly writer: PeerId
}

/** Which pins are meant: those that fit all that is given. */
export interface PinFilter {
  /** Matches by multihash. */
  readonly cid?: CID | undefined
  readonly mode?: PinMode | undefined
  readonly name?: string | undefined
}

/** A pin as the record that decides says. */
export function pinView ({ writer, fields: { pinId, cid, mode, name, meta = {}, copies, zones, expireAtMs, origin, createdMs } }: Pick<PinRecord, 'writer' | 'fields'>): ClusterPin {
  return {
    id: Buffer.from(pinId).toString('hex'),
    cid,
    mode,
    pinKey: pinKeyOf(cid, mode),
    ...name !== undefined && { name },
    meta,
    copies,
    ...zones !== undefined && { zones },
    ...expireAtMs !== undefined && { expireAtMs },
    origin,
    createdMs,
    writer
  }
}
