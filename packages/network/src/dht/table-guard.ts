import { HoldfastError } from '@holdfast/core'
import { createHash } from 'node:crypto'
import type { PeerId } from '../host.ts'
import type { AddressGroup } from '../limits/address-group.ts'
import { MAX_BUCKET_PER_GROUP, MAX_TABLE_PER_GROUP } from '../limits.ts'

export interface TableCandidate {
  readonly peer: PeerId
  /** The peer id as a multihash. */
  readonly id: Uint8Array
  /** Of the address that it is connected from; `undefined` when it is not, or through a relay. */
  readonly group: AddressGroup | undefined
}

interface Member {
  readonly group: string
  readonly bucket: number
  readonly admittedMs: number
}

/** How long a server that was let in may take to be in the table, in ms. */
const ENTRY_TIME_MS = 30_000

/**
 * Keeps one network from filling a routing table: of each address group at most `MAX_TABLE_PER_GROUP` servers, and
 * `MAX_BUCKET_PER_GROUP` that are equally near to this node.
 *
 * Who owns one /24 can make up any number of peer ids near to a key. Without this they would be all that a table knows of it.
 *
 * @see https://github.com/libp2p/go-libp2p-kad-dht/blob/master/rt_diversity_filter.go
 */
export class TableGuard {
  readonly #self: Uint8Array
  readonly #limitLoopback: boolean
  readonly #now: () => number
  /** Those of bounded groups that are in the table, or on their way into it. */
  readonly #members = new Map<PeerId, Member>()
  readonly #table = new Set<PeerId>()

  constructor (selfId: Uint8Array, { limitLoopback = false, now = () => performance.now() }: { limitLoopback?: boolean, now?: () => number } = {}) {
    this.#self = kadId(selfId)
    this.#limitLoopback = limitLoopback
    this.#now = now
  }

  has (peer: PeerId): boolean {
    return this.#table.has(peer)
  }

  /** To be called when a peer has come into the table. */
  added (peer: PeerId): void {
    this.#table.add(peer)
  }

  /** To be called when a peer has left the table. */
  removed (peer: PeerId): void {
    this.#table.delete(peer)
    this.#members.delete(peer)
  }

  /**
   * Lets a peer into the table, or stay there.
   *
   * @throws `LIMIT` when its group has its share; `UNAVAILABLE` when it is not connected directly.
   */
  admit ({ peer, id, group }: TableCandidate): void {
    if (this.#table.has(peer)) return
    if (group === undefined) throw new HoldfastError('UNAVAILABLE', `${peer} is not connected directly, and so of no use in a routing table`, { peer })
    if (group.kind === 'private' || (group.kind === 'loopback' && !this.#limitLoopback)) return
    const bucket = sharedBits(this.#self, kadId(id))
    const others = this.#othersOf(peer, group.name)
    if (others.length >= MAX_TABLE_PER_GROUP || others.filter((other) => other.bucket === bucket).length >= MAX_BUCKET_PER_GROUP) {
      throw new HoldfastError('LIMIT', `The routing table has enough peers of ${group.name}`, { peer })
    }
    this.#members.set(peer, { group: group.name, bucket, admittedMs: this.#now() })
  }

  #othersOf (peer: PeerId, group: string): Member[] {
    const oldestMs = this.#now() - ENTRY_TIME_MS
    for (const [other, { admittedMs }] of this.#members) if (admittedMs < oldestMs && !this.#table.has(other)) this.#members.delete(other)
    return [...this.#members].filter(([other, member]) => other !== peer && member.group === group).map(([, member]) => member)
  }
}

/** Where a peer is in the space of keys. */
function kadId (id: Uint8Array): Uint8Array {
  return createHash('sha256').update(id).digest()
}

/** Leading bits that are the same: the bucket of Kademlia. */
function sharedBits (one: Uint8Array, other: Uint8Array): number {
  const index = one.findIndex((byte, at) => byte !== other[at])
  return index === -1 ? 8 * one.byteLength : 8 * index + Math.clz32((one[index] ?? 0) ^ (other[index] ?? 0)) - 24
}
