import type { AbortOptions, Logger } from '@holdfast/core'
import type { Host, PeerId } from '@holdfast/network'
import type { PinSet } from '@holdfast/pins'
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import type { RecordChange } from '../map/record-map.ts'
import type { Blockstore } from '@holdfast/blockstore'
import { cidOfPinKey, modeOfPinKey, pinKeyOf, type PinKey } from '../map/stored-record.ts'
import type { ClusterPin, NodeLoad, PinFilter, Replication } from '../replication.ts'
import { MAX_CLOCK_LEAD_MS, MAX_DOUBTS, MAX_FETCHES_TOLD } from '../limits.ts'
import { assignedTo } from './assignment.ts'
import { Audits } from './audits.ts'
import { type Claim, judgeClaims } from './claims.ts'
import type { ClusterSight, ClusterWatch } from './cluster-watch.ts'
import { FetchQueue } from './fetch-queue.ts'
import type { Keeper, KeeperStats } from './keeper.ts'
import { CHALLENGE_ROUND_MS, EXPIRY_MARGIN_MS, MAX_UNSHARED_BYTES, PINS_PER_SLICE, REFUSAL_MS, SMALL_BYTES, SWEEP_MS, VERIFY_AGAIN_MS, WATCH_INTERVAL_MS } from './limits.ts'
import type { CopyProgress, OwnCopies } from './own-copies.ts'
import { type Content, PinIndex, type WantedPin } from './pin-index.ts'
import { type PinStatus, statusOf } from './pin-status.ts'

export interface NodeKeeperParts {
  readonly replication: Replication
  readonly pins: PinSet
  readonly blocks: Blockstore
  readonly host: Host
  readonly self: PeerId
  readonly watch: ClusterWatch
  readonly copies: OwnCopies
  readonly log: Logger
  readonly graceMs: number
  readonly intervalMs: number
}

/**
 * Keeps on this node what falls to it.
 *
 * Level-triggered: whatever changes, the contents that it touches are looked at again, each by itself and all of its state. So
 * nothing depends on the order of events, and a crash loses none. A change of members touches all, which is done in slices.
 */
export class NodeKeeper implements Keeper {
  readonly #parts: NodeKeeperParts
  readonly #index = new PinIndex()
  readonly #queue: FetchQueue
  readonly #audits: Audits
  readonly #closing = new AsyncDisposableStack()
  readonly #closed = new AbortController()
  /** To be looked at. */
  readonly #due = new Set<PinKey>()
  /** Not as wanted: looked at again with every interval. */
  readonly #unsettled = new Set<PinKey>()
  readonly #dropping = new Map<PinKey, Promise<void>>()
  /** Since when a copy falls to a member that said nothing of it, on the monotonic clock. */
  readonly #silentSince = new Map<PinKey, Map<PeerId, number>>()
  /** Members whose copy was found wanting, as far as that changed since this node started. */
  readonly #doubts = new Map<PinKey, Set<PeerId>>()
  /** Own copies that lack a block. */
  readonly #damaged = new Set<PinKey>()
  #audited: Iterator<Content> | undefined
  #sweep: Iterator<Content> | undefined
  #sweptAtMs = performance.now()
  #signature = ''
  #wasCutOff = false
  #working: Promise<void> | undefined
  #isLoaded = false
  #clusterId: string | undefined

