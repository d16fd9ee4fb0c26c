import { HoldfastError, type Logger, multihashKey, requireVerifiable, silentLogger } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import { randomUUID } from 'node:crypto'
import type { Journal } from './journal/journal.ts'
import type { JournalRecord } from './journal/record.ts'
import { isPinKind, MAX_PIN_NAME_BYTES, type Pin, PIN_RECORD_KINDS, type PinKind, pinOf, type PinOwner, pinRecord, unpinnedIdsOf, unpinRecords } from './pin-record.ts'

/**
 * Records without effect, and their share, from which on the journal is compacted: at least this many, and at least as many
 * as there are pins. So a journal holds at most twice what it needs, and a compaction is paid for by as many changes as it copies.
 */
export const MIN_DEAD_RECORDS = 10_000

/** A pin to make. */
export interface PinRequest {
  readonly cid: CID
  readonly kind: PinKind
  /** At most `MAX_PIN_NAME_BYTES`; an empty name is none. */
  readonly name?: string | undefined
  /** Absent: the user's. */
  readonly owner?: PinOwner | undefined
}

/** Which pins are meant: those that fit all that is given. */
export interface PinFilter {
  readonly kind?: PinKind | undefined
  readonly name?: string | undefined
  /** Matches by multihash. */
  readonly cid?: CID | undefined
  /** `'user'`: those without an owner. @default all */
  readonly owner?: PinOwner | 'user' | undefined
}

/** The pins of this node, in memory: about 760 bytes each (measured at 200,000 with names of 20 characters). */
export interface PinSet extends AsyncDisposable {
  /**
   * Adds a pin; durable, and visible, when it resolves. The blocks are the caller's to protect until then.
   *
   * A pin of the same multihash, codec, kind, name and owner is returned as it is. The codec counts because it
   * decides which blocks are below.
   *
   * @throws `INVALID` for a name that is too long or not text; `UNSUPPORTED` for a CID whose blocks cannot be checked; what `Journal.append` throws.
   */
  add(pin: PinRequest): Promise<Pin>

  /**
   * Removes the pins that fit and were visible when this was called, and returns them; durable when it resolves.
   * A pin added meanwhile stays. Without an owner the user's pins are meant: the cluster's are not the user's to drop.
   *
   * @throws `NOT_FOUND` when none fits; what `Journal.append` throws.
   */
  remove(match: PinFilter & { readonly cid: CID }): Promise<readonly Pin[]>

  /** The durable pins that fit, by `createdMs`. Pins that come or go during the iteration may or may not appear. */
  list(filter?: PinFilter): Iterable<Pin>

  /** Reports whether a durable pin is of the block itself, by multihash. */
  isPinned(cid: CID): boolean

  /** Reports whether there is a durable pin of the CID, codec and all. Makes no CIDs, and so costs a fraction of a list. */
  has(match: Pick<PinFilter, 'kind' | 'owner'> & { readonly cid: CID }): boolean

  /** Number of durable pins. */
  readonly count: number

  /** Has `listener` called for every pin when it becomes visible, or is no more, until the result is disposed. */
  watch(listener: PinListener): Disposable
}

/** Told of a pin that came, or went. */
export type PinListener = (change: { readonly kind: 'pinned' | 'unpinned', readonly pin: Pin }) => void

export interface PinSetOptions {
  /** @default silent */
  log?: Logger
  /** The clock, in milliseconds since 1970. @default Date.now */
  now?: () => number
  /** @default MIN_DEAD_RECORDS */
  minDeadRecords?: number
}

/**
 * Reads the pins from the journal, and keeps them there.
 *
 * The journal stays the caller's, may hold records of others, and must outlive the pin set.
 *
 * @throws `CORRUPT` when a record is not of the form that is read here; what `Journal.replay` throws.
 */
export async function openPinSet (journal: Journal, options: PinSetOptions = {}): Promise<PinSet> {
  const pins = new JournaledPinSet(journal, options)
  for await (const record of journal.replay()) pins.apply(record)
  return pins
}

/**
 * Checks that a pin like this could be made, before any work for it is done.
 *
 * @throws as `PinSet.add`.
 */
