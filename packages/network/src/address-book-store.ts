import type { AbortOptions } from '@holdfast/core'
import type { PeerId as LibraryPeerId } from '@libp2p/interface'
import { BaseDatastore } from 'datastore-core'
import { type Batch, Key, type KeyQuery, type Pair, type Query } from 'interface-datastore'
import { cutPeerRow } from './limits/peer-row.ts'
import { MAX_DHT_VALUE_BYTES, MAX_KNOWN_PEER_BYTES, MAX_KNOWN_PEERS } from './limits.ts'
import { Turnstile } from './turnstile.ts'

export interface ShelfLimits {
  readonly maxCount: number
  readonly maxBytes: number
}

/**
 * Rows that are read or written in one turn of the event loop. The library reads, decodes, compares and writes a row for each peer
 * that is named to it and for each address that it dials in vain, some 0.3 ms each; from memory alone it would not stop in between.
 */
export const ROWS_PER_TURN = 8

/**
 * Where libp2p keeps what it knows of peers, and the values of the DHT: in memory, each kind on a shelf with a limit.
 *
 * When a shelf is full the row that was used longest ago makes room, never one that was just asked for, and none of a peer that is
 * connected. What is kept of one peer is bounded too. The library itself sets no limit and writes a row for each new stream, so
 * this is neither a disk nor unbounded. What is lost with the process is
 * learnt again from the first peers.
 */
export class AddressBookStore extends BaseDatastore {
  readonly #peers: Shelf
  readonly #values: Shelf
  readonly #turnstile = new Turnstile(ROWS_PER_TURN)

  constructor ({ peers = { maxCount: MAX_KNOWN_PEERS, maxBytes: MAX_KNOWN_PEER_BYTES }, values = { maxCount: MAX_KNOWN_PEERS, maxBytes: MAX_DHT_VALUE_BYTES } }: { peers?: ShelfLimits, values?: ShelfLimits } = {}) {
    super()
    this.#peers = new Shelf(peers)
    this.#values = new Shelf(values)
  }

  /** Rows of peers. */
  get peerCount (): number {
    return this.#peers.rows.size
  }

  /** Keeps what is known of a peer, whatever else comes in, until `release`. */
  keep (peer: LibraryPeerId): void {
    this.#peers.kept.add(rowOf(peer))
  }

  release (peer: LibraryPeerId): void {
    this.#peers.kept.delete(rowOf(peer))
  }

  override async put (key: Key, value: Uint8Array): Promise<Key> {
    await this.#turnstile.pass()
    this.#put(key, value)
    return key
  }

  override async get (key: Key): Promise<Uint8Array> {
    await this.#turnstile.pass()
    const value = this.#shelfOf(key.toString()).get(key.toString())
    // The library asks for its own error by name.
    if (value === undefined) throw Object.assign(new Error(`${key.toString()} is not here`), { name: 'NotFoundError' })
    return value
  }

  override has (key: Key): boolean {
    return this.#shelfOf(key.toString()).rows.has(key.toString())
  }

  override delete (key: Key): void {
    this.#shelfOf(key.toString()).delete(key.toString())
  }

  override batch (): Batch {
    const steps: Array<() => void> = []
    return {
      put: (key, value) => { steps.push(() => { this.#put(key, value) }) },
      delete: (key) => { steps.push(() => { this.delete(key) }) },
      commit: () => { for (const step of steps.splice(0)) step() }
    }
  }

  override async * _all (query: Query, { signal }: AbortOptions = {}): AsyncGenerator<Pair> {
    for (const [key, value] of this.#shelfOf(query.prefix ?? '').rows) {
      signal?.throwIfAborted()
      if (key.startsWith(query.prefix ?? '')) yield { key: new Key(key, false), value }
    }
  }

  override async * _allKeys (query: KeyQuery, options?: AbortOptions): AsyncGenerator<Key> {
    for await (const { key } of this._all(query.prefix === undefined ? {} : { prefix: query.prefix }, options)) yield key
  }

  #put (key: Key, value: Uint8Array): void {
    const name = key.toString()
    if (isPeerRow(name)) this.#peers.put(name, cutPeerRow(value))
    else this.#values.put(name, value)
  }

  #shelfOf (key: string): Shelf {
    return isPeerRow(key) ? this.#peers : this.#values
  }
}

function isPeerRow (key: string): boolean {
  return key.startsWith('/peers')
}

/** Where the library keeps a peer. */
function rowOf (peer: LibraryPeerId): string {
  return `/peers/${peer.toCID().toString()}`
}

/** Rows in the order of their last use. */
class Shelf {
  readonly rows = new Map<string, Uint8Array>()
  /** Rows that make no room for others. There are as many as there can be connections, and so far fewer than rows. */
  readonly kept = new Set<string>()
  readonly #limits: ShelfLimits
  #bytes = 0

  constructor (limits: ShelfLimits) {
    this.#limits = limits
  }

  get (key: string): Uint8Array | undefined {
    const value = this.rows.get(key)
    if (value === undefined) return undefined
    this.rows.delete(key)
    this.rows.set(key, value)
    return value
  }

  put (key: string, value: Uint8Array): void {
    this.delete(key)
    this.rows.set(key, value)
    this.#bytes += key.length + value.byteLength
    for (const oldest of this.rows.keys()) {
      if (this.rows.size <= this.#limits.maxCount && this.#bytes <= this.#limits.maxBytes) return
      if (!this.kept.has(oldest)) this.delete(oldest)
    }
  }

  delete (key: string): void {
    const value = this.rows.get(key)
    if (value === undefined) return
    this.rows.delete(key)
    this.#bytes -= key.length + value.byteLength
  }
}
