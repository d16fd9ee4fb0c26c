import { multihashKey } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { MAX_LIVE_WANTS } from './limits.ts'
import type { WantEntry, WantType } from './message.ts'

/** Something a peer wants of us, until it has it or takes it back. */
export interface LiveWant {
  readonly key: string
  readonly cid: CID
  type: WantType
  sendDontHave: boolean
  /** The block is about to be read or sent; otherwise the want waits until we hold it. */
  isQueued: boolean
}

/**
 * What one peer wants of us, at most `MAX_LIVE_WANTS` at a time.
 *
 * When it is full a new want takes the place of the oldest that waits for a block we lack: those may never come.
 */
export class WantLedger {
  readonly #wants = new Map<string, LiveWant>()
  readonly #onRemoved: (want: LiveWant) => void

  /** @param onRemoved Told of each want that is gone, for whatever reason. */
  constructor (onRemoved: (want: LiveWant) => void) {
    this.#onRemoved = onRemoved
  }

  get count (): number {
    return this.#wants.size
  }

  get (key: string): LiveWant | undefined {
    return this.#wants.get(key)
  }

  /** Takes a want in; answers `undefined` when it is being served already, or when there is no room. */
  add ({ cid, type, sendDontHave }: WantEntry): LiveWant | undefined {
    const key = multihashKey(cid)
    const known = this.#wants.get(key)
    if (known?.isQueued === true) return undefined
    if (known !== undefined) {
      if (type === 'block') known.type = 'block'
      known.sendDontHave = sendDontHave
      return known
    }
    if (!this.#makeRoom()) return undefined
    const want: LiveWant = { key, cid, type, sendDontHave, isQueued: false }
    this.#wants.set(key, want)
    return want
  }

  /** Takes `want` out, unless another one has its place. */
  remove (want: LiveWant): void {
    if (this.#wants.get(want.key) !== want) return
    this.#wants.delete(want.key)
    this.#onRemoved(want)
  }

  cancel (cid: CID): void {
    const want = this.#wants.get(multihashKey(cid))
    if (want !== undefined) this.remove(want)
  }

  /** Forgets every want that is not in `cids`: a full want-list came. */
  keepOnly (cids: Iterable<CID>): void {
    const kept = new Set<string>()
    for (const cid of cids) kept.add(multihashKey(cid))
    for (const want of Array.from(this.#wants.values())) {
      if (!kept.has(want.key)) this.remove(want)
    }
  }

  #makeRoom (): boolean {
    if (this.#wants.size < MAX_LIVE_WANTS) return true
    for (const want of this.#wants.values()) {
      if (want.isQueued) continue
      this.remove(want)
      return true
    }
    return false
  }
}
