import { HoldfastError } from '@holdfast/core'
import * as Digest from 'multiformats/hashes/digest'
import { type DhtPeer, MAX_DHT_KEY_BYTES } from './dht-message.ts'

/** How long a provider record counts, in ms. @see https://github.com/libp2p/specs/blob/master/kad-dht/README.md#content-provider-advertisement-and-discovery */
export const PROVIDER_VALIDITY_MS: number = 48 * 3_600_000

/** Records in all. With `MAX_PROVIDERS_PER_PEER` a crowd of strangers cannot fill the memory. reliability.md 2.3. */
export const MAX_PROVIDER_RECORDS = 100_000

/** Records that one peer may leave here. reliability.md 2.3. */
export const MAX_PROVIDERS_PER_PEER = 10_000

/** Peers that are remembered as providers of one key; the oldest makes room. reliability.md 2.3. */
export const MAX_PROVIDERS_PER_KEY = 1_000

/** Peers that an answer names, the newest first. reliability.md 2.3. */
export const MAX_PROVIDERS_ANSWERED = 20

/** Peers whose addresses are kept with their records: about 1 KiB each. */
export const MAX_PROVIDING_PEERS = 10_000

export interface ProviderBookLimits {
  readonly maxRecords: number
  readonly maxPerPeer: number
  readonly maxPerKey: number
  readonly maxPeers: number
}

interface Provider {
  readonly id: Uint8Array
  addresses: readonly Uint8Array[]
  /** When each record was made, the oldest first. */
  readonly madeMsByKey: Map<string, number>
}

/**
 * The provider records that others left here, in memory, with their addresses.
 *
 * In place of the library's store, which has no limit at all, answers with records that have expired, and forgets the
 * addresses before the records: then it answers nothing.
 *
 * When the book is full, the peer with the most records loses its oldest: whoever fills it pushes out itself.
 */
export class ProviderBook {
  readonly #limits: ProviderBookLimits
  readonly #now: () => number
  readonly #providers = new Map<string, Provider>()
  readonly #peersByKey = new Map<string, Set<string>>()
  #count = 0

  constructor (limits: Partial<ProviderBookLimits> = {}, now: () => number = Date.now) {
    this.#limits = { maxRecords: MAX_PROVIDER_RECORDS, maxPerPeer: MAX_PROVIDERS_PER_PEER, maxPerKey: MAX_PROVIDERS_PER_KEY, maxPeers: MAX_PROVIDING_PEERS, ...limits }
    this.#now = now
  }

  get count (): number {
    return this.#count
  }

  /**
   * Notes that `provider` has the block of `key`.
   *
   * @param key The bytes of a multihash, of any hash.
   * @throws `INVALID` for a key that is not exactly one multihash; `LIMIT` when this peer has too many records, or too many peers have some.
   */
  add (key: Uint8Array, provider: DhtPeer): void {
    requireMultihash(key)
    const name = nameOf(key)
    const peer = nameOf(provider.id)
    const row = this.#rowOf(peer, provider)
    row.addresses = provider.addresses.map((address) => address.slice())
    this.#remove(peer, row, name)
    if (row.madeMsByKey.size >= this.#limits.maxPerPeer) throw new HoldfastError('LIMIT', `This peer has ${this.#limits.maxPerPeer} provider records here already`)
    row.madeMsByKey.set(name, this.#now())
    const peers = this.#peersByKey.get(name) ?? new Set()
    this.#peersByKey.set(name, peers.add(peer))
    this.#count++
    this.#makeRoom(peers, name)
  }

  /** As `add`, for this node: instead of a `LIMIT` its oldest record makes room. */
  addOwn (key: Uint8Array, self: DhtPeer): void {
    const peer = nameOf(self.id)
    const row = this.#providers.get(peer)
    if (row !== undefined && row.madeMsByKey.size >= this.#limits.maxPerPeer) this.#dropOldest(peer, row, 1)
    this.add(key, self)
  }

  /** The newest providers of `key` that are still valid, the newest first. */
  find (key: Uint8Array): DhtPeer[] {
    const name = nameOf(key)
    const oldestMs = this.#now() - PROVIDER_VALIDITY_MS
    const found: Array<{ provider: Provider, madeMs: number }> = []
    for (const peer of this.#peersByKey.get(name) ?? []) {
      const provider = this.#providers.get(peer)
      const madeMs = provider?.madeMsByKey.get(name)
      if (provider === undefined || madeMs === undefined) continue
      if (madeMs < oldestMs) this.#remove(peer, provider, name)
      else found.push({ provider, madeMs })
    }
    return found.toSorted((a, b) => b.madeMs - a.madeMs).slice(0, MAX_PROVIDERS_ANSWERED).map(({ provider: { id, addresses } }) => ({ id, addresses }))
  }

  #rowOf (peer: string, { id }: DhtPeer): Provider {
    const row = this.#providers.get(peer)
    if (row !== undefined) return row
    if (this.#providers.size >= this.#limits.maxPeers) this.#dropExpired()
    if (this.#providers.size >= this.#limits.maxPeers) throw new HoldfastError('LIMIT', `Provider records of ${this.#limits.maxPeers} peers are here already`)
    const made = { id: id.slice(), addresses: [], madeMsByKey: new Map<string, number>() }
    this.#providers.set(peer, made)
    return made
  }

  #remove (peer: string, row: Provider, name: string): void {
    if (!row.madeMsByKey.delete(name)) return
    this.#count--
    const peers = this.#peersByKey.get(name)
    peers?.delete(peer)
    if (peers?.size === 0) this.#peersByKey.delete(name)
  }

  #makeRoom (peers: Set<string>, name: string): void {
    if (peers.size > this.#limits.maxPerKey) this.#dropOldestOf(peers, name)
    if (this.#count <= this.#limits.maxRecords) return
    this.#dropExpired()
    if (this.#count > this.#limits.maxRecords) this.#dropOldestOfHeaviest()
  }

  #dropOldestOf (peers: Set<string>, name: string): void {
    // A set keeps the order in which peers were added, and adding again moves a peer to the end.
    for (const peer of peers) {
      const row = this.#providers.get(peer)
      if (row !== undefined) this.#remove(peer, row, name)
      return
    }
  }

  #dropExpired (): void {
    const oldestMs = this.#now() - PROVIDER_VALIDITY_MS
    for (const [peer, row] of this.#providers) {
      for (const [name, madeMs] of row.madeMsByKey) {
        if (madeMs >= oldestMs) break
        this.#remove(peer, row, name)
      }
      if (row.madeMsByKey.size === 0) this.#providers.delete(peer)
    }
  }

  /** A hundredth of the book at once, so that the search for the heaviest peer is rare. */
  #dropOldestOfHeaviest (): void {
    const heaviest = [...this.#providers].reduce((most, entry) => entry[1].madeMsByKey.size > most[1].madeMsByKey.size ? entry : most)
    const [peer, row] = heaviest
    const surplus = Math.max(1, Math.floor(this.#limits.maxRecords / 100))
    this.#dropOldest(peer, row, surplus)
  }

  #dropOldest (peer: string, row: Provider, count: number): void {
    for (const name of row.madeMsByKey.keys().take(count)) this.#remove(peer, row, name)
  }
}

function requireMultihash (key: Uint8Array): void {
  try {
    if (key.byteLength <= MAX_DHT_KEY_BYTES && Digest.decode(key).bytes.byteLength === key.byteLength) return
  } catch {}
  throw new HoldfastError('INVALID', 'The key of a provider record is not one multihash')
}

/** One character per byte. */
function nameOf (bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}
