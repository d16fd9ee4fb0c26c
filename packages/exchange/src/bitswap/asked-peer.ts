import type { PeerId } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import type { CidPrefix } from './cid-prefix.ts'
import { MAX_LIVE_WANTS } from './limits.ts'
import type { Outbox } from './outbox.ts'
import { PeerMeter } from './peer-meter.ts'
import { RoomQueue, type RoomWaiter } from './room-queue.ts'
import type { Want } from './want.ts'

/** Wants that ended at a peer and are still remembered, to tell a late block from a wrong one. */
const MAX_RECENT_ASKS: number = 2 * MAX_LIVE_WANTS

/** How long a peer that did not send what it owed is asked after all others, in milliseconds per time in a row. */
const MISS_PENALTY_MS = 5_000

/** What a block with wrong bytes counts in the choice of a peer: as if it were this much slower, in milliseconds. */
const STRIKE_PENALTY_MS = 20_000

/** How long the answer to HAVE is waited for once the block came from elsewhere, in milliseconds. */
const HAVE_TIMEOUT_MS = 30_000

/** How long a peer that answers nothing may be far away, in milliseconds: three round trips around the world, on which a stream is opened. */
const MAX_SILENT_MS = 1_000

/** A peer is not given up while bytes of a message come in, for at most this long per want, in milliseconds. */
const MAX_EXTENSION_MS = 15_000
const EXTENSION_MS = 1_000

interface Ask {
  readonly want: Want
  readonly isBlock: boolean
  readonly expectedBytes: number
  readonly askedAtMs: number
  /** Nothing else was owed when it was asked: the answer shows the round-trip time. */
  readonly foundIdle: boolean
  /** The answer was HAVE, and not the block. */
  saysHave: boolean
  expiresAtMs: number
  extendedMs: number
}

/** A peer as a source of blocks: what was asked of it, how fast it answers, whether it lied. */
export class AskedPeer {
  readonly id: PeerId
  readonly meter: PeerMeter = new PeerMeter()
  /** Sessions that have more to ask of it. */
  readonly room: RoomQueue = new RoomQueue((byteLength) => this.hasRoom(byteLength))
  readonly #outbox: Outbox
  /** In the order of asking, so the first to expire come first. */
  readonly #asks = new Map<string, Ask>()
  /** Ended asks; `true` where a block that comes late is still welcome. */
  readonly #recent = new Map<string, { hashName: string, isWelcome: boolean }>()
  /** Hash functions and digest lengths of the blocks that may come, with how many. */
  readonly #expectedHashes = new Map<string, number>()
  #outstandingBytes = 0
  #lastHeardMs = 0
  #lastDeliveryMs = 0
  /** Times in a row that it did not send what it owed. */
  #missRun = 0
  #lastMissMs = 0
  receivedBlockCount = 0
  /** Blocks with wrong bytes that it sent. */
  strikeCount = 0

  constructor (id: PeerId, outbox: Outbox) {
    this.id = id
    this.#outbox = outbox
  }

  /** Bytes that were asked for and did not come yet. */
  get outstandingBytes (): number {
    return this.#outstandingBytes
  }

  get askCount (): number {
    return this.#asks.size
  }

