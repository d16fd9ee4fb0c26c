import type { PinSet } from '@holdfast/pins'
import { pinKeyOf, type PinKey } from '../map/stored-record.ts'
import type { Replication } from '../replication.ts'
import type { ReleasedCopies } from './keeper.ts'
import { PINS_PER_SLICE } from './limits.ts'

export interface ReleaseDeps {
  readonly pins: PinSet
  readonly replication: Pick<Replication, 'pins'>
  /** Whether a pin wants a copy, as is known now. */
  readonly isWanted: (pinKey: PinKey) => boolean
}

/**
 * Makes the copies on this node its user's own pins, under the names that they had in the cluster. What no pin wants is not kept.
 *
 * After a crash in between there are both kinds of pins for some, which keeps too much and never too little.
 */
export async function releaseCopies ({ pins, replication, isWanted }: ReleaseDeps): Promise<ReleasedCopies> {
  const nameByKey = new Map<PinKey, string | undefined>()
  for (const { pinKey, name } of replication.pins()) if (isWanted(pinKey)) nameByKey.set(pinKey, nameByKey.get(pinKey) ?? name)
  const copies = [...pins.list({ owner: 'cluster' })]
  const kept = new Set<PinKey>()
  // Many at once share the syncs of the journal.
  for (let at = 0; at < copies.length; at += PINS_PER_SLICE) {
    await Promise.all(copies.slice(at, at + PINS_PER_SLICE).map(async ({ cid, kind }) => {
      const pinKey = pinKeyOf(cid, kind)
      if (nameByKey.has(pinKey)) {
        kept.add(pinKey)
        if (!isPinned(pins, { cid, kind })) await pins.add({ cid, kind, name: nameByKey.get(pinKey) })
      }
      await pins.remove({ cid, kind, owner: 'cluster' })
    }))
  }
  return { keptCount: kept.size, absentCount: nameByKey.size - kept.size }
}

/** Whether the user keeps it already, by a pin of the same codec. */
function isPinned (pins: PinSet, { cid, kind }: Pick<Parameters<PinSet['add']>[0], 'cid' | 'kind'>): boolean {
  return [...pins.list({ cid, kind, owner: 'user' })].some((pin) => pin.cid.code === cid.code)
}