  constructor (parts: NodeKeeperParts) {
    this.#parts = parts
    this.#queue = new FetchQueue(async (pinKey, signal) => { await this.#fetch(pinKey, signal) })
    const { host, blocks, log } = parts
    this.#audits = new Audits({
      host,
      blocks,
      log,
      isPartner: (peer) => parts.watch.sight.isMember && peer !== parts.self && parts.watch.sight.members.has(peer),
      isBusy: () => this.#queue.runningCount > 0,
      contentOf: (pinKey, peer) => this.#auditable(pinKey, peer),
      onVerdict: (pinKey, peer, isHeld) => { this.#onVerdict(pinKey, peer, isHeld) },
      onOwnLoss: (pinKey) => {
        this.#damaged.add(pinKey)
        this.#due.add(pinKey)
        this.#work()
      }
    })
  }

  open (): void {
    const { replication, intervalMs } = this.#parts
    this.#closing.use(replication.watch((changes) => { this.#onChanges(changes) }))
    this.#audits.open()
    const timer = setInterval(() => { this.#tick() }, intervalMs)
    this.#closing.defer(() => { clearInterval(timer) })
    this.#work()
  }

  get isCutOff (): boolean {
    return this.#parts.watch.sight.isCutOff
  }

  get stats (): KeeperStats {
    const { ledger, retries, repairedCount } = this.#parts.copies
    return { fetchingCount: this.#queue.runningCount, queuedCount: this.#queue.queuedCount, repairedCount, refusedCount: retries.refusedCount, usedBytes: ledger.usedBytes, capacityBytes: ledger.capacityBytes }
  }

  load (): NodeLoad {
    const { copies: { ledger } } = this.#parts
    const fetching = [...this.#queue.running()].slice(0, MAX_FETCHES_TOLD).map((pinKey) => {
      const { percent = 0, bytesPerSecond = 0 } = this.#parts.copies.progressOf(pinKey) ?? {}
      return { pinKey: Buffer.from(pinKey, 'hex'), percent, bytesPerSecond }
    })
    return { usedBytes: ledger.usedBytes, freeBytes: ledger.freeBytes, isFull: ledger.isFull, queueLength: this.#queue.queuedCount, fetching }
  }

  status (pinId: string): PinStatus | undefined {
    const pin = this.#parts.replication.pin(pinId)
    return pin === undefined ? undefined : this.#statusOf(pin)
  }

  * statuses ({ cid, mode, name }: PinFilter = {}): Generator<PinStatus> {
    if (cid !== undefined) {
      const found = [...this.#parts.replication.pins({ cid, mode, name })]
      for (const pin of found.sort((a, b) => a.createdMs - b.createdMs || (a.id < b.id ? -1 : 1))) yield this.#statusOf(pin)
      return
    }
    for (const id of this.#index.inOrder()) {
      const pin = this.#parts.replication.pin(id)
      if (pin !== undefined && (mode === undefined || pin.mode === mode) && (name === undefined || pin.name === name)) yield this.#statusOf(pin)
    }
  }

  async * watch (pinId: string, { signal }: AbortOptions = {}): AsyncGenerator<PinStatus> {
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

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#closed.abort()
    await this.#closing.disposeAsync()
    await this.#audits[Symbol.asyncDispose]()
    await this.#queue[Symbol.asyncDispose]()
    await this.#working
    await Promise.allSettled(this.#dropping.values())
  }

  /** Begins to look at what is due, when that is not under way. */
  #work (): void {
    if (this.#closed.signal.aborted) return
    this.#working ??= this.#workThrough()
      .catch((err: unknown) => { this.#parts.log.error('The keeper could not read the pins, and tries again later', { err }) })
      .finally(() => {
        this.#working = undefined
        if (this.#due.size > 0) this.#work()
      })
  }

  async #workThrough (): Promise<void> {
    await nextTurn()
    if (!this.#isLoaded) await this.#loadIndex()
    for (let isMore = true; isMore && !this.#closed.signal.aborted;) {
      isMore = this.#workSlice()
      await nextTurn()
    }
  }

  #workSlice (): boolean {
    const slice = [...this.#due.values().take(PINS_PER_SLICE)]
    for (const pinKey of slice) {
      this.#due.delete(pinKey)
      this.#tryLookAt(pinKey)
    }
    for (let count = slice.length; count < PINS_PER_SLICE && this.#sweep !== undefined; count++) {
      const { done, value } = this.#sweep.next()
      if (done === true) this.#sweep = undefined
      else this.#tryLookAt(value.pinKey)
    }
    return this.#due.size > 0 || this.#sweep !== undefined
  }

  /** Learns all pins, and what this node keeps of them, before anything is begun. */
  async #loadIndex (): Promise<void> {
    const { replication, pins, copies, self } = this.#parts
    this.#clusterId = replication.cluster?.id
    let count = 0
    for (const pin of replication.pins()) {
      this.#index.put(pin)
      const own = replication.holds(pin.pinKey).find(({ holder }) => holder === self)
      if (own?.state === 'verified') copies.ledger.set(pin.pinKey, own.byteLength)
      if (++count % PINS_PER_SLICE === 0) await nextTurn()
      if (this.#closed.signal.aborted || replication.cluster?.id !== this.#clusterId) return
    }
    // A crash may have come between the end of a pin and that of its copy: this node's word on it shows that the pin was of this cluster.
    for (const { cid, kind } of pins.list({ owner: 'cluster' })) {
      const pinKey = pinKeyOf(cid, kind)
      if (this.#index.get(pinKey) === undefined && replication.holds(pinKey).some(({ holder }) => holder === self)) this.#due.add(pinKey)
    }
    this.#isLoaded = true
    this.#startSweep()
  }

  #startSweep (): void {
    this.#sweep = this.#index.contents()
    this.#sweptAtMs = performance.now()
    this.#work()
  }

  #onChanges (changes: readonly RecordChange[]): void {
    for (const change of changes) {
      switch (change.kind) {
        case 'pin':
          this.#onPin(Buffer.from(change.pinId, 'latin1').toString('hex'))
          break
        case 'hold':
          this.#onHold(change.pinKey, change.holder)
          break
        default:
          this.#parts.watch.forget()
          this.#lookAround()
      }
    }
    this.#work()
  }

  /** Keys that no pin names are passed over: a member may write what it likes there. */
  #onHold (pinKey: PinKey, holder: PeerId): void {
    if (this.#index.get(pinKey) === undefined) return
    if (holder !== this.#parts.self) this.#parts.copies.retries.hurry(pinKey)
    this.#due.add(pinKey)
    this.#auditAfter(pinKey, holder)
  }

  /** New claims are challenged once both have a copy. */
  #auditAfter (pinKey: PinKey, holder: PeerId): void {
    const { self, replication } = this.#parts
    const others = holder === self ? replication.holds(pinKey).map(({ holder }) => holder) : [holder]
    for (const peer of others) if (this.#auditable(pinKey, peer) !== undefined) this.#audits.add(pinKey, peer)
  }

  #auditable (pinKey: PinKey, peer: PeerId): Content | undefined {
    const { self, replication, copies } = this.#parts
    const content = this.#index.get(pinKey)
    if (content === undefined || peer === self) return undefined
    const claiming = new Set(replication.holds(pinKey).filter(({ state }) => state === 'verified').map(({ holder }) => holder))
    return claiming.has(self) && claiming.has(peer) && copies.isPinned(content) ? content : undefined
  }

  /** Each claim comes up about once a day, in a random part of the intervals. */
  #auditSome (): void {
    const due = this.#index.contentCount * this.#parts.intervalMs / CHALLENGE_ROUND_MS
    for (let count = Math.floor(due + Math.random()); count > 0; count--) {
      this.#audited ??= this.#index.contents()
      const { done, value } = this.#audited.next()
      if (done === true) this.#audited = undefined
      else this.#auditAfter(value.pinKey, this.#parts.self)
    }
  }

  #onVerdict (pinKey: PinKey, peer: PeerId, isHeld: boolean): void {
    if (this.#auditable(pinKey, peer) === undefined) return
    const doubts = this.#doubtsOf(pinKey)
    if (doubts.has(peer) !== isHeld || !isHeld && doubts.size >= MAX_DOUBTS) return
    this.#parts.log[isHeld ? 'info' : 'warn'](isHeld ? 'A member proved a copy that was doubted' : 'A member does not hold a copy that it claims', { pinKey, peer })
    this.#doubts.set(pinKey, new Set(isHeld ? [...doubts].filter((doubted) => doubted !== peer) : [...doubts, peer]))
    this.#due.add(pinKey)
    this.#work()
  }

  #doubtsOf (pinKey: PinKey): ReadonlySet<PeerId> {
    const { replication, self } = this.#parts
    return this.#doubts.get(pinKey) ?? new Set(replication.holds(pinKey).find(({ holder }) => holder === self)?.doubts)
  }

  #onPin (id: string): void {
    const pin = this.#parts.replication.pin(id)
    for (const pinKey of pin === undefined ? this.#index.delete(id) : this.#index.put(pin)) this.#due.add(pinKey)
  }

  #tick (): void {
    this.#lookAround()
    this.#endExpired()
    this.#auditSome()
    for (const pinKey of this.#unsettled) this.#due.add(pinKey)
    if (performance.now() - this.#sweptAtMs > SWEEP_MS) this.#startSweep()
    this.#work()
  }

  /** Looks at everything again when members came, went or changed. */
  #lookAround (): void {
    const { sight } = this.#parts.watch
    if (sight.isCutOff !== this.#wasCutOff) {
      this.#wasCutOff = sight.isCutOff
      if (sight.isCutOff) this.#parts.log.warn('Most members of the cluster cannot be reached: this node makes no repairs until they are back', { memberCount: sight.members.size })
      else this.#parts.log.info('Most members of the cluster can be reached', { memberCount: sight.members.size })
    }
    if (this.#parts.replication.cluster?.id !== this.#clusterId) this.#forgetCluster()
    if (sight.signature === this.#signature) return
    this.#signature = sight.signature
    if (this.#isLoaded) this.#startSweep()
  }

  /** This node is in another cluster now. What it kept for the former stays pinned, for nobody here can tell whether it is wanted. */
  #forgetCluster (): void {
    for (const pinKey of this.#queue.pinKeys()) this.#queue.cancel(pinKey, new Error('The node is in another cluster'))
    this.#index.clear()
    for (const state of [this.#due, this.#unsettled, this.#silentSince, this.#doubts, this.#damaged]) state.clear()
    this.#sweep = this.#audited = undefined
    this.#isLoaded = false
    this.#work()
  }

  #endExpired (): void {
    const { sight } = this.#parts.watch
    const { replication, self, log } = this.#parts
    for (const id of this.#index.expiring()) {
      const wanted = this.#index.pin(id)
      if (wanted === undefined || !isExpired(wanted, sight)) continue
      const pinKey = replication.pin(id)?.pinKey
      if (pinKey !== undefined) this.#due.add(pinKey)
      // One member takes the record away, so that the list of pins does not fill with what is over.
      if (wanted.origin === self && sight.isMember) void replication.deletePin(id).catch((err: unknown) => { log.debug('An expired pin was not deleted', { id, err }) })
    }
  }

  #tryLookAt (pinKey: PinKey): void {
    try {
      this.#lookAt(pinKey)
    } catch (err) {
      this.#parts.log.error('The keeper stumbled over a pin, and tries it again later', { pinKey, err })
      this.#unsettled.add(pinKey)
    }
  }

  /** Does what is to be done about one content, from all that is known now. */
  #lookAt (pinKey: PinKey): void {
    const { watch: { sight }, copies, self } = this.#parts
    // Who is no member keeps what it has, and takes nothing.
    if (!sight.isMember || this.#dropping.has(pinKey)) return
    const content = this.#index.get(pinKey)
    const wanted = [...content?.pins.values() ?? []].filter((pin) => !isExpired(pin, sight))
    if (content === undefined || wanted.length === 0) {
      this.#dropUnwanted(pinKey)
      return
    }
    const claims = this.#claimsOf(pinKey, sight)
    const counted = new Set(claims.filter(({ isCounted }) => isCounted).map(({ holder }) => holder))
    const assigned = new Set(wanted.flatMap((pin) => this.#assign(pin, pinKey, claims, sight)))
    const own = claims.find(({ holder }) => holder === self)
    const isKept = own?.state === 'verified' && copies.isPinned(content)
    const isWork = isKept ? this.#damaged.has(pinKey) || needsVerification(own, claims, sight) || !isSameSet(this.#doubtsOf(pinKey), own.doubts) : assigned.has(self) && !(sight.isCutOff && isRepair(claims))
    this.#noteSilence(pinKey, [...assigned].filter((peer) => !claims.some(({ holder }) => holder === peer)))
    const isLocal = isKept || isWork && copies.isLocal(pinKey)
    if (isWork && copies.retries.isDue(pinKey)) this.#queue.add(pinKey, { hasSource: isLocal || counted.size > 0, isLocal, copyCount: counted.size, wasTried: copies.retries.get(pinKey) !== undefined, toldBytes: toldBytesOf(claims) })
    else if (!isWork) this.#queue.remove(pinKey)
    if (isWork || [...assigned].some((peer) => !counted.has(peer))) this.#unsettled.add(pinKey)
    else this.#unsettled.delete(pinKey)
  }

  #claimsOf (pinKey: PinKey, sight: ClusterSight): Claim[] {
    return judgeClaims(this.#parts.replication.holds(pinKey), sight)
  }

  #assign (pin: WantedPin, pinKey: PinKey, claims: readonly Claim[], sight: ClusterSight): PeerId[] {
    return assignedTo({ pinKey, pin, claims, skipped: (peer) => this.#isSkipped(peer, pinKey, claims, sight) }, sight)
  }

  /** Whether the next in order takes this instead: the member has no space, no true copy, or does not get to it. */
  #isSkipped (peer: PeerId, pinKey: PinKey, claims: readonly Claim[], { nowMs }: ClusterSight): boolean {
    const { self, graceMs, copies: { retries } } = this.#parts
    if (peer === self) return retries.get(pinKey)?.state === 'refused' && !retries.isDue(pinKey)
    const claim = claims.find(({ holder }) => holder === peer)
    if (claim === undefined) return performance.now() - (this.#silentSince.get(pinKey)?.get(peer) ?? Infinity) > graceMs
    const ageMs = nowMs - claim.atMs
    if (claim.state === 'refused') return ageMs < REFUSAL_MS
    const isFailing = claim.why !== undefined && (claim.state === 'queued' || claim.state === 'corrupt')
    return claim.isDoubted || isFailing && ageMs > graceMs && claims.some(({ isCounted }) => isCounted)
  }

  #noteSilence (pinKey: PinKey, silent: readonly PeerId[]): void {
    const known = this.#silentSince.get(pinKey)
    if (silent.length === 0 && known === undefined) return
    const claimed = new Set(this.#parts.replication.holds(pinKey).map(({ holder }) => holder))
    const since = new Map([...known ?? []].filter(([peer]) => !claimed.has(peer)))
    for (const peer of silent) if (peer !== this.#parts.self && !since.has(peer)) since.set(peer, performance.now())
    if (since.size === 0) this.#silentSince.delete(pinKey)
    else this.#silentSince.set(pinKey, since)
  }

  #dropUnwanted (pinKey: PinKey): void {
    const { pins, copies, log } = this.#parts
    this.#queue.cancel(pinKey, new Error('The pin is gone'))
    this.#silentSince.delete(pinKey)
    this.#doubts.delete(pinKey)
    this.#damaged.delete(pinKey)
    this.#unsettled.delete(pinKey)
    copies.retries.forget(pinKey)
    const isPinned = pins.list({ cid: cidOfPinKey(pinKey), kind: modeOfPinKey(pinKey), owner: 'cluster' })[Symbol.iterator]().next().done !== true
    if (!isPinned && !this.#queue.isRunning(pinKey)) return
    const dropping = this.#drop(pinKey)
      .catch((err: unknown) => {
        log.warn('A copy that no pin wants was not dropped, and is tried again', { pinKey, err })
        this.#unsettled.add(pinKey)
        return false
      })
      .then((isDone) => {
        this.#dropping.delete(pinKey)
        // It may be wanted again by now.
        if (isDone) this.#due.add(pinKey)
        this.#work()
      })
    this.#dropping.set(pinKey, dropping)
  }

  async #drop (pinKey: PinKey): Promise<boolean> {
    await this.#queue.ended(pinKey)
    const { sight } = this.#parts.watch
    const isWanted = [...this.#index.get(pinKey)?.pins.values() ?? []].some((pin) => !isExpired(pin, sight))
    if (!isWanted) await this.#parts.copies.drop(pinKey)
    return true
  }

  async #fetch (pinKey: PinKey, signal: AbortSignal): Promise<void> {
    const { copies, self, watch: { sight } } = this.#parts
    const content = this.#index.get(pinKey)
    if (content === undefined) return
    const claims = this.#claimsOf(pinKey, sight)
    const own = claims.find(({ holder }) => holder === self)
    const doubts = [...this.#doubtsOf(pinKey)]
    this.#damaged.delete(pinKey)
    await copies.make({
      content,
      holders: isSmall(claims) ? claims.filter(({ isCounted }) => isCounted).map(({ holder }) => holder) : [],
      companions: this.#companionsOf(pinKey, content, claims, sight),
      wasVerified: own?.state === 'verified' && copies.isPinned(content),
      isRepair: isRepair(claims),
      toldBytes: toldBytesOf(claims),
      // Who doubts others has looked at its own copy just before.
      doubts
    }, signal)
    this.#due.add(pinKey)
    this.#work()
  }

  /** Who else is to make a copy of what an origin has. All that are to, see the same ones. */
  #companionsOf (pinKey: PinKey, { pins }: Content, claims: readonly Claim[], sight: ClusterSight): PeerId[] {
    const wanted = [...pins.values()].filter((pin) => !isExpired(pin, sight))
    const toldBytes = toldBytesOf(claims)
    if (toldBytes > 0 && toldBytes <= MAX_UNSHARED_BYTES) return []
    const sources = new Set([this.#parts.self, ...wanted.map(({ origin }) => origin), ...claims.filter(({ isCounted }) => isCounted).map(({ holder }) => holder)])
    return [...new Set(wanted.flatMap((pin) => this.#assign(pin, pinKey, claims, sight)))].filter((peer) => !sources.has(peer))
  }

  #statusOf (pin: ClusterPin): PinStatus {
    const { id, pinKey } = pin
    const { copies, self, watch: { sight } } = this.#parts
    if (this.#index.pin(id) === undefined) this.#onPin(id)
    const wanted = this.#index.pin(id)
    if (wanted === undefined) throw new TypeError(`Pin ${id} is not in the index`)
    const claims = this.#claimsOf(pinKey, sight)
    const fetchOf = (peer: PeerId): CopyProgress | undefined => {
      if (peer === self) return copies.progressOf(pinKey)
      return sight.members.get(peer)?.fetching.find((fetch) => Buffer.from(fetch.pinKey).toString('hex') === pinKey)
    }
    return statusOf({
      pin,
      wanted,
      claims,
      sight,
      assigned: this.#assign(wanted, pinKey, claims, sight),
      fetchOf,
      own: { isQueued: this.#queue.isQueued(pinKey), failure: copies.retries.get(pinKey) },
      isExpired: isExpired(wanted, sight)
    })
  }
}

function isSameSet (set: ReadonlySet<PeerId>, list: readonly PeerId[]): boolean {
  return set.size === list.length && list.every((peer) => set.has(peer))
}

/** Whether it is small by what those with a copy say: a search for others that have it would cost more than the fetch. */
function isSmall (claims: readonly Claim[]): boolean {
  const toldBytes = toldBytesOf(claims)
  return toldBytes > 0 && toldBytes <= SMALL_BYTES
}

/** How many bytes it has, as those with a copy say. */
function toldBytesOf (claims: readonly Claim[]): number {
  return Math.max(0, ...claims.filter(({ isCounted }) => isCounted).map(({ byteLength }) => byteLength))
}

/** Copies are made again, not for the first time: somebody had one. */
function isRepair (claims: readonly Claim[]): boolean {
  return claims.some(({ state, isCounted }) => state === 'verified' && !isCounted)
}

/** The own copy was verified long ago, or, by a clock that was wrong, in the future; or another holder found it wanting since. */
function needsVerification (own: Claim, claims: readonly Claim[], { nowMs }: ClusterSight): boolean {
  return nowMs - own.atMs > VERIFY_AGAIN_MS || own.atMs > nowMs + MAX_CLOCK_LEAD_MS || claims.some(({ doubts, atMs }) => doubts.includes(own.holder) && atMs > own.atMs)
}

function isExpired ({ expireAtMs }: WantedPin, { nowMs }: ClusterSight): boolean {
  return expireAtMs !== undefined && nowMs > expireAtMs + EXPIRY_MARGIN_MS
}