  /** Reports whether `byteLength` more may be asked for. A peer that owes nothing may always be asked. */
  hasRoom (byteLength: number): boolean {
    if (this.#asks.size >= MAX_LIVE_WANTS) return false
    return this.#outstandingBytes === 0 || this.#missRun === 0 && this.#outstandingBytes + byteLength <= this.meter.windowBytes
  }

  /** Reports whether this session may ask for `byteLength` more: no other was refused before. */
  hasRoomFor (waiter: RoomWaiter, byteLength: number): boolean {
    return this.hasRoom(byteLength) && this.room.isTurnOf(waiter)
  }

  /** When a block more is expected from this peer, in milliseconds from now; one that did not deliver is put off. */
  expectedMs (byteLength: number): number {
    return this.meter.expectedMs(this.#outstandingBytes, byteLength) + this.#missRun * MISS_PENALTY_MS + this.strikeCount * STRIKE_PENALTY_MS
  }

  /** Reports whether it sent what it owed, and the right bytes; one that did not gets another chance, later each time. */
  isTrusted (nowMs: number): boolean {
    return this.strikeCount === 0 && (this.#missRun === 0 || nowMs - this.#lastMissMs >= this.#missRun * MISS_PENALTY_MS)
  }

  /** Reports whether it did not send what it owed last. */
  get isLate (): boolean {
    return this.#missRun > 0
  }

  /** When bytes of blocks came in last, by `performance.now()`. */
  get lastHeardMs (): number {
    return this.#lastHeardMs
  }

  /**
   * When all that is owed should be here, in milliseconds from `nowMs`: by the measured rate, and not sooner than the
   * peer has been silent until now.
   */
  remainingMs (nowMs: number): number {
    const [oldest] = this.#asks.values().filter(({ isBlock }) => isBlock).take(1)
    const silentMs = oldest === undefined ? 0 : nowMs - Math.max(this.#lastHeardMs, oldest.askedAtMs)
    const { bytesPerSecond } = this.meter
    return Math.max(bytesPerSecond === 0 ? 0 : this.#outstandingBytes / bytesPerSecond * 1000, silentMs)
  }

  /** Reports whether a block came from it since then. */
  hasDeliveredSince (ms: number): boolean {
    return this.#lastDeliveryMs >= ms
  }

  /** Reports whether a block is owed that was asked for before this one. */
  owesBefore (want: Want): boolean {
    const [oldest] = this.#asks.values().filter(({ isBlock }) => isBlock).take(1)
    return oldest !== undefined && oldest.want !== want
  }

  /** Bytes of blocks came in, though maybe not a whole message. */
  heard (): void {
    this.#lastHeardMs = performance.now()
  }

  askForBlock (want: Want): void {
    this.#ask(want, true, want.expectedBytes)
    this.#outbox.want({ cid: want.cid, priority: 1, isCancel: false, type: 'block', sendDontHave: true })
  }

  askForHave (want: Want): void {
    if (this.#asks.size >= MAX_LIVE_WANTS) return
    this.#ask(want, false, 0)
    this.#outbox.want({ cid: want.cid, priority: 1, isCancel: false, type: 'have', sendDontHave: true })
  }

  /** The want that a HAVE or DONT_HAVE answers, if it was asked; it may be over. */
  answered (key: string): Want | undefined {
    const ask = this.#asks.get(key)
    if (ask === undefined) return undefined
    this.#measure(ask)
    return ask.want
  }

  /** The want of this key that was asked and not answered; it may be over. */
  askedWant (key: string): Want | undefined {
    return this.#asks.get(key)?.want
  }

  /** It says that it has a block which it was asked for: that is no answer. */
  saidHave (want: Want): void {
    const ask = this.#asks.get(want.key)
    if (ask !== undefined) ask.saysHave = true
  }

  /** HAVE was all that was asked: the peer thinks no more of it. */
  fulfilled (want: Want): void {
    want.knownBy.delete(this)
    this.#remove(want, true)
  }

  /** Ends an ask that was answered with DONT_HAVE, or that expired; a block that comes late is still welcome. */
  end (want: Want): void {
    this.#remove(want, true)
  }

  /** Takes back whatever was asked. */
  cancel (want: Want): void {
    this.#remove(want, false)
    if (want.knownBy.delete(this)) this.#outbox.cancel(want.cid)
  }

  /** The block came. */
  delivered (want: Want, byteLength: number): void {
    const ask = this.#asks.get(want.key)
    if (ask !== undefined) this.#measure(ask)
    want.knownBy.delete(this)
    this.#remove(want, false)
    this.receivedBlockCount++
    this.#missRun = 0
    this.#lastDeliveryMs = performance.now()
    this.meter.addBytes(byteLength, this.#lastDeliveryMs)
  }

  /** A block came that was not waited for any longer: it is slow, and no liar. */
  deliveredLate (): void {
    this.#missRun = 0
    this.#lastDeliveryMs = performance.now()
  }

  /** Reports whether the block was asked of this peer, now or a while ago: then it is no lie, at worst late. */
  wasAsked (key: string): boolean {
    return this.#asks.has(key) || this.#recent.has(key)
  }

  /**
   * Reports whether a block of such a CID is awaited at all; if not, it is not worth a hash.
   *
   * Version and codec do not count: 1.0 does not say them, and the same bytes answer every CID of the multihash.
   */
  expects ({ hash, digestByteLength }: CidPrefix): boolean {
    return this.#expectedHashes.has(`${hash}:${digestByteLength}`)
  }

  /**
   * Blocks that are overdue. While bytes of a message come in, a peer is late and not lost; one that sent
   * nothing since an overdue block was asked for is taken to owe all the others in vain, too.
   */
  takeExpired (nowMs: number): Want[] {
    const expired: Want[] = []
    let isStalled = false
    for (const ask of this.#asks.values()) {
      if (!ask.isBlock) {
        if (ask.want.hasArrived && nowMs - ask.askedAtMs > HAVE_TIMEOUT_MS) this.cancel(ask.want)
      } else if (isStalled) {
        expired.push(ask.want)
      } else if (ask.expiresAtMs > nowMs) {
        break
      } else if (!this.#extend(ask, nowMs)) {
        expired.push(ask.want)
        isStalled = this.#lastDeliveryMs < ask.askedAtMs
      }
    }
    if (expired.length > 0) this.#miss(nowMs)
    return expired
  }

  /**
   * Others have this block: answers all that is owed, when nothing came since it was asked for it, though it answered or had
   * the time to. Otherwise it may be far away, and is waited for beside the others.
   */
  giveUp (want: Want): Want[] {
    const nowMs = performance.now()
    const ask = this.#asks.get(want.key)
    if (ask === undefined || this.#lastDeliveryMs >= ask.askedAtMs) return []
    if (!ask.saysHave && nowMs - ask.askedAtMs < MAX_SILENT_MS) return []
    this.#miss(nowMs)
    return this.owedWants().reverse()
  }

  /** Wants whose block this peer owes, the last asked first. */
  owedWants (): Want[] {
    return this.#asks.values().filter(({ isBlock }) => isBlock).map(({ want }) => want).toArray().reverse()
  }

  /** Ends every ask without telling the peer; answers those for blocks. */
  endAll (): Want[] {
    const owed = this.owedWants().reverse()
    for (const { want } of Array.from(this.#asks.values())) this.#remove(want, true)
    return owed
  }

  #ask (want: Want, isBlock: boolean, expectedBytes: number): void {
    this.#remove(want, false)
    this.#forget(want.key)
    const askedAtMs = performance.now()
    const foundIdle = this.#outstandingBytes === 0
    if (foundIdle) this.meter.busyFrom(askedAtMs)
    const expiresAtMs = askedAtMs + this.meter.timeoutMs(this.#outstandingBytes + expectedBytes)
    this.#outstandingBytes += expectedBytes
    this.#asks.set(want.key, { want, isBlock, expectedBytes, askedAtMs, foundIdle, saysHave: false, expiresAtMs, extendedMs: 0 })
    if (isBlock) this.room.asked(expectedBytes)
    want.knownBy.add(this)
    if (isBlock) want.askedForBlock.add(this)
    else want.askedForHave.add(this)
    this.#expect(hashNameOf(want.cid), 1)
  }

  #miss (nowMs: number): void {
    this.meter.addTimeout()
    this.#missRun++
    this.#lastMissMs = nowMs
  }

  #extend (ask: Ask, nowMs: number): boolean {
    if (nowMs - this.#lastHeardMs >= EXTENSION_MS || ask.extendedMs >= MAX_EXTENSION_MS) return false
    ask.expiresAtMs = nowMs + EXTENSION_MS
    ask.extendedMs += EXTENSION_MS
    return true
  }

  #measure ({ foundIdle, askedAtMs }: Ask): void {
    if (foundIdle) this.meter.addRoundTrip(performance.now() - askedAtMs)
  }

  #remove (want: Want, isWelcome: boolean): void {
    const ask = this.#asks.get(want.key)
    if (ask === undefined) return
    this.#asks.delete(want.key)
    this.#outstandingBytes -= ask.expectedBytes
    this.room.freed()
    want.askedForBlock.delete(this)
    want.askedForHave.delete(this)
    const hashName = hashNameOf(want.cid)
    if (!isWelcome) this.#expect(hashName, -1)
    this.#recent.set(want.key, { hashName, isWelcome })
    for (const key of this.#recent.keys()) {
      if (this.#recent.size <= MAX_RECENT_ASKS) break
      this.#forget(key)
    }
  }

  #forget (key: string): void {
    const recent = this.#recent.get(key)
    this.#recent.delete(key)
    if (recent?.isWelcome === true) this.#expect(recent.hashName, -1)
  }

  #expect (hashName: string, change: 1 | -1): void {
    const count = (this.#expectedHashes.get(hashName) ?? 0) + change
    if (count > 0) this.#expectedHashes.set(hashName, count)
    else this.#expectedHashes.delete(hashName)
  }
}

function hashNameOf ({ multihash }: CID): string {
  return `${multihash.code}:${multihash.size}`
}