export function requirePinnable ({ cid, kind, name }: PinRequest): void {
  requireVerifiable(cid)
  if (!isPinKind(kind)) throw new HoldfastError('INVALID', `Not a kind of pin: ${JSON.stringify(kind)}; use recursive or direct`)
  if (name === undefined) return
  if (!name.isWellFormed()) throw new HoldfastError('INVALID', `Pin name ${JSON.stringify(name)} is not text: it holds half a character`, { name })
  const byteLength = Buffer.byteLength(name)
  if (byteLength > MAX_PIN_NAME_BYTES) {
    throw new HoldfastError('INVALID', `Pin name has ${byteLength} bytes; at most ${MAX_PIN_NAME_BYTES} are kept`, { byteLength })
  }
}

/** A pin as it is held: a CID object takes ten times the memory of its bytes as text. */
interface StoredPin {
  readonly id: string
  readonly cid: string
  readonly code: number
  readonly kind: PinKind
  readonly name: string | undefined
  readonly owner: PinOwner | undefined
  readonly createdMs: number
}

class JournaledPinSet implements PinSet {
  readonly #journal: Journal
  readonly #log: Logger
  readonly #now: () => number
  readonly #minDeadRecords: number
  /** In the order of `createdMs`, which is that of the journal. */
  readonly #byId = new Map<string, StoredPin>()
  readonly #byMultihash = new Map<string, readonly StoredPin[]>()
  /** Not durable yet, by what makes two pins the same. */
  readonly #adding = new Map<string, Promise<Pin>>()
  /** Ids of pins whose removal is not durable yet. */
  readonly #removing = new Set<string>()
  readonly #listeners = new Set<PinListener>()
  #lastCreatedMs = 0
  /** Records in the journal that are ours, those without effect included. */
  #recordCount = 0
  #compactAtCount = 0
  #compacting: Promise<void> | undefined
  #closed = false

  constructor (journal: Journal, { log = silentLogger, now = Date.now, minDeadRecords = MIN_DEAD_RECORDS }: PinSetOptions) {
    this.#journal = journal
    this.#log = log
    this.#now = now
    this.#minDeadRecords = minDeadRecords
  }

  get count (): number {
    return this.#byId.size
  }

  /** Takes in a record of the journal; those of other kinds are passed over, and repetition changes nothing. */
  apply ({ kind, value }: JournalRecord): void {
    if (kind === 'pin') this.#insert(pinOf(value))
    else if (kind === 'unpin') for (const id of unpinnedIdsOf(value)) this.#erase(id)
    else return
    this.#recordCount++
  }

