import type { PeerId } from '@holdfast/network'
import { type Ask, type AskKind, Asks } from './asks.ts'
import type { CidPrefix } from './cid-prefix.ts'
import { ExpectedBlocks } from './expected-blocks.ts'
import type { FetchAllowance } from './fetch-allowances.ts'
import { MAX_LIVE_WANTS } from './limits.ts'
import type { Outbox } from './outbox.ts'
import { PeerMeter } from './peer-meter.ts'
import { PeerTrust } from './peer-trust.ts'
import { RoomQueue, type RoomWaiter } from './room-queue.ts'
import type { Want } from './want.ts'

/**
 * Wants that wait at one peer until it has their blocks: few enough that the peer's memory for our wants (`MAX_LIVE_WANTS`) holds
 * those for blocks that it has, too, and enough for 64 MiB of a file in blocks of 256 KiB.
 */
export const MAX_PATIENT_WANTS = 256

/** How long a peer that answers nothing may be far away, in milliseconds: three round trips around the world, on which a stream is opened. */
const MAX_SILENT_MS = 1_000

/** A peer as a source of blocks: what was asked of it, how fast it answers, whether it lied. */
export class AskedPeer {
  readonly id: PeerId
  readonly meter: PeerMeter = new PeerMeter()
  readonly trust: PeerTrust = new PeerTrust()
  /** Sessions that have more to ask of it. */
  readonly room: RoomQueue = new RoomQueue((byteLength) => this.hasRoom(byteLength))
  readonly #outbox: Outbox
  readonly #allowance: FetchAllowance
  readonly #asks = new Asks()
  readonly #expected = new ExpectedBlocks()
  #lastHeardMs = 0
  #lastDeliveryMs = 0
  receivedBlockCount = 0

  /** @param options.allowance Of the peer's account; given back with `endAll`. */
  constructor (id: PeerId, { outbox, allowance }: { outbox: Outbox, allowance: FetchAllowance }) {
    this.id = id
    this.#outbox = outbox
    this.#allowance = allowance
  }

  /** Bytes that were asked for and did not come yet. */
  get outstandingBytes (): number {
    return this.#asks.outstandingBytes
  }

  get askCount (): number {
    return this.#asks.count
  }

