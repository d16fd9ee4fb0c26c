/**
 * The records of a cluster that count, merged.
 *
 * What counts is a function of the records and the members alone, never of the order in which they came; two maps that saw the
 * same hold the same, and show it by the same root. See README.md, "How records merge".
 */
import { type Logger, silentLogger } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import { MAX_CONTEXT_WRITERS, MAX_HOLDS, MAX_MEMBER_RECORDS, MAX_PINS } from '../limits.ts'
import { type MemberTable, memberTable } from '../members/member-table.ts'
import { compareHlc, type Hlc, isFuture } from '../record/hlc.ts'
import { decodeEnvelope } from '../record/envelope.ts'
import { type ClusterRecord, clusterIdOf, type GenesisRecord, type MemberRecord, parseRecord } from '../record/record.ts'
import { MerkleTree } from './merkle-tree.ts'
import { comparePins, envelopeOf, isReplacedBy, type PinKey, storedHold, type StoredHold, storedMember, type StoredMember, storedPin, type StoredPin, storedProfile, type StoredProfile, type StoredRecord } from './stored-record.ts'
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
}

const NOTHING: readonly StoredPin[] = []

export class RecordMap {
  readonly genesis: GenesisRecord
  readonly cluster: Uint8Array
  readonly tree: MerkleTree = new MerkleTree()
  readonly #log: Logger
  readonly #now: () => number
  readonly #maxPins: number
  readonly #clusterKey: string
  readonly #byHash = new Map<string, StoredRecord>()
  readonly #members = new Map<string, StoredMember>()
  readonly #profiles = new Map<PeerId, StoredProfile>()
  /** Of each pin the records that no other replaces; more than one where members changed it without seeing the other. */
  readonly #pins = new Map<string, readonly StoredPin[]>()
  readonly #holds = new Map<PinKey, Map<PeerId, StoredHold>>()
  readonly #waiting = new WaitingRoom()
  /** Writers whose records wait, whatever they say. */
  readonly #suspended = new Set<PeerId>()
  /** Highest seq of each writer that was taken in. */
  readonly #seqs = new Map<PeerId, number>()
  #table: MemberTable
  #holdCount = 0
  #equivocationCount = 0

  constructor (genesis: GenesisRecord, { log = silentLogger, now = Date.now, maxPins = MAX_PINS }: RecordMapOptions = {}) {
    this.genesis = genesis
    this.cluster = clusterIdOf(decodeEnvelope(genesis.bytes).payload)
    this.#clusterKey = Buffer.from(this.cluster).toString('latin1')
    this.#log = log
    this.#now = now
    this.#maxPins = maxPins
    this.#table = memberTable(genesis, [])
  }

  get members (): MemberTable {
    return this.#table
  }

