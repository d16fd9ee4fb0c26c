/**
 * The records of a cluster that count, merged.
 *
 * What counts is a function of the records and the members alone, never of the order in which they came; two maps that saw the
 * same hold the same, and show it by the same root. See README.md, "How records merge".
 */
import { type Logger, silentLogger } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import { MAX_PINS } from '../limits.ts'
import type { MemberTable } from '../members/member-table.ts'
import { type Hlc, isFuture } from '../record/hlc.ts'
import { decodeEnvelope, type RecordKind } from '../record/envelope.ts'
import { parseRecord } from '../record/parse-record.ts'
import { type ClusterRecord, clusterIdOf, type GenesisRecord, type MemberRecord } from '../record/record.ts'
import { type CopyTotal, HoldBook } from './hold-book.ts'
import { MemberBook } from './member-book.ts'
import { MerkleTree } from './merkle-tree.ts'
import { ForgottenPins } from './forgotten-pins.ts'
import { PinBook } from './pin-book.ts'
import { envelopeOf, holdWordOf, isNewer, type PinKey, type PinWord, pinWordOf, storedForget, type StoredForget, storedHold, type StoredHold, type StoredMember, storedPin, type StoredPin, storedProfile, type StoredProfile, type StoredRecord } from './stored-record.ts'
import { WaitingRoom } from './waiting-room.ts'

/** What became different. */
export type RecordChange =
  | { readonly kind: 'members' }
  | { readonly kind: 'profile', readonly peer: PeerId }
  | { readonly kind: 'pin', readonly pinId: string }
  | { readonly kind: 'hold', readonly pinKey: PinKey, readonly holder: PeerId }

export interface RecordMapOptions {
  log?: Logger
  /** The clock, in ms since 1970. @default Date.now */
  now?: () => number
  /** @default MAX_PINS */
  maxPins?: number
}

export interface Applied {
  readonly changes: readonly RecordChange[]
  /** Records that waited and may count now: to be screened again. */
  readonly retry: readonly ClusterRecord[]
  /** Somebody may do less than before. */
  readonly isStricter: boolean
}

export class RecordMap {
  readonly genesis: GenesisRecord
  readonly cluster: Uint8Array
  readonly tree: MerkleTree = new MerkleTree()
  readonly #log: Logger
  readonly #now: () => number
  readonly #byHash = new Map<string, StoredRecord>()
  readonly #members: MemberBook
  readonly #profiles = new Map<PeerId, StoredProfile>()
  readonly #pins: PinBook
  readonly #holds = new HoldBook()
  readonly #forgotten = new ForgottenPins()
  readonly #waiting = new WaitingRoom()
  /** Writers whose records wait, whatever they say. */
  readonly #suspended = new Set<PeerId>()
  /** Highest seq of each writer that was taken in. */
  readonly #seqs = new Map<PeerId, number>()
  #equivocationCount = 0

  constructor (genesis: GenesisRecord, { log = silentLogger, now = Date.now, maxPins = MAX_PINS }: RecordMapOptions = {}) {
    this.genesis = genesis
    this.cluster = clusterIdOf(decodeEnvelope(genesis.bytes).payload)
    this.#log = log
    this.#now = now
    this.#pins = new PinBook(maxPins)
    this.#members = new MemberBook(genesis)
  }

  get members (): MemberTable {
    return this.#members.table
  }