  /** Reports whether `byteLength` more may be asked for. A peer that owes nothing may always be asked. */
  hasRoom (byteLength: number): boolean {
    if (this.#asks.count >= MAX_LIVE_WANTS) return false
    return this.outstandingBytes === 0 || !this.trust.isLate && this.outstandingBytes + byteLength <= this.meter.windowBytes
  }

  /** Reports whether this session may ask for `byteLength` more: no other was refused before. */
  hasRoomFor (waiter: RoomWaiter, byteLength: number): boolean {
    return this.hasRoom(byteLength) && this.room.isTurnOf(waiter)
  }

  /** When a block more is expected from this peer, in milliseconds from now; one that did not deliver is put off. */
  expectedMs (byteLength: number): number {
    return this.meter.expectedMs(this.outstandingBytes, byteLength) + this.trust.penaltyMs
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
    const [oldest] = this.#asks.owed.take(1)
    const silentMs = oldest === undefined ? 0 : nowMs - Math.max(this.#lastHeardMs, oldest.askedAtMs)
    const { bytesPerSecond } = this.meter
    return Math.max(bytesPerSecond === 0 ? 0 : this.outstandingBytes / bytesPerSecond * 1000, silentMs)
  }

  /** Reports whether a block came from it since then. */
  hasDeliveredSince (ms: number): boolean {
    return this.#lastDeliveryMs >= ms
  }

  /** Reports whether a block is owed that was asked for before this one. */
  owesBefore (want: Want): boolean {
    const [oldest] = this.#asks.owed.take(1)
    return oldest !== undefined && oldest.want !== want
  }

  /** Bytes of blocks came in, though maybe not a whole message. */
  heard (): void {
    this.#lastHeardMs = performance.now()
  }

  askForBlock (want: Want): void {
    this.#ask(want, 'block', want.expectedBytes)
    this.#outbox.want({ cid: want.cid, priority: 1, isCancel: false, type: 'block', sendDontHave: true })
  }

  /**
   * Asks whether it has the block; a patient one is not answered before the block is there.
   *
   * @param options.isPatient @default false
   */
  askForHave (want: Want, { isPatient = false }: { isPatient?: boolean } = {}): void {
    if (this.#asks.count >= MAX_LIVE_WANTS) return
    this.#ask(want, isPatient ? 'have-patient' : 'have', 0)
    this.#outbox.want({ cid: want.cid, priority: 1, isCancel: false, type: 'have', sendDontHave: !isPatient })
  }

  /** Asks for a block that it does not have yet, to be sent when it does. Such a want never expires. Reports whether it was taken on. */
  askPatiently (want: Want): boolean {
    const known = this.#asks.get(want.key)
    if (known?.kind === 'block' || known?.kind === 'patient') return true
    if (this.#asks.count >= MAX_LIVE_WANTS || this.#asks.patientCount >= MAX_PATIENT_WANTS) return false
    this.#ask(want, 'patient', 0)
    this.#outbox.want({ cid: want.cid, priority: 1, isCancel: false, type: 'block', sendDontHave: false })
    return true
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
    this.#asks.saidHave(want.key)
  }

  /** HAVE was all that was asked: the peer thinks no more of it. A patient want stays: its block follows. */
  fulfilled (want: Want): void {
    if (this.#asks.get(want.key)?.kind === 'patient') return
    want.knownBy.delete(this)
    this.#remove(want, true)
  }

  /** Ends an ask that was answered with DONT_HAVE, or that expired; a block that comes late is still welcome. */
  end (want: Want): void {
    this.#remove(want, true)
  }

  /** A patient want is waited for no longer; a block that comes late is still welcome. */
  waitNoMore (want: Want): void {
    if (this.#asks.get(want.key)?.kind === 'patient') this.#remove(want, true)
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
    this.trust.delivered()
    this.#lastDeliveryMs = performance.now()
    // What waited for somebody else to send it says nothing about this peer's line.
    if (ask?.kind !== 'patient') this.meter.addBytes(byteLength, this.#lastDeliveryMs)
  }

  /** A block came that was not waited for any longer: it is slow, and no liar. */
  deliveredLate (): void {
    this.trust.delivered()
    this.#lastDeliveryMs = performance.now()
  }

  /** Reports whether the block was asked of this peer, now or a while ago: then it is no lie, at worst late. */
  wasAsked (key: string): boolean {
    return this.#asks.get(key) !== undefined || this.#expected.hasEnded(key)
  }

  /** Reports whether a block of such a CID is awaited at all; if not, it is not worth a hash. */
  expects (prefix: CidPrefix): boolean {
    return this.#expected.includes(prefix)
  }

  /** Answers the blocks that are overdue: it failed to send them. */
  takeExpired (nowMs: number): Want[] {
    const { blocks, haves } = this.#asks.overdue({ nowMs, lastHeardMs: this.#lastHeardMs, lastDeliveryMs: this.#lastDeliveryMs })
    for (const want of haves) this.cancel(want)
    if (blocks.length > 0) this.#miss(nowMs)
    return blocks
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
    return this.#asks.owed.map(({ want }) => want).toArray().reverse()
  }

  /** Ends every ask without telling the peer; answers those for blocks, also the patient ones. */
  endAll (): Want[] {
    const asks = this.#asks.all
    for (const { want } of asks) this.#remove(want, true)
    this.#allowance[Symbol.dispose]()
    return asks.filter(({ kind }) => kind === 'block' || kind === 'patient').map(({ want }) => want)
  }

  #ask (want: Want, kind: AskKind, expectedBytes: number): void {
    this.#remove(want, false)
    this.#expected.add(want.key, want.cid)
    const askedAtMs = performance.now()
    // A patient one is answered when the block is there, however near the peer is.
    const foundIdle = this.outstandingBytes === 0 && (kind === 'block' || kind === 'have')
    if (foundIdle) this.meter.busyFrom(askedAtMs)
    const expiresAtMs = askedAtMs + this.meter.timeoutMs(this.outstandingBytes + expectedBytes)
    this.#asks.add({ want, kind, expectedBytes, askedAtMs, foundIdle, expiresAtMs, saysHave: false })
    want.knownBy.add(this)
    this.#allowance.owes(this.outstandingBytes)
    if (kind === 'block') this.room.asked(expectedBytes)
    if (kind === 'block') want.askedForBlock.add(this)
    else if (kind !== 'patient') want.askedForHave.add(this)
  }

  #miss (nowMs: number): void {
    this.meter.addTimeout()
    this.trust.missed(nowMs)
  }

  #measure ({ foundIdle, askedAtMs }: Ask): void {
    if (foundIdle) this.meter.addRoundTrip(performance.now() - askedAtMs)
  }

  #remove (want: Want, isWelcome: boolean): void {
    if (this.#asks.remove(want.key) === undefined) return
    this.#allowance.owes(this.outstandingBytes)
    this.room.freed()
    want.askedForBlock.delete(this)
    want.askedForHave.delete(this)
    this.#expected.end(want.key, want.cid, { isWelcome })
  }
}
