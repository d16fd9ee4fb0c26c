import type { BlockReader } from '@holdfast/blockstore'
import { type Block, CODECS, type Logger } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { ReadAhead, UNKNOWN_BYTES, type Upcoming } from './read-ahead.ts'

/** Dag nodes that are kept while everything is here: the path to where a reader is. */
const MAX_UNOPENED = 32

/** Look-ups of blocks to fetch ahead that run at once. */
const MAX_LOOKUPS = 32

export interface FetchAheadDeps {
  readonly blocks: BlockReader
  readonly log: Logger
  readonly walk: boolean
  /** Reports whether the session has a want for the block. */
  readonly isWanted: (cid: CID) => boolean
  /** Reports whether the block is on its way to anybody here. */
  readonly isOnItsWay: (cid: CID) => boolean
  /** The block is not here: it is to be fetched. */
  readonly fetch: (upcoming: Upcoming) => void
  /** The reader passed over a block that may be on its way. */
  readonly passedOver: (cid: CID) => void
  /** There may be more to ask for. */
  readonly onChange: () => void
}

/** Looks up the blocks that the reader of one session will want next, and has those fetched that are not here. */
export class FetchAhead implements Disposable {
  readonly #deps: FetchAheadDeps
  readonly #readAhead: ReadAhead
  /** Dag nodes that were read while everything was here: only when something is absent do their links matter. */
  readonly #unopened: Block[] = []
  #lookupCount = 0
  #isRemote = false
  #isEnded = false

  constructor (deps: FetchAheadDeps) {
    this.#deps = deps
    this.#readAhead = new ReadAhead({ walk: deps.walk, onPassedOver: deps.passedOver })
  }

  get isLookingUp (): boolean {
    return this.#lookupCount > 0
  }

  /** The reader wants this block. Answers how many bytes it has by what its parent says. */
  take (cid: CID): number {
    return this.#readAhead.take(cid)
  }

  /** The reader got a block, here or from a peer. */
  taken (block: Block): void {
    this.#readAhead.taken(block.bytes.byteLength)
    this.opened(block)
  }

  /** A block is here: what it links to may come next. */
  opened (block: Block): void {
    if (this.#isRemote) {
      if (block.cid.code !== CODECS.raw) this.#readAhead.open(block)
      this.#deps.onChange()
    } else if (block.cid.code !== CODECS.raw) {
      this.#unopened.push(block)
      if (this.#unopened.length > MAX_UNOPENED) this.#unopened.shift()
    }
  }

  /** A block is absent here: from now on what comes next is fetched ahead. */
  becomeRemote (): void {
    if (this.#isRemote) return
    this.#isRemote = true
    for (const block of this.#unopened.splice(0)) this.#readAhead.open(block)
  }

  /** The reader says itself which blocks come next. */
  prefetch (cids: readonly CID[]): void {
    this.becomeRemote()
    for (const cid of cids) void this.#lookUp({ cid, expectedBytes: UNKNOWN_BYTES })
  }

  /** Looks up what comes next while `isWelcome` says so. */
  fill (isWelcome: () => boolean): void {
    while (this.#isRemote && this.#lookupCount < MAX_LOOKUPS && isWelcome()) {
      const upcoming = this.#readAhead.next()
      if (upcoming === undefined) return
      void this.#lookUp(upcoming)
    }
  }

  forget (cid: CID): void {
    this.#readAhead.forget(cid)
  }

  [Symbol.dispose] (): void {
    this.#isEnded = true
  }

  /** Has a block fetched before its reader asks for it, unless it is here. */
  async #lookUp (upcoming: Upcoming): Promise<void> {
    const { cid } = upcoming
    if (this.#deps.isWanted(cid)) return
    this.#lookupCount++
    try {
      const isHere = !this.#deps.isOnItsWay(cid) && await this.#deps.blocks.has(cid)
      if (this.#isEnded) return
      if (isHere) await this.#openLocal(cid)
      else this.#deps.fetch(upcoming)
    } catch (err) {
      // Whoever reads the block meets the same failure.
      this.#readAhead.forget(cid)
      this.#deps.log.debug('Block could not be fetched ahead', { cid: cid.toString(), err })
    } finally {
      this.#lookupCount--
      this.#deps.onChange()
    }
  }

  /** A block that is here needs no peer, but what it links to may. */
  async #openLocal (cid: CID): Promise<void> {
    this.#readAhead.forget(cid)
    const block = cid.code === CODECS.raw ? undefined : await this.#deps.blocks.get(cid)
    if (block !== undefined) this.opened(block)
  }
}
