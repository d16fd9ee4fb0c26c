/**
 * Bitswap messages, read within limits.
 *
 * ```
 * Message  { wantlist = 1, blocks: repeated bytes = 2 (1.0), payload: repeated Block = 3,
 *            blockPresences: repeated BlockPresence = 4, pendingBytes: int32 = 5 }
 * Wantlist { entries: repeated Entry = 1, full: bool = 2 }
 * Entry    { block: CID = 1, priority: int32 = 2, cancel: bool = 3,
 *            wantType: Block 0 | Have 1 = 4, sendDontHave: bool = 5 }
 * Block    { prefix = 1, data = 2 }
 * BlockPresence { cid = 1, type: Have 0 | DontHave 1 = 2 }
 * ```
 *
 * Written by hand because generated decoders build every repeated field before anyone can count: 4 MiB of
 * empty entries cost 1.7 GB there. Data and prefixes are views into the message.
 *
 * @see https://specs.ipfs.tech/bitswap-protocol/
 */
import { HoldfastError, ProtobufReader } from '@holdfast/core'
import { CID } from 'multiformats/cid'
import { CID_V0_PREFIX } from './cid-prefix.ts'
import { MAX_LIVE_WANTS, MAX_MESSAGE_BLOCKS, MAX_MESSAGE_BYTES, MAX_MESSAGE_CANCELS, MAX_MESSAGE_PRESENCES, MAX_MESSAGE_WANTS, MAX_WIRE_CID_BYTES } from './limits.ts'
import { FieldBudget, skipField } from './message-fields.ts'

/** What is asked for: the bytes, or only whether they are there. */
export type WantType = 'block' | 'have'

export type PresenceType = 'have' | 'dont-have'

export interface WantEntry {
  readonly cid: CID
  /** Higher comes first; peers use the whole int32 range. */
  readonly priority: number
  /** Takes back an earlier want of the same CID; the other fields mean nothing then. */
  readonly isCancel: boolean
  readonly type: WantType
  readonly sendDontHave: boolean
}

export interface BlockPayload {
  /** The CID without its digest: see `decodeCidPrefix`. */
  readonly prefix: Uint8Array
  readonly data: Uint8Array
}

export interface BlockPresence {
  readonly cid: CID
  readonly type: PresenceType
}

export interface BitswapMessage {
  readonly wants: readonly WantEntry[]
  /** The want-list replaces what was known of the sender's wants. */
  readonly isFull: boolean
  readonly blocks: readonly BlockPayload[]
  readonly presences: readonly BlockPresence[]
  /** Bytes of blocks that the sender has queued for us, as it claims. */
  readonly pendingBytes: number
  /** Entries above what is kept of one message; they were not decoded. */
  readonly skippedWantCount: number
}

/**
 * Reads one message.
 *
 * @throws `INVALID` for bytes that are not a message, `LIMIT` for more of anything than a message may hold.
 */
export function decodeMessage (bytes: Uint8Array): BitswapMessage {
  requireMessageLength(bytes.byteLength)
  const fields = new FieldBudget()
  const wants = new WantCollector(fields)
  const blocks: BlockPayload[] = []
  const presences: BlockPresence[] = []
  let pendingBytes = 0

  const reader = new ProtobufReader(bytes)
  while (!reader.done) {
    const tag = fields.tag(reader)
    switch (tag) {
      case WANTLIST: decodeWantlist(reader.bytes(), wants, fields); break
      case BLOCKS:
        requireAtMost('blocks', blocks.length + 1, MAX_MESSAGE_BLOCKS)
        fields.allow(1)
        blocks.push({ prefix: CID_V0_PREFIX, data: reader.bytes() })
        break
      case PAYLOAD:
        requireAtMost('blocks', blocks.length + 1, MAX_MESSAGE_BLOCKS)
        fields.allow(1 + PAYLOAD_FIELDS)
        blocks.push(decodePayload(reader.bytes(), fields))
        break
      case PRESENCES:
        requireAtMost('presences', presences.length + 1, MAX_MESSAGE_PRESENCES)
        fields.allow(1 + PRESENCE_FIELDS)
        presences.push(decodePresence(reader.bytes(), fields))
        break
      case PENDING_BYTES: pendingBytes = int32(reader); break
      default: skipField(reader, tag)
    }
  }
  return { wants: wants.kept, isFull: wants.isFull, blocks, presences, pendingBytes, skippedWantCount: wants.skippedCount }
}

/** @throws `LIMIT` when a message of this many bytes is not read. */
export function requireMessageLength (byteLength: number): void {
  if (byteLength > MAX_MESSAGE_BYTES) {
    throw new HoldfastError('LIMIT', `Bitswap message has ${byteLength} bytes, more than the ${MAX_MESSAGE_BYTES} of a message (4 MiB)`, { byteLength })
  }
}

const BYTES = 2
const WANTLIST = (1 << 3) | BYTES
const BLOCKS = (2 << 3) | BYTES
const PAYLOAD = (3 << 3) | BYTES
const PRESENCES = (4 << 3) | BYTES
const PENDING_BYTES = 5 << 3

const ENTRIES = (1 << 3) | BYTES
const FULL = 2 << 3

const ENTRY_CID = (1 << 3) | BYTES
const PRIORITY = 2 << 3
const CANCEL = 3 << 3
const WANT_TYPE = 4 << 3
const SEND_DONT_HAVE = 5 << 3
const ENTRY_FIELDS = 5

const PREFIX = (1 << 3) | BYTES
const DATA = (2 << 3) | BYTES
const PAYLOAD_FIELDS = 2