  get counts (): { records: number, pins: number, forgotten: number, holds: number, waiting: number, equivocations: number } {
    return { records: this.#byHash.size, pins: this.#pins.count, forgotten: this.#forgotten.count, holds: this.#holds.count, waiting: this.#waiting.count, equivocations: this.#equivocationCount }
  }

  /** Reports whether a record is held, or waits. */
  knows (hash: string): boolean {
    return this.#byHash.has(hash) || this.#waiting.has(hash)
  }

  get (hash: string): StoredRecord | undefined {
    return this.#byHash.get(hash)
  }

  profile (peer: PeerId): StoredProfile | undefined {
    return this.#profiles.get(peer)
  }

  holds (pinKey: PinKey): Iterable<StoredHold> {
    return this.#holds.of(pinKey)
  }

  holdOf (pinKey: PinKey, holder: PeerId): StoredHold | undefined {
    return this.#holds.get(pinKey, holder)
  }

  /** The copies that each member says it has. */
  copyTotals (): ReadonlyMap<PeerId, CopyTotal> {
    return this.#holds.totals
  }

  /** The put that decides what a pin is, or `undefined` when it is deleted or was never there. */
  pin (pinId: string): StoredPin | undefined {
    return this.#pins.get(pinId)
  }

  /** The put of each pin that is not deleted. */
  pins (): Iterable<StoredPin> {
    return this.#pins.list()
  }

  /** Pins that were deleted, and not changed since a time in ms, by their ids in latin1. */
  deletedBefore (timeMs: number): Generator<string> {
    return this.#pins.deletedBefore(timeMs)
  }

  /** Whether a pin is one of those. */
  isDeletedBefore (pinId: string, timeMs: number): boolean {
    return this.#pins.isDeletedBefore(pinId, timeMs)
  }

  get memberRecords (): MemberRecord[] {
    return this.#members.records
  }

  /** The records, members first, so that who reads them again knows the writers of the rest. */
  * records (): Generator<StoredRecord> {
    yield * this.#members.list()
    for (const record of this.#byHash.values()) if (record.kind !== 'member') yield record
  }

  /** Highest seq of a writer's records that were taken in, also of those that are replaced. */
  highestSeq (writer: PeerId): number {
    return this.#seqs.get(writer) ?? 0
  }

  /**
   * Lets all records of a writer wait until this is disposed.
   *
   * So that who removes it can tell what counts, and nothing that does not count has replaced anything here by then.
   */
  suspend (writer: PeerId): Disposable {
    this.#suspended.add(writer)
    return { [Symbol.dispose]: () => { this.#suspended.delete(writer) } }
  }

  /** What a new record of this pin replaces: all that is held of it, and all that those replaced. */
  contextOf (pinId: string): Map<PeerId, number> {
    return this.#pins.contextOf(pinId)
  }

  /** When the pin was changed last. */
  latestTimeOf (pinId: string): Hlc | undefined {
    return this.#pins.latestTimeOf(pinId)
  }

  /**
   * Tells which records are worth keeping: those that count and say something new. Those that may count later wait.
   *
   * Signatures are the caller's to check.
   *
   * @param options.anyTime Also those that are dated in the future: they were kept before, and this node's clock went back since. @default false
   */
  screen (records: readonly ClusterRecord[], { anyTime = false }: { anyTime?: boolean } = {}): ClusterRecord[] {
    const table = this.#members.tableWith(records.filter((record) => record.kind === 'member').filter((record) => this.#isOurs(record)))
    const distinct = new Map(records.map((record) => [record.hash, record]))
    return [...distinct.values()].filter((record) => {
      if (this.#byHash.has(record.hash) || !this.#isOurs(record)) return false
      if (!anyTime && this.#isFuture(record)) {
        this.#waiting.add(record)
        this.#log.debug('A record is dated in the future: its writer has a wrong clock, or this node', { peer: record.writer })
        return false
      }
      if (record.kind === 'member' ? !table.support.has(record.hash) : !this.#mayWrite(record.kind, record.writer, record.fields.seq)) {
        this.#waiting.add(record)
        return false
      }
      return record.kind === 'member' ? this.#hasRoomFor(record) : this.#isNews(record)
    })
  }

  /** Takes in records that `screen` let through, and which are durable by now. */
  apply (records: readonly ClusterRecord[]): Applied {
    const changes: RecordChange[] = []
    const change = this.#members.put(records.filter((record) => record.kind === 'member'))
    for (const stored of change?.added ?? []) this.#insert(stored)
    if (change !== undefined) changes.push({ kind: 'members' })
    if (change?.isStricter === true) this.#dropInvalid(changes)
    for (const record of records) if (record.kind !== 'member') this.#applyOther(record, changes)
    return { changes, retry: change === undefined ? [] : this.takeDue(), isStricter: change?.isStricter === true }
  }

  /** Records that waited and may count now: those that were dated in the future and are not any more, or whose writer is known by now. */
  takeDue (): ClusterRecord[] {
    return this.#waiting.take((record) => !this.#isFuture(record) && (record.kind === 'member' || this.#mayWrite(record.kind, record.writer, record.fields.seq)))
  }

  #hasRoomFor (record: MemberRecord): boolean {
    const hasRoom = this.#members.hasRoomFor(record)
    if (!hasRoom) this.#log.warn('No room for a member record', { count: this.#members.count })
    return hasRoom
  }

  #isOurs ({ fields: { cluster } }: ClusterRecord): boolean {
    return Buffer.compare(cluster, this.cluster) === 0
  }

  #isFuture (record: ClusterRecord): boolean {
    const hlc: Hlc = 'hlc' in record.fields ? record.fields.hlc : [0, 0]
    return isFuture(hlc, this.#now())
  }

  /** Whether a record may be taken in now. */
  #mayWrite (kind: RecordKind, writer: PeerId, seq: number): boolean {
    return !this.#suspended.has(writer) && this.#members.hasRight(kind, writer, seq)
  }

  #isNews (record: Exclude<ClusterRecord, MemberRecord>): boolean {
    switch (record.kind) {
      case 'profile': return isNewer({ hash: record.hash, seq: record.fields.seq }, this.#profiles.get(record.writer))
      case 'hold': return this.#holds.isNews(holdWordOf(record))
      case 'pin': {
        const pin = pinWordOf(record)
        this.#noteEquivocation(pin)
        return !this.#forgotten.has(pin.pinId) && this.#pins.isNews(pin)
      }
      case 'forget': return this.#forgotten.hasRoom
    }
  }

  #applyOther (record: Exclude<ClusterRecord, MemberRecord>, changes: RecordChange[]): void {
    if (this.#byHash.has(record.hash)) return
    if (!this.#mayWrite(record.kind, record.writer, record.fields.seq)) {
      this.#waiting.add(record)
      return
    }
    switch (record.kind) {
      case 'profile': return this.#applyProfile(storedProfile(record), changes)
      case 'hold': return this.#applyHold(storedHold(record), changes)
      case 'pin': return this.#applyPin(storedPin(record), changes)
      case 'forget': return this.#applyForget(storedForget(record), changes)
    }
  }

  #applyProfile (profile: StoredProfile, changes: RecordChange[]): void {
    const known = this.#profiles.get(profile.writer)
    if (!isNewer(profile, known)) return
    if (known !== undefined) this.#remove(known)
    this.#profiles.set(profile.writer, profile)
    this.#insert(profile)
    changes.push({ kind: 'profile', peer: profile.writer })
  }

  #applyHold (hold: StoredHold, changes: RecordChange[]): void {
    if (!this.#holds.isNews(hold)) return
    const replaced = this.#holds.put(hold)
    if (replaced !== undefined) this.#remove(replaced)
    this.#insert(hold)
    changes.push({ kind: 'hold', pinKey: hold.pinKey, holder: hold.writer })
  }

  #applyPin (pin: StoredPin, changes: RecordChange[]): void {
    if (this.#forgotten.has(pin.pinId) || !this.#pins.isNews(pin)) return
    for (const replaced of this.#pins.put(pin)) this.#remove(replaced)
    this.#insert(pin)
    changes.push({ kind: 'pin', pinId: pin.pinId })
  }

  #applyForget (forget: StoredForget, changes: RecordChange[]): void {
    if (!this.#forgotten.hasRoom) return
    this.#insert(forget)
    for (const pinId of this.#forgotten.put(forget)) {
      const held = this.#pins.forget(pinId)
      for (const pin of held) this.#remove(pin)
      if (held.length > 0) changes.push({ kind: 'pin', pinId })
    }
  }

  /** Two records of one writer with the same number: it was copied, or means harm. Merging bears it. */
  #noteEquivocation (pin: PinWord): void {
    if (!this.#pins.contradicts(pin)) return
    this.#equivocationCount++
    this.#log.warn('A member signed two records with the same number', { peer: pin.writer, seq: pin.seq })
  }

  /** Takes out what does not count any more. What it had replaced comes back from members that still have it. */
  #dropInvalid (changes: RecordChange[]): void {
    for (const stored of this.#byHash.values()) {
      if (stored.kind === 'member' || this.#members.hasRight(stored.kind, stored.writer, stored.seq)) continue
      this.#remove(stored)
      const record = parseRecord(envelopeOf(stored), { isTrusted: true })
      if (record.kind !== 'genesis') this.#waiting.add(record)
      changes.push(...this.#takeOut(stored))
    }
  }

  #takeOut (stored: Exclude<StoredRecord, StoredMember>): RecordChange[] {
    switch (stored.kind) {
      case 'profile':
        this.#profiles.delete(stored.writer)
        return [{ kind: 'profile', peer: stored.writer }]
      case 'hold':
        this.#holds.delete(stored)
        return [{ kind: 'hold', pinKey: stored.pinKey, holder: stored.writer }]
      case 'pin':
        this.#pins.delete(stored)
        return [{ kind: 'pin', pinId: stored.pinId }]
      case 'forget':
        this.#forgotten.delete(stored)
        return []
    }
  }

  #insert (record: StoredRecord): void {
    this.#byHash.set(record.hash, record)
    this.tree.add(record.bucket, record.hash)
    this.#seqs.set(record.writer, Math.max(record.seq, this.highestSeq(record.writer)))
  }

  #remove (record: StoredRecord): void {
    this.#byHash.delete(record.hash)
    this.tree.delete(record.bucket, record.hash)
  }
}