  get counts (): { records: number, pins: number, holds: number, waiting: number, equivocations: number } {
    return { records: this.#byHash.size, pins: this.#pins.size, holds: this.#holdCount, waiting: this.#waiting.count, equivocations: this.#equivocationCount }
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
    return this.#holds.get(pinKey)?.values() ?? []
  }

  holdOf (pinKey: PinKey, holder: PeerId): StoredHold | undefined {
    return this.#holds.get(pinKey)?.get(holder)
  }

  /** The put that decides what a pin is, or `undefined` when it is deleted or was never there. */
  pin (pinId: string): StoredPin | undefined {
    return decisivePut(this.#pins.get(pinId) ?? NOTHING)
  }

  /** The put of each pin that is not deleted. */
  * pins (): Generator<StoredPin> {
    for (const records of this.#pins.values()) {
      const put = decisivePut(records)
      if (put !== undefined) yield put
    }
  }

  get memberRecords (): MemberRecord[] {
    return [...this.#members.values()].map(({ record }) => record)
  }

  /** The records, members first, so that who reads them again knows the writers of the rest. */
  * records (): Generator<StoredRecord> {
    yield * this.#members.values()
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
    const context = new Map<PeerId, number>()
    const add = (writer: PeerId, seq: number): void => { context.set(writer, Math.max(seq, context.get(writer) ?? 0)) }
    const held = this.#pins.get(pinId) ?? NOTHING
    for (const record of held) add(record.writer, record.seq)
    for (const record of held) {
      for (const [writer, seq] of record.context) {
        if (context.has(writer) || context.size < MAX_CONTEXT_WRITERS) add(writer, seq)
      }
    }
    return new Map([...context].slice(0, MAX_CONTEXT_WRITERS))
  }

  /** When the pin was changed last. */
  latestTimeOf (pinId: string): Hlc | undefined {
    return this.#pins.get(pinId)?.map(({ hlc }) => hlc).reduce((latest, hlc) => compareHlc(hlc, latest) > 0 ? hlc : latest)
  }

  /**
   * Tells which records are worth keeping: those that count and say something new. Those that may count later wait.
   *
   * Signatures are the caller's to check.
   *
   * @param options.anyTime Also those that are dated in the future: they were kept before, and this node's clock went back since. @default false
   */
  screen (records: readonly ClusterRecord[], { anyTime = false }: { anyTime?: boolean } = {}): ClusterRecord[] {
    const table = this.#tableWith(records)
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
    const before = this.#table
    this.#applyMembers(records)
    if (this.#table !== before) {
      changes.push({ kind: 'members' })
      if (isStricter(this.#table, before)) this.#dropInvalid(changes)
    }
    for (const record of records) if (record.kind !== 'member') this.#applyOther(record, changes)
    return { changes, retry: this.#table === before ? [] : this.takeDue() }
  }

  /** Records that waited and may count now: those that were dated in the future and are not any more, or whose writer is known by now. */
  takeDue (): ClusterRecord[] {
    return this.#waiting.take((record) => !this.#isFuture(record) && (record.kind === 'member' || this.#mayWrite(record.kind, record.writer, record.fields.seq)))
  }

  #tableWith (records: readonly ClusterRecord[]): MemberTable {
    const candidates = records.filter((record) => record.kind === 'member').filter((record) => this.#isOurs(record) && !this.#members.has(record.hash))
    return candidates.length === 0 ? this.#table : memberTable(this.genesis, [...this.memberRecords, ...candidates])
  }

  /** Removals have room that admissions do not get, so that nobody who fills it cannot be removed. */
  #hasRoomFor ({ fields: { state } }: MemberRecord): boolean {
    const hasRoom = this.#members.size < (state === 'removed' ? 2 * MAX_MEMBER_RECORDS : MAX_MEMBER_RECORDS)
    if (!hasRoom) this.#log.warn('No room for a member record', { count: this.#members.size })
    return hasRoom
  }

  #isOurs ({ fields: { cluster } }: ClusterRecord): boolean {
    return Buffer.from(cluster).toString('latin1') === this.#clusterKey
  }

  #isFuture (record: ClusterRecord): boolean {
    const hlc: Hlc = 'hlc' in record.fields ? record.fields.hlc : [0, 0]
    return isFuture(hlc, this.#now())
  }

  /** Whether a record may be taken in now. */
  #mayWrite (kind: 'pin' | 'hold' | 'profile', writer: PeerId, seq: number): boolean {
    return !this.#suspended.has(writer) && this.#hasRight(kind, writer, seq)
  }

  /** Whether a record counts by what is known of its writer. */
  #hasRight (kind: 'pin' | 'hold' | 'profile', writer: PeerId, seq: number): boolean {
    const member = this.#table.byPeer.get(writer)
    return member !== undefined && (kind === 'pin' ? seq <= member.cutoff : member.isActive)
  }

  #isNews (record: Exclude<ClusterRecord, MemberRecord>): boolean {
    switch (record.kind) {
      case 'profile': return isNewer(record, this.#profiles.get(record.writer))
      case 'hold': return this.#isNewHold(storedHold(record))
      case 'pin': {
        const pin = storedPin(record)
        this.#noteEquivocation(pin)
        return this.#isNewPin(pin)
      }
    }
  }

  #isNewHold (hold: StoredHold): boolean {
    const known = this.#holds.get(hold.pinKey)?.get(hold.writer)
    return isNewer(hold, known) && (known !== undefined || this.#holdCount < MAX_HOLDS)
  }

  #isNewPin (pin: StoredPin): boolean {
    const held = this.#pins.get(pin.pinId)
    if (held === undefined) return this.#pins.size < this.#maxPins
    return !held.some((other) => other.hash === pin.hash || isReplacedBy(pin, other))
  }

  #applyMembers (records: readonly ClusterRecord[]): void {
    const before = this.#members.size
    for (const record of records) {
      if (record.kind !== 'member' || this.#members.has(record.hash)) continue
      const stored = storedMember(record)
      this.#members.set(record.hash, stored)
      this.#insert(stored)
    }
    if (this.#members.size > before) this.#table = memberTable(this.genesis, this.memberRecords)
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
    if (!this.#isNewHold(hold)) return
    const holds = this.#holds.get(hold.pinKey) ?? new Map<PeerId, StoredHold>()
    const known = holds.get(hold.writer)
    if (known === undefined) this.#holdCount++
    else this.#remove(known)
    this.#holds.set(hold.pinKey, holds.set(hold.writer, hold))
    this.#insert(hold)
    changes.push({ kind: 'hold', pinKey: hold.pinKey, holder: hold.writer })
  }

  #applyPin (pin: StoredPin, changes: RecordChange[]): void {
    const held = this.#pins.get(pin.pinId) ?? NOTHING
    if (!this.#isNewPin(pin)) return
    const replaced = held.filter((other) => isReplacedBy(other, pin))
    for (const other of replaced) this.#remove(other)
    this.#pins.set(pin.pinId, [...held.filter((other) => !replaced.includes(other)), pin])
    this.#insert(pin)
    changes.push({ kind: 'pin', pinId: pin.pinId })
  }

  /** Two records of one writer with the same number: it was copied, or means harm. Merging bears it. */
  #noteEquivocation ({ pinId, writer, seq, hash }: StoredPin): void {
    if (this.#pins.get(pinId)?.some((other) => other.writer === writer && other.seq === seq && other.hash !== hash) !== true) return
    this.#equivocationCount++
    this.#log.warn('A member signed two records with the same number', { peer: writer, seq })
  }

  /** Takes out what does not count any more. What it had replaced comes back from members that still have it. */
  #dropInvalid (changes: RecordChange[]): void {
    for (const stored of this.#byHash.values()) {
      if (stored.kind === 'member' || this.#hasRight(stored.kind, stored.writer, stored.seq)) continue
      this.#remove(stored)
      const record = parseRecord(envelopeOf(stored), { isTrusted: true })
      if (record.kind !== 'genesis') this.#waiting.add(record)
      changes.push(this.#forget(stored))
    }
  }

  #forget (stored: Exclude<StoredRecord, StoredMember>): RecordChange {
    switch (stored.kind) {
      case 'profile':
        this.#profiles.delete(stored.writer)
        return { kind: 'profile', peer: stored.writer }
      case 'hold': {
        const holds = this.#holds.get(stored.pinKey)
        if (holds?.delete(stored.writer) === true) this.#holdCount--
        if (holds?.size === 0) this.#holds.delete(stored.pinKey)
        return { kind: 'hold', pinKey: stored.pinKey, holder: stored.writer }
      }
      case 'pin': {
        const rest = (this.#pins.get(stored.pinId) ?? NOTHING).filter((other) => other !== stored)
        if (rest.length === 0) this.#pins.delete(stored.pinId)
        else this.#pins.set(stored.pinId, rest)
        return { kind: 'pin', pinId: stored.pinId }
      }
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

/** Whether somebody may do less than before. */
function isStricter (table: MemberTable, before: MemberTable): boolean {
  return [...before.byPeer.values()].some(({ peer, isActive, cutoff }) => {
    const now = table.byPeer.get(peer)
    return now === undefined || isActive && !now.isActive || now.cutoff < cutoff
  })
}

function decisivePut (records: readonly StoredPin[]): StoredPin | undefined {
  let decisive: StoredPin | undefined
  for (const record of records) {
    if (record.isPut && (decisive === undefined || comparePins(record, decisive) > 0)) decisive = record
  }
  return decisive
}

/** One writer's word on one thing: the highest seq decides, of two with the same the higher hash. */
function isNewer (record: { readonly hash: string } & ({ readonly seq: number } | { readonly fields: { readonly seq: number } }), known: StoredRecord | undefined): boolean {
  const seq = 'seq' in record ? record.seq : record.fields.seq
  return known === undefined || seq > known.seq || seq === known.seq && record.hash > known.hash
}
