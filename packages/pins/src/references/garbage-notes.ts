import { IDENTITY, type Logger } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { decodeMultihashes } from './cid-bytes.ts'
import type { ReferenceStore } from './reference-store.ts'
import type { GarbageBatch } from './references.ts'

/** Blocks noted before they are written into the index together: 140 KB. */
const BLOCKS_PER_BATCH = 4096

export interface GarbageNotesOptions {
  /** Called when blocks could not be noted. */
  onLost(): void
  readonly log: Logger
}

/** The blocks that may be garbage, in batches in the index: those that were stored, and those that lost what kept them. */
export class GarbageNotes {
  readonly #store: ReferenceStore
  readonly #options: GarbageNotesOptions
  /** Not written yet. */
  #waiting: Uint8Array[] = []
  /** Batches that were not compared with the edges since. */
  readonly #unsifted: number[]

  constructor (store: ReferenceStore, options: GarbageNotesOptions) {
    this.#store = store
    this.#options = options
    this.#unsifted = [...store.garbageBatches()]
  }

  add (cid: CID): void {
    if (cid.multihash.code === IDENTITY) return
    this.#waiting.push(cid.multihash.bytes)
    if (this.#waiting.length >= BLOCKS_PER_BATCH) this.write()
  }

  /** Writes what was noted since the last time. */
  write (): void {
    const multihashes = this.#waiting
    if (multihashes.length === 0) return
    this.#waiting = []
    try {
      this.#store.change(() => { this.#unsifted.push(this.#store.addGarbage(multihashes)) })
    } catch (err) {
      // Whoever stored them is not to fail for it.
      this.#options.onLost()
      this.#options.log.warn('Stored blocks could not be noted; the next gc looks at all', { err })
    }
  }

  /** What is noted as of now. */
  async * batches (): AsyncGenerator<GarbageBatch> {
    this.write()
    const batches = [...this.#store.garbageBatches()]
    for (const batch of batches) {
      const bytes = this.#store.garbage(batch)
      if (bytes === undefined) continue
      yield { cids: [...decodeMultihashes(bytes)], unreferencedAsOf: this.#store.unreferencedAsOf(batch), keep: (cids) => { this.#keep(batch, cids) } }
      await nextTurn()
    }
  }

  /** Remembers what is noted as of now, to be forgotten later. */
  asOfNow (): { forget(): void } {
    this.write()
    const batches = [...this.#store.garbageBatches()]
    return { forget: () => { this.#store.change(() => { for (const batch of batches) this.#store.keepGarbage(batch, []) }) } }
  }

  /** Forgets blocks that turned out to be kept, so that a collection need not look at them. */
  async sift (signal: AbortSignal): Promise<void> {
    this.write()
    for (let batch = this.#unsifted.pop(); batch !== undefined; batch = this.#unsifted.pop()) {
      const bytes = this.#store.garbage(batch)
      if (bytes === undefined) continue
      const cids = [...decodeMultihashes(bytes)]
      const left = cids.filter((cid) => !this.#store.isReferenced(cid))
      if (left.length < cids.length) this.#keep(batch, left)
      this.#store.markUnreferenced(batch)
      await nextTurn()
      signal.throwIfAborted()
    }
  }

  #keep (batch: number, cids: readonly CID[]): void {
    this.#store.change(() => { this.#store.keepGarbage(batch, cids.map(({ multihash }) => multihash.bytes)) })
  }
}
