import type { Blockstore } from '@holdfast/blockstore'
import type { AbortOptions, Logger } from '@holdfast/core'
import type { Host, PeerId } from '@holdfast/network'
import type { Pin, PinSet } from '@holdfast/pins'
import type { CID } from 'multiformats/cid'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { PinFilter } from '../cluster/cluster-pin.ts'
import { MAX_CLOCK_LEAD_MS, MAX_FETCHES_TOLD } from '../limits.ts'
import type { RecordChange } from '../map/record-map.ts'
import { pinKeyOf, type PinKey } from '../map/stored-record.ts'
import type { PinMode } from '../record/record.ts'
import type { NodeLoad, Replication } from '../replication.ts'
import { Allocator } from './allocator.ts'
import { type Claim, isRepair, isSmall, toldBytesOf } from './claims.ts'
import type { ClusterSight, ClusterWatch } from './cluster-watch.ts'
import { CoHolders } from './co-holders.ts'
import { FetchQueue } from './fetch-queue.ts'
import type { Keeper, KeeperStats, MadeCopy, ReleasedCopies } from './keeper.ts'
import { PINS_PER_SLICE, VERIFY_AGAIN_MS } from './limits.ts'
import type { OwnCopies } from './own-copies.ts'
import { isExpired, PinIndex, type WantedPin } from './pin-index.ts'
import type { PinStatus } from './pin-status.ts'
import { releaseCopies } from './release-copies.ts'
import { StatusBoard } from './status-board.ts'
import { UnwantedCopies } from './unwanted-copies.ts'
import { WorkLoop } from './work-loop.ts'

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
  readonly #loop: WorkLoop
  readonly #allocator: Allocator
  readonly #coHolders: CoHolders
  readonly #unwanted: UnwantedCopies
  readonly #board: StatusBoard
  readonly #closing = new AsyncDisposableStack()
  /** Own copies that lack a block. */
  readonly #damaged = new Set<PinKey>()
  #signature = ''
  /** Pinned here for the cluster by others, who put the record that wants it next; how often. */
  readonly #expected = new Map<PinKey, number>()
  #wasCutOff = false
  /** The node leaves its cluster: nothing more is kept for it. */
  #isReleasing = false
  #clusterId: string | undefined

  constructor (parts: NodeKeeperParts) {
    this.#parts = parts
    const { copies, copies: { retries } } = parts
    const index = this.#index
    const queue = this.#queue = new FetchQueue(async (pinKey, signal) => { await this.#fetch(pinKey, signal) })
    this.#loop = new WorkLoop({ log: parts.log, load: async (signal) => await this.#loadIndex(signal), contents: () => index.contents(), lookAt: (pinKey) => { this.#lookAt(pinKey) } })
    const allocator = this.#allocator = new Allocator({ ...parts, retries, isPinnedHere: (pinKey) => this.#isPinnedHere(pinKey) })
    this.#coHolders = new CoHolders({
      ...parts,
      index,
      isBusy: () => queue.runningCount > 0,
      onChange: (pinKey) => { this.#lookSoon(pinKey) },
      onOwnLoss: (pinKey) => {
        this.#damaged.add(pinKey)
        this.#lookSoon(pinKey)
      }
    })
    this.#unwanted = new UnwantedCopies({
      ...parts,
      queue,
      isWanted: (pinKey) => this.#expected.has(pinKey) || this.#wantedPins(pinKey, parts.watch.sight).length > 0,
      onEnded: (pinKey, isDone) => {
        if (isDone) this.#loop.add(pinKey)
        else this.#loop.unsettle(pinKey)
        this.#loop.run()
      }
    })
    this.#board = new StatusBoard({ ...parts, copies, index, allocator, queue, onPin: (id) => { this.#onPin(id) } })
  }

  open (): void {
    const { replication, intervalMs } = this.#parts
    this.#closing.use(replication.watch((changes) => { this.#onChanges(changes) }))
    this.#coHolders.open()
    const timer = setInterval(() => { this.#tick() }, intervalMs)
    this.#closing.defer(() => { clearInterval(timer) })
    this.#loop.run()
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
    return this.#board.status(pinId)
  }

  statuses (filter: PinFilter = {}): Iterable<PinStatus> {
    return this.#board.statuses(filter)
  }

  watch (pinId: string, options: AbortOptions = {}): AsyncIterable<PinStatus> {
    return this.#board.watch(pinId, options)
  }

  expect (cid: CID, mode: PinMode): Disposable {
    const pinKey = pinKeyOf(cid, mode)
    this.#expected.set(pinKey, (this.#expected.get(pinKey) ?? 0) + 1)
    const end = (): void => {
      const count = this.#expected.get(pinKey) ?? 1
      if (count > 1) this.#expected.set(pinKey, count - 1)
      else this.#expected.delete(pinKey)
      this.#lookSoon(pinKey)
    }
    return { [Symbol.dispose]: end }
  }

  async reportCopy (cid: CID, mode: PinMode, copy: MadeCopy): Promise<void> {
    // Whose place is not in doubt need not say that it is on its way: the record that wants it does.
    if (copy.isVerified || this.#parts.replication.profile.capacityBytes === 0) await this.#parts.copies.report(pinKeyOf(cid, mode), copy)
  }

  namesOf (cid: CID, mode: PinMode): string[] {
    const ids = this.#index.get(pinKeyOf(cid, mode))?.pins.keys() ?? []
    return [...ids].flatMap((id) => this.#parts.replication.pin(id)?.name ?? [])
  }

  async release (forget: () => Promise<void>): Promise<ReleasedCopies> {
    const { pins, replication, watch } = this.#parts
    this.#isReleasing = true
    try {
      await this.#stopFetches(new Error('The node leaves its cluster'))
      await this.#unwanted.ended()
      const released = await releaseCopies({ pins, replication, isWanted: (pinKey) => this.#wantedPins(pinKey, watch.sight).length > 0 })
      await forget()
      return released
    } finally {
      this.#isReleasing = false
      this.#parts.watch.forget()
      this.#lookAround()
      this.#loop.sweep()
    }
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#board[Symbol.dispose]()
    await this.#closing.disposeAsync()
    await this.#loop[Symbol.asyncDispose]()
    await this.#coHolders[Symbol.asyncDispose]()
    await this.#queue[Symbol.asyncDispose]()
    await this.#unwanted[Symbol.asyncDispose]()
  }

  async #stopFetches (reason: Error): Promise<void> {
    const pinKeys = this.#queue.pinKeys()
    for (const pinKey of pinKeys) this.#queue.cancel(pinKey, reason)
    await Promise.all(pinKeys.map(async (pinKey) => { await this.#queue.ended(pinKey) }))
  }

  #lookSoon (pinKey: PinKey): void {
    this.#loop.add(pinKey)
    this.#loop.run()
  }

  /** Learns all pins, and what this node keeps of them, before anything is begun. */
  async #loadIndex (signal: AbortSignal): Promise<boolean> {
    const { replication, pins, copies, self } = this.#parts
    this.#clusterId = replication.cluster?.id
    let count = 0
    for (const pin of replication.pins()) {
      this.#index.put(pin)
      const own = replication.holds(pin.pinKey).find(({ holder }) => holder === self)
      if (own?.state === 'verified') copies.ledger.set(pin.pinKey, own.byteLength)
      if (++count % PINS_PER_SLICE === 0) await nextTurn()
      if (signal.aborted || replication.cluster?.id !== this.#clusterId) return false
    }
    const former: Pin[] = []
    for (const pin of pins.list({ owner: 'cluster' })) {
      const pinKey = pinKeyOf(pin.cid, pin.kind)
      if (this.#index.get(pinKey) !== undefined || this.#expected.has(pinKey)) continue
      // A crash may have come between the end of a pin and that of its copy: this node's word on it shows that the pin was of this cluster.
      if (replication.holds(pinKey).some(({ holder }) => holder === self)) this.#loop.add(pinKey)
      else if (replication.cluster?.role !== 'removed') former.push(pin)
    }
    for (const pin of former) await this.#adopt(pin)
    return true
  }

  /** A copy of a former cluster, of which nobody here can tell whether it is wanted: the user may. */
  async #adopt ({ cid, kind }: Pin): Promise<void> {
    const { pins, log } = this.#parts
    await pins.add({ cid, kind })
    await pins.remove({ cid, kind, owner: 'cluster' })
    log.info('A copy for a former cluster is a pin of this node alone now', { cid: cid.toString(), kind })
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
    this.#loop.run()
  }

  /** Keys that no pin names are passed over: a member may write what it likes there. */
  #onHold (pinKey: PinKey, holder: PeerId): void {
    if (this.#index.get(pinKey) === undefined) return
    if (holder !== this.#parts.self) this.#parts.copies.retries.hurry(pinKey)
    this.#loop.add(pinKey)
    this.#coHolders.onHold(pinKey, holder)
  }

  #onPin (id: string): void {
    const pin = this.#parts.replication.pin(id)
    for (const pinKey of pin === undefined ? this.#index.delete(id) : this.#index.put(pin)) this.#loop.add(pinKey)
  }

  #tick (): void {
    this.#lookAround()
    this.#endExpired()
    this.#coHolders.tick()
    this.#loop.tick()
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
    this.#loop.sweep()
  }

  /** This node is in another cluster now, or in none. */
  #forgetCluster (): void {
    for (const pinKey of this.#queue.pinKeys()) this.#queue.cancel(pinKey, new Error('The node is in another cluster'))
    this.#parts.copies.forgetAll()
    this.#index.clear()
    this.#allocator.clear()
    this.#coHolders.clear()
    this.#damaged.clear()
    this.#loop.restart()
  }

  #endExpired (): void {
    const { sight } = this.#parts.watch
    const { replication, self, log } = this.#parts
    for (const id of this.#index.expiring()) {
      const wanted = this.#index.pin(id)
      if (wanted === undefined || !isExpired(wanted, sight)) continue
      const pinKey = replication.pin(id)?.pinKey
      if (pinKey !== undefined) this.#loop.add(pinKey)
      // One member takes the record away, so that the list of pins does not fill with what is over.
      if (wanted.origin === self && sight.isMember) void replication.deletePin(id).catch((err: unknown) => { log.debug('An expired pin was not deleted', { id, err }) })
    }
  }

  #wantedPins (pinKey: PinKey, sight: ClusterSight): WantedPin[] {
    return [...this.#index.get(pinKey)?.pins.values() ?? []].filter((pin) => !isExpired(pin, sight))
  }

  /** Does what is to be done about one content, from all that is known now. */
  #lookAt (pinKey: PinKey): void {
    const { watch: { sight }, copies, self } = this.#parts
    // Who is no member keeps what it has, and takes nothing.
    if (!sight.isMember || this.#isReleasing || this.#unwanted.isDropping(pinKey)) return
    const content = this.#index.get(pinKey)
    const wanted = this.#wantedPins(pinKey, sight)
    if (content === undefined || wanted.length === 0) {
      if (!this.#expected.has(pinKey)) this.#drop(pinKey)
      return
    }
    const claims = this.#allocator.claimsOf(pinKey, sight)
    const counted = new Set(claims.filter(({ isCounted }) => isCounted).map(({ holder }) => holder))
    const assigned = new Set(wanted.flatMap((pin) => this.#allocator.assign(pin, pinKey, claims, sight)))
    const own = claims.find(({ holder }) => holder === self)
    const isKept = own?.state === 'verified' && copies.isPinned(content)
    const isWork = isKept ? this.#damaged.has(pinKey) || needsVerification(own, claims, sight) || !isSameSet(this.#coHolders.doubtsOf(pinKey), own.doubts) : assigned.has(self) && !(sight.isCutOff && isRepair(claims, wanted, sight))
    this.#allocator.noteSilence(pinKey, [...assigned].filter((peer) => !claims.some(({ holder }) => holder === peer)))
    const isLocal = isWork && !isKept && copies.isHere(content)
    if (isWork && copies.retries.isDue(pinKey)) this.#queue.add(pinKey, { hasSource: isKept || isLocal || counted.size > 0, isLocal, copyCount: counted.size, wasTried: copies.retries.get(pinKey) !== undefined, toldBytes: toldBytesOf(claims) })
    else if (!isWork) this.#queue.remove(pinKey)
    if (isWork || [...assigned].some((peer) => !counted.has(peer))) this.#loop.unsettle(pinKey)
    else this.#loop.settle(pinKey)
  }

  #isPinnedHere (pinKey: PinKey): boolean {
    const content = this.#index.get(pinKey)
    return content !== undefined && this.#parts.copies.isPinned(content)
  }

  #drop (pinKey: PinKey): void {
    this.#allocator.forget(pinKey)
    this.#coHolders.forget(pinKey)
    this.#damaged.delete(pinKey)
    this.#loop.settle(pinKey)
    this.#unwanted.drop(pinKey)
  }

  async #fetch (pinKey: PinKey, signal: AbortSignal): Promise<void> {
    const { copies, self, watch: { sight } } = this.#parts
    const content = this.#index.get(pinKey)
    if (content === undefined) return
    const claims = this.#allocator.claimsOf(pinKey, sight)
    const own = claims.find(({ holder }) => holder === self)
    const doubts = [...this.#coHolders.doubtsOf(pinKey)]
    this.#damaged.delete(pinKey)
    await copies.make({
      content,
      holders: isSmall(claims) ? claims.filter(({ isCounted }) => isCounted).map(({ holder }) => holder) : [],
      companions: this.#allocator.companionsOf(content, claims, sight),
      wasVerified: own?.state === 'verified' && copies.isPinned(content),
      isRepair: isRepair(claims, [...content.pins.values()], sight),
      toldBytes: toldBytesOf(claims),
      // Who doubts others has looked at its own copy just before.
      doubts
    }, signal)
    this.#lookSoon(pinKey)
  }
}

function isSameSet (set: ReadonlySet<PeerId>, list: readonly PeerId[]): boolean {
  return set.size === list.length && list.every((peer) => set.has(peer))
}

/** The own copy was verified long ago, or, by a clock that was wrong, in the future; or another holder found it wanting since. */
function needsVerification (own: Claim, claims: readonly Claim[], { nowMs }: ClusterSight): boolean {
  return nowMs - own.atMs > VERIFY_AGAIN_MS || own.atMs > nowMs + MAX_CLOCK_LEAD_MS || claims.some(({ doubts, atMs }) => doubts.includes(own.holder) && atMs > own.atMs)
}
