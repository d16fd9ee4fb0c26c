import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, HoldfastError, IDENTITY, isHoldfastError, type Logger, silentLogger } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { DagLease, LeaseBook } from '../leases.ts'
import type { Pin } from '../pin-record.ts'
import type { PinSet } from '../pin-set.ts'
import { decodeMultihashes, LEAF, wayOf } from './edge-format.ts'
import { openReferenceStore, type ReferenceStore } from './reference-store.ts'
import { dropPins, releaseSome } from './release.ts'
import { retain, retainKnown } from './retain.ts'

/** Blocks noted before they are written into the index together: 140 KB. */
const BLOCKS_PER_BATCH = 4096

/** Changes of pins that wait in memory; beyond that the pins are compared with the index as after a start. */
const MAX_WAITING_PINS = 65_536

/** How long changes of pins gather before they are followed, in ms: many that come at once share the work. */
const SETTLE_DELAY_MS = 100

/** Pins that are looked at before others have a turn. */
const PINS_PER_TURN = 1024

/** Pins whose edges are written, or taken away, in one change. */
const PINS_PER_CHANGE = 256

/** How far the edges have come. */
export interface SettleProgress {
  /** Blocks found below pins that were not in the index. */
  readonly blockCount: number
}

export interface SettleOptions extends AbortOptions {
  onProgress?: ((progress: SettleProgress) => void) | undefined
}

/** Blocks that may be garbage, as they were noted together. */
export interface GarbageBatch {
  readonly cids: readonly CID[]
  /** Says which of them are to be looked at again; the others are forgotten. */
  keep(cids: readonly CID[]): void
}

export interface ReferencesDeps {
  readonly blocks: BlockReader
  readonly pins: PinSet
  readonly leases: LeaseBook
  readonly log?: Logger
}

/**
 * The edges of all DAGs that pins keep, and which blocks may be garbage.
 *
 * An index of the pins and blocks: it is built anew when it is lost. It follows the pins a moment later, in the background;
 * whoever must know that it has caught up calls `settle`.
 */
export interface References extends AsyncDisposable {
  /** Whether every stored block is kept, cached or noted: then nothing else can be garbage. */
  readonly isComplete: boolean

  /** Reports at once whether a pin or a DAG in the index keeps the block, under any codec. */
  isKept(cid: CID): boolean

  /** Has the lease keep what is known to be kept already, with all below it; reports whether it did. */
  holdKept(cid: CID, lease: DagLease): boolean

  /** Notes a block that was stored, and that perhaps nothing keeps. */
  note(cid: CID): void

  /**
   * Resolves when the index has caught up with all pins that were visible when this was called.
   *
   * @throws `NOT_FOUND`, `CORRUPT` or `INVALID` naming pin and block when a DAG that was not walked before cannot be read.
   */
  settle(options?: SettleOptions): Promise<void>

  /** The blocks that may be garbage, as of now. */
  garbage(): AsyncIterable<GarbageBatch>

  /** Remembers what is noted as of now, to be forgotten when every stored block was looked at. */
  noted(): { forget(): void }

  /** Says that every stored block was looked at, and noted where nothing keeps it. */
  markComplete(): void

  /**
   * Says how many blocks are known as cache, and looked at by collections beside those noted here. When their number is not what it
   * was when the index was closed, every stored block is looked at once more.
   */
  besideCached(count: () => number): void

  /** The tables, for questions about who keeps what. */
  readonly store: ReferenceStore
}

/**
 * Opens the index of references at `path`; one that is missing or unusable is built anew.
 *
 * Nothing is walked before the first change of a pin or the first `settle`.
 */
export async function openReferences (deps: ReferencesDeps, { path }: { readonly path: string }): Promise<References> {
  const log = deps.log ?? silentLogger
  return new IndexedReferences({ ...deps, log }, await openReferenceStore(path, log))
}

class IndexedReferences implements References {
  readonly store: ReferenceStore
  readonly #deps: Required<ReferencesDeps>
  readonly #watching: Disposable
  readonly #closing = new AbortController()
  /** Pins that came, and whose edges are not written; those that failed wait for whoever calls `settle`. */
  readonly #added = new Map<string, Pin>()
  readonly #removed = new Set<string>()
  readonly #failed = new Map<string, { readonly pin: Pin, readonly err: unknown }>()
  /** The pins and the index must be compared as a whole. */
  #isDoubtful = true
  #isComplete: boolean
  readonly #cachedAtClose: number | undefined
  #countCached: () => number = () => 0
  /** Ids from here on are of a walk that has not ended. */
  #openFromId = Infinity
  #noted: Uint8Array[] = []
  /** Batches of noted blocks that were not compared with the edges since. */
  #unsifted: number[]
  #timer: NodeJS.Timeout | undefined
  #turn: Promise<void> = Promise.resolve()

