import { HoldfastError, isHoldfastError } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { DagLease } from '../leases.ts'
import type { Pin } from '../pin-record.ts'
import { LEAF, wayOf } from './edge-format.ts'
import { GarbageNotes } from './garbage-notes.ts'
import type { ReferenceStore } from './reference-store.ts'
import type { GarbageBatch, References, ReferencesDeps, SettleOptions } from './references.ts'
import { dropPins, releaseSome } from './release.ts'
import { retain, retainKnown } from './retain.ts'

/** Changes of pins that wait in memory; beyond that the pins are compared with the index as after a start. */
const MAX_WAITING_PINS = 65_536

/** How long changes of pins gather before they are followed, in ms: many that come at once share the work. */
const SETTLE_DELAY_MS = 100

/** Pins that are looked at before others have a turn. */
const PINS_PER_TURN = 1024

/** Pins whose edges are written, or taken away, in one change. */
const PINS_PER_CHANGE = 256

/** See `openReferences`. */
export class IndexedReferences implements References {
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
  readonly #notes: GarbageNotes
  #timer: NodeJS.Timeout | undefined
  #turn: Promise<void> = Promise.resolve()

  constructor (deps: Required<ReferencesDeps>, store: ReferenceStore) {
    this.#deps = deps
    this.store = store
    this.#cachedAtClose = store.completeBeside
    this.#isComplete = this.#cachedAtClose !== undefined
    // They are found when all blocks are looked at.
    this.#notes = new GarbageNotes(store, { onLost: () => { this.#isComplete = false }, log: deps.log })
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
    return this.store.isReferenced(cid) || this.isPinned(cid)
  }

  isPinned (cid: CID): boolean {
    return this.#deps.pins.isPinned(cid)
  }

  holdKept (cid: CID, lease: DagLease): boolean {
    if (!this.#isWhole(cid)) return false
    lease.protectDag(cid)
    return true
  }

  note (cid: CID): void {
    if (!this.#closing.signal.aborted) this.#notes.add(cid)
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

  garbage (): AsyncIterable<GarbageBatch> {
    return this.#notes.batches()
  }

  noted (): { forget(): void } {
    return this.#notes.asOfNow()
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
    this.#notes.write()
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
    await this.#notes.sift(options.signal)
  }

  async #compare (signal: AbortSignal): Promise<void> {
    this.#isDoubtful = false
    try {
      await this.#findChanges(signal)
    } catch (err) {
      // Pins that were not looked at are not known: what they keep would be garbage.
      this.#isDoubtful = true
      throw err
    }
  }

  /** Finds the pins that came and went while nobody watched. */
  async #findChanges (signal: AbortSignal): Promise<void> {
    const { pins } = this.#deps
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
