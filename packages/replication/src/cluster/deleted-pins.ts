import type { Logger } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import { MAX_FORGOTTEN_AT_ONCE, MAX_FORGOTTEN_PER_RECORD } from '../limits.ts'
import type { RecordMap } from '../map/record-map.ts'
import type { RecordStore } from '../store/record-store.ts'
import type { RecordSync } from '../sync/record-sync.ts'
import type { Standing } from './standing.ts'

export interface DeletedPinsDeps {
  readonly self: PeerId
  readonly store: RecordStore
  readonly standing: Standing
  readonly sync: Pick<RecordSync, 'heard'>
  readonly log: Logger
  readonly now: () => number
}

/** What was found to be deleted long ago, and when. */
interface Finding {
  readonly map: RecordMap
  readonly pinIds: readonly string[]
  /** On the monotonic clock. */
  readonly atMs: number
}

/**
 * Has deleted pins forgotten once every member knows that they are deleted.
 *
 * That they do is seen by equal roots: who had the same records as this node at a time after it had the deletes, has the deletes. A member that
 * is away holds this up until it is back or removed. What is forgotten stays forgotten: a record of all members names it, so that a
 * node with old records, which was removed and let in again or put back from a backup, brings nothing back.
 *
 * Of several admins the one with the lowest peer id does it; all are there, for all agreed. Twice does no harm.
 */
export class DeletedPins {
  readonly #deps: DeletedPinsDeps
  readonly #forgetAfterMs: number
  #finding: Finding | undefined

  constructor (deps: DeletedPinsDeps, { forgetAfterMs }: { readonly forgetAfterMs: number }) {
    this.#deps = deps
    this.#forgetAfterMs = forgetAfterMs
  }

  /** Forgets what was found the time before, when all members have agreed since, and looks again. */
  async check (): Promise<void> {
    const { store, standing, now } = this.#deps
    const map = store.cluster?.map
    if (map === undefined || standing.role !== 'admin') {
      this.#finding = undefined
      return
    }
    const finding = this.#finding
    if (finding !== undefined && finding.map === map) {
      if (!this.#haveAllAgreedSince(map, finding.atMs)) return
      this.#finding = undefined
      if (this.#isFirstAdmin(map)) await this.#forget(map, finding.pinIds)
    }
    const pinIds = [...map.deletedBefore(now() - this.#forgetAfterMs).take(MAX_FORGOTTEN_AT_ONCE)]
    this.#finding = pinIds.length === 0 ? undefined : { map, pinIds, atMs: performance.now() }
  }

  #haveAllAgreedSince (map: RecordMap, atMs: number): boolean {
    const { self, sync } = this.#deps
    return activeIn(map).every((peer) => peer === self || (sync.heard(peer)?.agreedAtMs ?? -Infinity) > atMs)
  }

  #isFirstAdmin (map: RecordMap): boolean {
    return activeIn(map).filter((peer) => map.members.byPeer.get(peer)?.role === 'admin').every((peer) => this.#deps.self <= peer)
  }

  async #forget (map: RecordMap, pinIds: readonly string[]): Promise<void> {
    const { store, log, now } = this.#deps
    // What was changed meanwhile is none of them any more.
    const timeMs = now() - this.#forgetAfterMs
    const gone = pinIds.filter((pinId) => map.isDeletedBefore(pinId, timeMs)).toSorted()
    for (let at = 0; at < gone.length; at += MAX_FORGOTTEN_PER_RECORD) {
      const cluster = store.cluster
      if (cluster?.map !== map) return
      await store.write(cluster.writer.forget(gone.slice(at, at + MAX_FORGOTTEN_PER_RECORD).map((pinId) => Buffer.from(pinId, 'latin1'))))
    }
    if (gone.length > 0) log.info('Pins that were deleted long ago are forgotten', { count: gone.length })
  }
}

function activeIn (map: RecordMap): PeerId[] {
  return [...map.members.byPeer.values()].filter(({ isActive }) => isActive).map(({ peer }) => peer)
}