const PRESENCE_CID = (1 << 3) | BYTES
const PRESENCE_TYPE = 2 << 3
const PRESENCE_FIELDS = 2

const EMPTY: Uint8Array = new Uint8Array()

/** Keeps as many entries as a peer may have open, and counts the rest without decoding their CIDs. */
class WantCollector {
  readonly kept: WantEntry[] = []
  isFull = false
  skippedCount = 0
  readonly #fields: FieldBudget
  #expectedCount = 0
  #cancelCount = 0

  constructor (fields: FieldBudget) {
    this.#fields = fields
  }

  expect (entryCount: number): void {
    this.#expectedCount += entryCount
    requireAtMost('want-list entries', this.#expectedCount, MAX_MESSAGE_WANTS)
    this.#fields.allow(entryCount * (1 + ENTRY_FIELDS))
  }

  add (bytes: Uint8Array): void {
    const entry = readEntry(bytes, this.#fields)
    const hasRoom = entry.isCancel ? this.#cancelCount < MAX_MESSAGE_CANCELS : this.kept.length - this.#cancelCount < MAX_LIVE_WANTS
    const type = WANT_TYPES[entry.wantType]
    if (!hasRoom || type === undefined) {
      this.skippedCount++
      return
    }
    if (entry.isCancel) this.#cancelCount++
    const { priority, isCancel, sendDontHave } = entry
    this.kept.push({ cid: decodeWireCid(entry.cidBytes), priority, isCancel, type, sendDontHave })
  }
}

const WANT_TYPES: readonly WantType[] = ['block', 'have']
const PRESENCE_TYPES: readonly PresenceType[] = ['have', 'dont-have']

function decodeWantlist (bytes: Uint8Array, wants: WantCollector, fields: FieldBudget): void {
  wants.expect(entryCountOf(bytes))
  const reader = new ProtobufReader(bytes)
  while (!reader.done) {
    const tag = fields.tag(reader)
    if (tag === ENTRIES) wants.add(reader.bytes())
    else if (tag === FULL) wants.isFull = reader.varint64() !== 0n
    else skipField(reader, tag)
  }
}

/** Counts before anything is decoded: a refusal costs 5 ms then, and not 30. */
function entryCountOf (bytes: Uint8Array): number {
  const fields = new FieldBudget()
  const reader = new ProtobufReader(bytes)
  let count = 0
  while (!reader.done && count <= MAX_MESSAGE_WANTS) {
    const tag = fields.tag(reader)
    if (tag === ENTRIES) {
      count++
      fields.allow(1)
    }
    skipField(reader, tag)
  }
  return count
}

interface RawEntry {
  cidBytes: Uint8Array
  priority: number
  isCancel: boolean
  wantType: number
  sendDontHave: boolean
}

function readEntry (bytes: Uint8Array, fields: FieldBudget): RawEntry {
  const entry: RawEntry = { cidBytes: EMPTY, priority: 0, isCancel: false, wantType: 0, sendDontHave: false }
  const reader = new ProtobufReader(bytes)
  while (!reader.done) {
    const tag = fields.tag(reader)
    switch (tag) {
      case ENTRY_CID: entry.cidBytes = reader.bytes(); break
      case PRIORITY: entry.priority = int32(reader); break
      case CANCEL: entry.isCancel = reader.varint64() !== 0n; break
      case WANT_TYPE: entry.wantType = int32(reader); break
      case SEND_DONT_HAVE: entry.sendDontHave = reader.varint64() !== 0n; break
      default: skipField(reader, tag)
    }
  }
  return entry
}

function decodePayload (bytes: Uint8Array, fields: FieldBudget): BlockPayload {
  let prefix = EMPTY
  let data = EMPTY
  const reader = new ProtobufReader(bytes)
  while (!reader.done) {
    const tag = fields.tag(reader)
    if (tag === PREFIX) prefix = reader.bytes()
    else if (tag === DATA) data = reader.bytes()
    else skipField(reader, tag)
  }
  return { prefix, data }
}

function decodePresence (bytes: Uint8Array, fields: FieldBudget): BlockPresence {
  let cidBytes = EMPTY
  let typeNumber = 0
  const reader = new ProtobufReader(bytes)
  while (!reader.done) {
    const tag = fields.tag(reader)
    if (tag === PRESENCE_CID) cidBytes = reader.bytes()
    else if (tag === PRESENCE_TYPE) typeNumber = int32(reader)
    else skipField(reader, tag)
  }
  const type = PRESENCE_TYPES[typeNumber]
  if (type === undefined) throw new HoldfastError('INVALID', `Bitswap message answers with a presence of unknown type ${typeNumber}`)
  return { cid: decodeWireCid(cidBytes), type }
}

function decodeWireCid (bytes: Uint8Array): CID {
  if (bytes.byteLength > MAX_WIRE_CID_BYTES) {
    throw new HoldfastError('LIMIT', `Bitswap message names a CID of ${bytes.byteLength} bytes; at most ${MAX_WIRE_CID_BYTES} are accepted`, { byteLength: bytes.byteLength })
  }
  try {
    // Copied: the CID outlives the message, which may be 4 MiB.
    return CID.decode(bytes.slice())
  } catch (cause) {
    throw new HoldfastError('INVALID', 'Bitswap message names something that is not a CID', { cause })
  }
}

function requireAtMost (what: string, count: number, max: number): void {
  if (count > max) throw new HoldfastError('LIMIT', `Bitswap message holds more than ${max} ${what}`)
}

function int32 (reader: ProtobufReader): number {
  return Number(BigInt.asIntN(32, reader.varint64()))
}