  constructor (deps: Required<ReferencesDeps>, store: ReferenceStore) {
    this.#deps = deps
    this.store = store
    this.#cachedAtClose = store.completeBeside
    this.#isComplete = this.#cachedAtClose !== undefined
    this.#unsifted = [...store.garbageBatches()]
    // Whoever dies from here on may have stored blocks that were not noted.
    store.change(() => { store.completeBeside = undefined })
    const { openWalk } = store
    if (openWalk !== undefined) this.#openFromId = store.pin(openWalk)?.nodeId ?? Infinity
    this.#watching = deps.pins.watch(({ kind, pin }) => { this.#onPin(kind, pin) })
  }

  get isComplete (): boolean {
    return this.#isComplete
  }

  isKept (cid: CID): boolean {
    return this.store.isReferenced(cid) || this.#deps.pins.isPinned(cid)
  }

  holdKept (cid: CID, lease: DagLease): boolean {
    if (!this.#isWhole(cid)) return false
    lease.protectDag(cid)
    return true
  }

  note (cid: CID): void {
    if (cid.multihash.code === IDENTITY || this.#closing.signal.aborted) return
    this.#noted.push(cid.multihash.bytes)
    if (this.#noted.length >= BLOCKS_PER_BATCH) this.#writeNoted()
  }

  async settle (options: SettleOptions = {}): Promise<void> {
    const { signal } = options
    await this.#inTurn(async () => {
      for (const [id, { pin }] of this.#failed) this.#added.set(id, pin)
      this.#failed.clear()
      await this.#catchUp(options)
      for (const { err } of this.#failed.values()) throw err
    }, signal)
  }

  async * garbage (): AsyncGenerator<GarbageBatch> {
    this.#writeNoted()
    const batches = [...this.store.garbageBatches()]
    for (const batch of batches) {
      const bytes = this.store.garbage(batch)
      if (bytes === undefined) continue
      yield {
        cids: [...decodeMultihashes(bytes)],
        keep: (cids) => { this.store.change(() => { this.store.keepGarbage(batch, cids.map(({ multihash }) => multihash.bytes)) }) }
      }
      await nextTurn()
    }
  }

  noted (): { forget(): void } {
    this.#writeNoted()
    const batches = [...this.store.garbageBatches()]
    return { forget: () => { this.store.change(() => { for (const batch of batches) this.store.keepGarbage(batch, []) }) } }
  }

  markComplete (): void {
    this.#isComplete = true
  }

  besideCached (count: () => number): void {
    if (this.#cachedAtClose !== count()) this.#isComplete = false
    this.#countCached = count
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#watching[Symbol.dispose]()
    clearTimeout(this.#timer)
    this.#closing.abort(new HoldfastError('UNAVAILABLE', 'The node is closing'))
    await this.#turn
    this.#writeNoted()
    if (this.#isComplete) this.store.change(() => { this.store.completeBeside = this.#countCached() })
    await this.store[Symbol.asyncDispose]()
  }

  #onPin (kind: 'pinned' | 'unpinned', pin: Pin): void {
    this.#added.delete(pin.id)
    this.#failed.delete(pin.id)
    if (kind === 'pinned') this.#added.set(pin.id, pin)
    else this.#removed.add(pin.id)
    if (this.#added.size + this.#removed.size > MAX_WAITING_PINS) {
      this.#isDoubtful = true
      this.#added.clear()
      this.#removed.clear()
    }
    this.#schedule()
  }

  #schedule (): void {
    if (this.#timer !== undefined || this.#closing.signal.aborted) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#inTurn(async () => { await this.#catchUp({ signal: this.#closing.signal }) }).catch((err: unknown) => {
        if (!this.#closing.signal.aborted) this.#deps.log.warn('The index of references could not follow the pins, and tries again later', { err })
      })
    }, SETTLE_DELAY_MS).unref()
  }

  async #inTurn (step: () => Promise<void>, signal?: AbortSignal): Promise<void> {
    const turn = this.#turn.then(async () => {
      this.#closing.signal.throwIfAborted()
      signal?.throwIfAborted()
      await step()
    })
    this.#turn = turn.catch(() => {})
    await orAborted(turn, signal)
  }

  async #catchUp ({ signal, onProgress }: SettleOptions): Promise<void> {
    const { signal: closing } = this.#closing
    await this.#follow({ onProgress, signal: signal === undefined || signal === closing ? closing : AbortSignal.any([closing, signal]) })
  }

  async #follow (options: SettleOptions & { readonly signal: AbortSignal }): Promise<void> {
    await this.#undoOpenWalk()
    let blockCount = 0
    const onNode = (childCount: number): void => {
      blockCount += childCount
      options.onProgress?.({ blockCount })
    }
    for (let isMore = true; isMore; isMore = this.#isDoubtful || this.#added.size > 0 || this.#removed.size > 0) {
      if (this.#isDoubtful) await this.#compare(options.signal)
      await this.#retainAdded({ signal: options.signal, onNode })
      this.#dropRemoved()
      await this.#release(options.signal)
    }
    await this.#sift(options.signal)
  }

  /** Finds the pins that came and went while nobody watched. */
  async #compare (signal: AbortSignal): Promise<void> {
    const { pins } = this.#deps
    this.#isDoubtful = false
    let count = 0
    const pause = async (): Promise<void> => {
      signal.throwIfAborted()
      if (++count % PINS_PER_TURN === 0) await nextTurn()
    }
    // All at once: a cursor that waits would keep the index from using its pages again.
    const ids = [...this.store.pinIds()]
    for (const id of ids) {
      await pause()
      const cid = this.store.pin(id)?.cid
      if (cid !== undefined && ![...pins.list({ cid })].some((pin) => pin.id === id)) this.#removed.add(id)
    }
    for (const pin of pins.list()) {
      await pause()
      if (this.#added.size >= MAX_WAITING_PINS) {
        this.#isDoubtful = true
        return
      }
      if (!this.#failed.has(pin.id) && this.store.pin(pin.id) === undefined) this.#added.set(pin.id, pin)
    }
  }

  async #retainAdded (options: { readonly signal: AbortSignal, onNode(childCount: number): void }): Promise<void> {
    while (this.#added.size > 0) {
      options.signal.throwIfAborted()
      const some = [...this.#added.values().take(PINS_PER_CHANGE)]
      const known = new Set(retainKnown(this.store, some).map(({ id }) => id))
      for (const { id } of some) if (known.has(id)) this.#added.delete(id)
      for (const pin of some) if (!known.has(pin.id)) await this.#retain(pin, options)
      await nextTurn()
    }
  }

  async #retain (pin: Pin, options: { readonly signal: AbortSignal, onNode(childCount: number): void }): Promise<void> {
    try {
      await retain({ store: this.store, blocks: this.#deps.blocks }, pin, { ...options, onOpen: (nodeId) => { this.#openFromId = nodeId } })
      this.#openFromId = Infinity
      this.#added.delete(pin.id)
    } catch (err) {
      if (!isHoldfastError(err) || err.details['pin'] !== pin.id) throw err
      // One that went meanwhile has failed nobody.
      if (this.#added.delete(pin.id)) {
        this.#failed.set(pin.id, { pin, err })
        this.#deps.log.debug('A pin is not whole: its edges are not known', { pin: pin.id, err })
      }
      await this.#undoOpenWalk()
    }
  }

  /** What a walk wrote that did not end is taken back, so that every entry stands for a whole DAG. */
  async #undoOpenWalk (): Promise<void> {
    const { openWalk } = this.store
    if (openWalk !== undefined) {
      dropPins(this.store, [openWalk])
      await this.#release()
      this.store.change(() => { this.store.openWalk = undefined })
    }
    this.#openFromId = Infinity
  }

  #dropRemoved (): void {
    const some = [...this.#removed.values().take(PINS_PER_CHANGE)]
    dropPins(this.store, some)
    for (const id of some) this.#removed.delete(id)
  }

  async #release (signal?: AbortSignal): Promise<void> {
    while (releaseSome(this.store, (cid) => this.#deps.leases.isDagProtected(cid)) > 0) {
      await nextTurn()
      signal?.throwIfAborted()
    }
  }

  /** Forgets noted blocks that turned out to be kept, so that a collection need not look at them. */
  async #sift (signal: AbortSignal): Promise<void> {
    this.#writeNoted()
    for (let batch = this.#unsifted.pop(); batch !== undefined; batch = this.#unsifted.pop()) {
      const bytes = this.store.garbage(batch)
      if (bytes === undefined) continue
      const cids = [...decodeMultihashes(bytes)]
      const left = cids.filter((cid) => !this.store.isReferenced(cid))
      if (left.length < cids.length) this.store.change(() => { this.store.keepGarbage(batch, left.map(({ multihash }) => multihash.bytes)) })
      await nextTurn()
      signal.throwIfAborted()
    }
  }

  #writeNoted (): void {
    const multihashes = this.#noted
    if (multihashes.length === 0) return
    this.#noted = []
    try {
      this.store.change(() => { this.#unsifted.push(this.store.addGarbage(multihashes)) })
    } catch (err) {
      // Whoever stored them is not to fail for it: they are found when all blocks are looked at.
      this.#isComplete = false
      this.#deps.log.warn('Stored blocks could not be noted; the next gc looks at all', { err })
    }
  }

  /** DAG nodes of a walk under way may lack what is below them. */
  #isWhole (cid: CID): boolean {
    if (wayOf(cid) === LEAF) return this.store.hasParent(cid)
    const id = this.store.nodeId(cid)
    return id !== undefined && id < this.#openFromId
  }
}

/** Settles as `promise` does, or rejects as soon as the signal aborts. */
async function orAborted<T> (promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = (): void => { reject(signal.reason) }
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
