import { type Block, CODECS, decodeDagPb, linksOf, MAX_BLOCK_BYTES, multihashKey } from '@holdfast/core'
import type { CID } from 'multiformats/cid'

/** Bytes that may be fetched before their reader asks for them. */
export const MAX_AHEAD_BYTES: number = 64 * 1024 * 1024

/** Blocks that may be fetched before their reader asks for them: twice what one peer remembers of our wants. */
export const MAX_AHEAD_BLOCKS = 2048

/** Links that are held to know what comes next, about 10 MB; above it nothing more is opened. */
export const MAX_LINKS_HELD = 65_536

/** Dag nodes that are remembered as opened, the latest ones: about 1 MB. */
const MAX_OPENED_KEYS = 8192

/** What a block is taken for when its parent does not say. */
export const UNKNOWN_BYTES: number = 256 * 1024

/** What a dag node with a tree below it is taken for, before one was seen: 174 links of a default file are 8 KiB. */
const INNER_NODE_BYTES: number = 16 * 1024

/** A block that its reader is expected to want. */
export interface Upcoming {
  readonly cid: CID
  readonly expectedBytes: number
}

/** A link that the reader has not left behind, in a list ordered as the DAG is read. */
interface Entry extends Upcoming {
  readonly key: string
  previous: Entry | undefined
  next: Entry | undefined
  /** Handed out by `next`, or asked for by the reader before it came to that. */
  isOffered: boolean
  isTaken: boolean
}

export interface ReadAheadOptions {
  /** The whole DAG will be read, so nothing that is fetched ahead is in vain. */
  readonly walk: boolean
  /** Told of what was handed out and that the reader passed over: it need not be fetched any more. */
  readonly onPassedOver: (cid: CID) => void
}

/**
 * Knows which blocks the reader of a DAG will want next, depth first and in the order of the links.
 *
 * Learns from what the reader takes: whatever lies before that in the order, and was not taken, is passed over; so a
 * reader that begins in the middle of a file draws nothing before it. What may be fetched ahead is as much
 * as it asked for and got so far, together, or everything at once when the whole DAG will be read; never above `MAX_AHEAD_BYTES`.
 */
export class ReadAhead {
  readonly #options: ReadAheadOptions
  /** By multihash; of a block that is linked twice, the first place. */
  readonly #entries = new Map<string, Entry>()
  /** Multihashes of dag nodes whose links were taken in. */
  readonly #opened = new Set<string>()
  #first: Entry | undefined
  /** No entry before this one remains to be handed out. */
  #cursor: Entry | undefined
  /** Handed out and not taken by the reader, with their bytes. */
  readonly #ahead = new Map<string, number>()
  #aheadBytes = 0
  /** What the reader asked for, and what it got. */
  #readBytes = 0
  /** Moving average of the length of the dag-pb nodes that were opened. */
  #innerBytes = INNER_NODE_BYTES

  constructor (options: ReadAheadOptions) {
    this.#options = options
  }

  /** The reader wants this block. Answers how many bytes it has by what its parent says. */
  take (cid: CID): number {
    const key = multihashKey(cid)
    this.#settle(key)
    const entry = this.#entries.get(key)
    if (entry === undefined) return UNKNOWN_BYTES
    if (!entry.isTaken) this.#takeEntry(entry)
    return entry.expectedBytes
  }

  /** The reader got this many bytes, here or from a peer. */
  taken (byteLength: number): void {
    this.#readBytes += byteLength
  }

