import { HoldfastError } from '@holdfast/core'
import { MAX_ASKED_BUCKETS, MAX_ASKED_NODES, MAX_ASKED_RECORDS, MAX_ROUND_RECORDS } from '../limits.ts'
import { BUCKET_LEVEL, FAN_OUT, NODE_HASH_BYTES } from '../map/merkle-tree.ts'
import { envelopeOf } from '../map/stored-record.ts'
import { hashOf } from '../record/envelope.ts'
import type { RecordStore } from '../store/record-store.ts'
import type { RecordLink } from './record-link.ts'
import { verifiedRecords } from './verified-records.ts'

/** Records that a member lacks and that are pushed at the end of a round; of more it fetches them itself. */
const MAX_OFFERED_RECORDS = 1000

/** Records that a member may list in a round and then not have. */
const MAX_ABSENT_RECORDS = 2000

/** What a round of anti-entropy did. */
export interface RoundResult {
  readonly fetchedCount: number
  readonly offeredCount: number
}

/**
 * One round of anti-entropy: finds where the member's records differ, fetches what is missing here, and pushes what is missing there.
 *
 * Memory is bounded by one message and what it asks for; a round fetches at most `MAX_ROUND_RECORDS`.
 *
 * @throws `INVALID` when the member sends what was not asked for, or what nobody signed; what `RecordStore.ingest` throws.
 */
export async function reconcile (store: RecordStore, link: RecordLink): Promise<RoundResult> {
  const round = new Round(store, link)
  for (const buckets of chunksOf(await round.differingBuckets(), MAX_ASKED_BUCKETS)) {
    await round.compare(buckets)
    if (round.fetchedCount >= MAX_ROUND_RECORDS) break
  }
  round.offer()
  return round
}

class Round implements RoundResult {
  readonly #store: RecordStore
  readonly #link: RecordLink
  readonly #offered: string[] = []
  fetchedCount = 0
  #absentCount = 0

  constructor (store: RecordStore, link: RecordLink) {
    this.#store = store
    this.#link = link
  }

  get offeredCount (): number {
    return this.#offered.length
  }

  async differingBuckets (): Promise<number[]> {
    let differing = [0]
    for (let level = 0; level < BUCKET_LEVEL; level++) {
      const below: number[] = []
      for (const of of chunksOf(differing, MAX_ASKED_NODES)) below.push(...await this.#differingChildren(level, of))
      differing = below
    }
    return differing
  }

  async #differingChildren (level: number, of: readonly number[]): Promise<number[]> {
    const { hashes } = await this.#link.ask({ t: 'nodes', level, of })
    const byteLength = FAN_OUT * NODE_HASH_BYTES
    if (hashes.byteLength !== of.length * byteLength) throw this.#wrong('nodes that were not asked for')
    return of.flatMap((index, at) => {
      const ours = this.#map().tree.children(level, index)
      const theirs = hashes.subarray(at * byteLength, (at + 1) * byteLength)
      return Array.from({ length: FAN_OUT }, (_, child) => child)
        .filter((child) => Buffer.compare(childOf(ours, child), childOf(theirs, child)) !== 0)
        .map((child) => index * FAN_OUT + child)
    })
  }

  /** Compares buckets, the rest of one that was cut in the next question. */
  async compare (buckets: readonly number[]): Promise<void> {
    let after = ''
    for (let rest = buckets; rest.length > 0 && this.fetchedCount < MAX_ROUND_RECORDS;) {
      const { lists, isCut } = await this.#link.ask({ t: 'list', of: rest, after })
      if (lists.length > rest.length || lists.length === 0 || !isCut && lists.length < rest.length) throw this.#wrong('lists that were not asked for')
      const last = lists.at(-1)?.at(-1) ?? ''
      if (isCut && lists.length === 1 && last <= after) throw this.#wrong('a list that does not go on')
      await this.#fetch(lists.flat())
      if (after === '' && !isCut) this.#noteOffers(rest, lists)
      rest = rest.slice(isCut ? lists.length - 1 : lists.length)
      after = isCut ? last : ''
    }
  }

  /** What is pushed is a favour: buckets that were cut are left to the member's own round. */
  #noteOffers (buckets: readonly number[], lists: ReadonlyArray<readonly string[]>): void {
    for (const [index, bucket] of buckets.entries()) {
      const theirs = new Set(lists[index])
      for (const hash of this.#map().tree.list(bucket)) {
        if (!theirs.has(hash) && this.#offered.length <= MAX_OFFERED_RECORDS) this.#offered.push(hash)
      }
    }
  }

  offer (): void {
    if (this.#offered.length > MAX_OFFERED_RECORDS) return
    this.#link.push(this.#offered.map((hash) => this.#map().get(hash)).filter((record) => record !== undefined).map(envelopeOf))
  }

  async #fetch (listed: readonly string[]): Promise<void> {
    const map = this.#map()
    for (const asked of chunksOf(listed.filter((hash) => !map.knows(hash)), MAX_ASKED_RECORDS)) {
      for (let hashes = asked; hashes.length > 0;) {
        const { records } = await this.#link.ask({ t: 'get', hashes })
        if (records.length === 0) {
          this.#noteAbsent(hashes.length)
          break
        }
        const missing = new Set(hashes)
        for (const bytes of records) if (!missing.delete(hashOf(bytes))) throw this.#wrong('a record that was not asked for')
        this.fetchedCount += records.length
        await this.#store.ingest(await verifiedRecords(map, records))
        hashes = [...missing]
      }
    }
  }

  /** What it replaced in the meantime a member does not have any more; it does not replace everything. */
  #noteAbsent (count: number): void {
    this.#absentCount += count
    if (this.#absentCount > MAX_ABSENT_RECORDS) throw this.#wrong('a list of records that it does not have')
  }

  #map (): NonNullable<RecordStore['cluster']>['map'] {
    const map = this.#store.cluster?.map
    if (map === undefined) throw new HoldfastError('UNAVAILABLE', 'This node has left its cluster')
    return map
  }

  #wrong (what: string): HoldfastError {
    return new HoldfastError('INVALID', `${this.#link.peer} sent ${what}`, { peer: this.#link.peer })
  }
}

function childOf (hashes: Uint8Array, child: number): Uint8Array {
  return hashes.subarray(child * NODE_HASH_BYTES, (child + 1) * NODE_HASH_BYTES)
}

function * chunksOf<T> (values: readonly T[], count: number): Generator<readonly T[]> {
  for (let at = 0; at < values.length; at += count) yield values.slice(at, at + count)
}