  async add (request: PinRequest): Promise<Pin> {
    requirePinnable(request)
    const { cid, kind, owner } = request
    const name = request.name === '' ? undefined : request.name
    const same = (this.#byMultihash.get(multihashKey(cid)) ?? [])
      .find((pin) => pin.kind === kind && pin.name === name && pin.owner === owner && !this.#removing.has(pin.id) && pin.code === cid.code)
    if (same !== undefined) return pinFrom(same)

    const key = `${kind} ${owner ?? ''} ${cid.code} ${multihashKey(cid)} ${name ?? ''}`
    const adding = this.#adding.get(key) ?? this.#append({ id: randomUUID(), cid, kind, ...(name !== undefined && { name }), ...(owner !== undefined && { owner }), createdMs: this.#nextCreatedMs() })
    this.#adding.set(key, adding)
    try {
      return await adding
    } finally {
      if (this.#adding.get(key) === adding) this.#adding.delete(key)
    }
  }

  async remove ({ owner = 'user', ...filter }: PinFilter & { readonly cid: CID }): Promise<readonly Pin[]> {
    const match = { ...filter, owner }
    const observed = [...this.#select(match)].filter(({ id }) => !this.#removing.has(id))
    if (observed.length === 0) throw new HoldfastError('NOT_FOUND', `${match.cid} is not pinned${describe(match)}`, { reason: 'not-pinned', cid: match.cid.toString() })
    const ids = observed.map(({ id }) => id)
    for (const id of ids) this.#removing.add(id)
    try {
      const records = unpinRecords(ids)
      await this.#journal.append(records)
      for (const id of ids) this.#erase(id)
      for (const pin of observed) this.#tell('unpinned', pin)
      this.#recordCount += records.length
    } finally {
      for (const id of ids) this.#removing.delete(id)
    }
    this.#compactIfWorthwhile()
    return observed.map(pinFrom)
  }

  * list (filter: PinFilter = {}): Generator<Pin> {
    for (const pin of this.#select(filter)) yield pinFrom(pin)
  }

  isPinned (cid: CID): boolean {
    return this.#byMultihash.has(multihashKey(cid))
  }

  has (match: Pick<PinFilter, 'kind' | 'owner'> & { readonly cid: CID }): boolean {
    for (const { code } of this.#select(match)) if (code === match.cid.code) return true
    return false
  }

  watch (listener: PinListener): Disposable {
    this.#listeners.add(listener)
    return { [Symbol.dispose]: () => { this.#listeners.delete(listener) } }
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#closed = true
    await this.#compacting
  }

  #tell (kind: 'pinned' | 'unpinned', pin: StoredPin): void {
    for (const listener of this.#listeners) listener({ kind, pin: pinFrom(pin) })
  }

  async #append (pin: Pin): Promise<Pin> {
    await this.#journal.append([pinRecord(pin)])
    const stored = this.#insert(pin)
    this.#tell('pinned', stored)
    this.#recordCount++
    this.#compactIfWorthwhile()
    return pinFrom(stored)
  }

  /** The clock may stand still or go back; the order of pins does not. */
  #nextCreatedMs (): number {
    this.#lastCreatedMs = Math.max(Math.floor(this.#now()), this.#lastCreatedMs + 1)
    return this.#lastCreatedMs
  }

  #insert ({ id, cid, kind, name, owner, createdMs }: Pin): StoredPin {
    const known = this.#byId.get(id)
    if (known !== undefined) return known
    const pin = { id, cid: Buffer.from(cid.bytes).toString('latin1'), code: cid.code, kind, name, owner, createdMs }
    this.#byId.set(id, pin)
    const key = multihashKey(cid)
    this.#byMultihash.set(key, [...this.#byMultihash.get(key) ?? [], pin])
    this.#lastCreatedMs = Math.max(this.#lastCreatedMs, createdMs)
    return pin
  }

  #erase (id: string): void {
    const pin = this.#byId.get(id)
    if (pin === undefined) return
    this.#byId.delete(id)
    const key = multihashKey(cidOf(pin))
    const others = (this.#byMultihash.get(key) ?? []).filter((other) => other !== pin)
    if (others.length === 0) this.#byMultihash.delete(key)
    else this.#byMultihash.set(key, others)
  }

  * #select ({ kind, name, cid, owner }: PinFilter): Generator<StoredPin> {
    const candidates = cid === undefined ? this.#byId.values() : this.#byMultihash.get(multihashKey(cid)) ?? []
    for (const pin of candidates) {
      if ((kind === undefined || pin.kind === kind) && (name === undefined || pin.name === name) && (owner === undefined || (pin.owner ?? 'user') === owner)) yield pin
    }
  }

  #compactIfWorthwhile (): void {
    const deadCount = this.#recordCount - this.#byId.size
    if (this.#closed || this.#compacting !== undefined || this.#recordCount < this.#compactAtCount) return
    if (deadCount < Math.max(this.#minDeadRecords, this.#byId.size)) return
    this.#compacting = this.#compact().finally(() => { this.#compacting = undefined })
  }

  async #compact (): Promise<void> {
    const recordCount = this.#recordCount
    const pins = [...this.#byId.values()]
    try {
      await this.#journal.compact(this.#recordsOf(pins), { kinds: PIN_RECORD_KINDS })
      this.#recordCount += pins.length - recordCount
    } catch (err) {
      if (!this.#closed) this.#log.warn('Could not compact the journal of pins', { err })
    }
    // After a failure the next try waits for as many changes again.
    this.#compactAtCount = this.#recordCount + this.#minDeadRecords
  }

  * #recordsOf (pins: readonly StoredPin[]): Generator<JournalRecord> {
    for (const pin of pins) {
      if (this.#closed) throw new HoldfastError('UNAVAILABLE', 'Pin set is closed')
      yield pinRecord(pinFrom(pin))
    }
  }
}

function cidOf ({ cid }: StoredPin): CID {
  return CID.decode(Uint8Array.from(Buffer.from(cid, 'latin1')))
}

function pinFrom (pin: StoredPin): Pin {
  const { id, kind, name, owner, createdMs } = pin
  return { id, cid: cidOf(pin), kind, ...(name !== undefined && { name }), ...(owner !== undefined && { owner }), createdMs }
}

function describe ({ kind, name, owner }: PinFilter): string {
  const by = owner === 'cluster' ? ' for the cluster' : ''
  return `${kind === undefined ? '' : ` as ${kind}`}${name === undefined ? '' : ` under the name ${JSON.stringify(name)}`}${by}`
}