  /** A block is here: what it links to takes its place. Blocks that are not of their codec have no links. */
  open (block: Block): void {
    const key = multihashKey(block.cid)
    const entry = this.#entries.get(key)
    this.#settle(key)
    if (block.cid.code === CODECS.raw || !this.#isNew(key)) return
    if (block.cid.code === CODECS.dagPb) this.#innerBytes = (7 * this.#innerBytes + block.bytes.byteLength) / 8
    const links = upcomingIn(block, this.#innerBytes)
    if (this.#entries.size === 0 || this.#entries.size + links.length <= MAX_LINKS_HELD) this.#insert(links, entry)
    if (entry !== undefined) this.#remove(entry)
  }

  /** Hands out the next block to fetch ahead, or `undefined` when none is known or enough are on their way. */
  next (): Upcoming | undefined {
    const budget = Math.min(this.#options.walk ? MAX_AHEAD_BYTES : this.#readBytes, MAX_AHEAD_BYTES)
    if (this.#aheadBytes >= budget || this.#ahead.size >= MAX_AHEAD_BLOCKS) return undefined
    while (this.#cursor?.isOffered === true) this.#cursor = this.#cursor.next
    const entry = this.#cursor
    if (entry === undefined) return undefined
    entry.isOffered = true
    this.#ahead.set(entry.key, entry.expectedBytes)
    this.#aheadBytes += entry.expectedBytes
    return entry
  }

  /** What was handed out is not on its way: it is here already, or could not be had. */
  forget (cid: CID): void {
    const key = multihashKey(cid)
    this.#settle(key)
    const entry = this.#entries.get(key)
    if (entry !== undefined && cid.code === CODECS.raw) this.#remove(entry)
  }

  #takeEntry (entry: Entry): void {
    entry.isTaken = true
    this.#readBytes += entry.expectedBytes
    entry.isOffered = true
    for (let at = entry.previous; at !== undefined;) {
      const { previous } = at
      if (!at.isTaken) this.#passOver(at)
      at = previous
    }
    // A dag node keeps its place until it is opened: its links belong there.
    if (entry.cid.code === CODECS.raw) this.#remove(entry)
  }

  /** A dag node is met when it arrives and again when it is read: only the first time do its links come next. */
  #isNew (key: string): boolean {
    if (this.#opened.has(key)) return false
    this.#opened.add(key)
    for (const oldest of this.#opened) {
      if (this.#opened.size <= MAX_OPENED_KEYS) break
      this.#opened.delete(oldest)
    }
    return true
  }

  /** What has no place was not expected, so the reader is there now: its links come first. */
  #insert (links: readonly Upcoming[], place: Entry | undefined): void {
    let after = place
    for (const { cid, expectedBytes } of links) {
      const key = multihashKey(cid)
      if (this.#entries.has(key)) continue
      const entry: Entry = { cid, expectedBytes, key, previous: after, next: after === undefined ? this.#first : after.next, isOffered: false, isTaken: false }
      if (entry.previous === undefined) this.#first = entry
      else entry.previous.next = entry
      if (entry.next !== undefined) entry.next.previous = entry
      this.#entries.set(key, entry)
      after = entry
    }
    // These may come before or after the cursor; at most `MAX_AHEAD_BLOCKS` lie between the beginning and what comes next.
    this.#cursor = this.#first
  }

  #passOver (entry: Entry): void {
    this.#remove(entry)
    if (!entry.isOffered) return
    this.#settle(entry.key)
    this.#options.onPassedOver(entry.cid)
  }

  #remove (entry: Entry): void {
    this.#entries.delete(entry.key)
    if (entry.previous === undefined) this.#first = entry.next
    else entry.previous.next = entry.next
    if (entry.next !== undefined) entry.next.previous = entry.previous
    if (this.#cursor === entry) this.#cursor = entry.next
  }

  #settle (key: string): void {
    const byteLength = this.#ahead.get(key)
    if (byteLength === undefined) return
    this.#ahead.delete(key)
    this.#aheadBytes -= byteLength
  }
}

/**
 * The links of a block, each with how long its block is expected to be.
 *
 * `Tsize` counts all that is below a link: for a raw leaf, and for a part of a file that fits into a block, that is
 * the block. An entry of a directory may be a tree of any shape, so it is taken for what its kind was so far.
 */
function upcomingIn (block: Block, innerBytes: number): Upcoming[] {
  try {
    if (block.cid.code !== CODECS.dagPb) return linksOf(block).map((cid) => ({ cid, expectedBytes: UNKNOWN_BYTES }))
    return decodeDagPb(block.bytes).links.map(({ cid, name, tsize = UNKNOWN_BYTES }) => {
      const isLeaf = tsize <= MAX_BLOCK_BYTES && (cid.code === CODECS.raw || name.byteLength === 0)
      return { cid, expectedBytes: isLeaf ? tsize : Math.min(tsize, innerBytes) }
    })
  } catch {
    return [] // The reader says so, in its own words.
  }
}
