import type { AbortOptions } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterPin, PinFilter } from '../cluster/cluster-pin.ts'
import type { Replication } from '../replication.ts'
import type { Allocator } from './allocator.ts'
import type { ClusterWatch } from './cluster-watch.ts'
import type { FetchQueue } from './fetch-queue.ts'
import { WATCH_INTERVAL_MS } from './limits.ts'
import type { CopyProgress, OwnCopies } from './own-copies.ts'
import { isExpired, type PinIndex } from './pin-index.ts'
import { type PinStatus, statusOf } from './pin-status.ts'

export interface StatusBoardDeps {
  readonly replication: Pick<Replication, 'pin' | 'pins'>
  readonly index: PinIndex
  readonly allocator: Allocator
  readonly copies: Pick<OwnCopies, 'progressOf' | 'retries'>
  readonly queue: Pick<FetchQueue, 'isQueued'>
  readonly watch: Pick<ClusterWatch, 'sight'>
  readonly self: PeerId
  /** Takes in a pin that was not taken in yet. */
  readonly onPin: (id: string) => void
}

/** Tells how pins are, from memory. */
export class StatusBoard implements Disposable {
  readonly #deps: StatusBoardDeps
  readonly #closed = new AbortController()

  constructor (deps: StatusBoardDeps) {
    this.#deps = deps
  }

  status (pinId: string): PinStatus | undefined {
    const pin = this.#deps.replication.pin(pinId)
    return pin === undefined ? undefined : this.#statusOf(pin)
  }

  * statuses ({ cid, mode, name }: PinFilter): Generator<PinStatus> {
    const { replication, index } = this.#deps
    if (cid !== undefined) {
      const found = [...replication.pins({ cid, mode, name })]
      for (const pin of found.sort((a, b) => a.createdMs - b.createdMs || (a.id < b.id ? -1 : 1))) yield this.#statusOf(pin)
      return
    }
    for (const id of index.inOrder()) {
      const pin = replication.pin(id)
      if (pin !== undefined && (mode === undefined || pin.mode === mode) && (name === undefined || pin.name === name)) yield this.#statusOf(pin)
    }
  }

  async * watch (pinId: string, { signal }: AbortOptions): AsyncGenerator<PinStatus> {
    const ended = signal === undefined ? this.#closed.signal : AbortSignal.any([this.#closed.signal, signal])
    let shown = ''
    while (!this.#closed.signal.aborted) {
      signal?.throwIfAborted()
      const status = this.status(pinId)
      if (status === undefined) return
      const text = JSON.stringify(status)
      if (text !== shown) yield status
      shown = text
      await delay(WATCH_INTERVAL_MS, undefined, { signal: ended }).catch(() => {})
    }
  }

  /** Ends what is watched. */
  [Symbol.dispose] (): void {
    this.#closed.abort()
  }

  #statusOf (pin: ClusterPin): PinStatus {
    const { id, pinKey } = pin
    const { index, allocator, copies, queue, self, watch: { sight } } = this.#deps
    if (index.pin(id) === undefined) this.#deps.onPin(id)
    const wanted = index.pin(id)
    if (wanted === undefined) throw new TypeError(`Pin ${id} is not in the index`)
    const claims = allocator.claimsOf(pinKey, sight)
    const fetchOf = (peer: PeerId): CopyProgress | undefined => {
      if (peer === self) return copies.progressOf(pinKey)
      return sight.members.get(peer)?.fetching.find((fetch) => Buffer.from(fetch.pinKey).toString('hex') === pinKey)
    }
    return statusOf({
      pin,
      wanted,
      claims,
      sight,
      assigned: allocator.assign(wanted, pinKey, claims, sight),
      fetchOf,
      own: { isQueued: queue.isQueued(pinKey), failure: copies.retries.get(pinKey) },
      isExpired: isExpired(wanted, sight)
    })
  }
}
