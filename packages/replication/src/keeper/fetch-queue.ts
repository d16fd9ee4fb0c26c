import type { PinKey } from '../map/stored-record.ts'
import { CONCURRENT_FETCHES, CONCURRENT_LOCAL_COPIES, CONCURRENT_SEARCHES, CONCURRENT_SMALL_FETCHES, SMALL_BYTES } from './limits.ts'

/** How urgent a fetch is. */
export interface FetchRank {
  /** This node or another one says to have it. */
  readonly hasSource: boolean
  /** It is here already, as far as is known. */
  readonly isLocal: boolean
  /** Copies that count. */
  readonly copyCount: number
  /** It was tried before, and failed. */
  readonly wasTried: boolean
  /** Bytes of it, as far as others say; 0 when nobody does. */
  readonly toldBytes: number
}

/** More copies than this are as good as this many. */
const MAX_RANKED_COPIES = 3

interface Lane {
  /** The most urgent first; within one, as they came. */
  readonly buckets: ReadonlyArray<Set<PinKey>>
  readonly concurrency: number
  runningCount: number
}

/**
 * Decides which fetch is next: fewest copies first, and what was never tried before what failed.
 *
 * Content that nobody says to have has slots of its own, so that it holds up nothing that can be fetched. So has small content,
 * of which many fetches share what each of them waits for, and what is here already.
 */
export class FetchQueue implements AsyncDisposable {
  readonly #run: (pinKey: PinKey, signal: AbortSignal) => Promise<void>
  readonly #fetches: Lane = newLane(2 * (MAX_RANKED_COPIES + 1), CONCURRENT_FETCHES)
  readonly #smallFetches: Lane = newLane(2 * (MAX_RANKED_COPIES + 1), CONCURRENT_SMALL_FETCHES)
  readonly #localCopies: Lane = newLane(2 * (MAX_RANKED_COPIES + 1), CONCURRENT_LOCAL_COPIES)
  readonly #searches: Lane = newLane(2, CONCURRENT_SEARCHES)
  readonly #bucketByKey = new Map<PinKey, Set<PinKey>>()
  readonly #running = new Map<PinKey, { readonly controller: AbortController, readonly done: Promise<void> }>()
  #isClosed = false

  /** @param run Fetches one. It handles its own failures. */
  constructor (run: (pinKey: PinKey, signal: AbortSignal) => Promise<void>) {
    this.#run = run
  }

  get queuedCount (): number {
    return this.#bucketByKey.size
  }

  get runningCount (): number {
    return this.#running.size
  }

  running (): Iterable<PinKey> {
    return this.#running.keys()
  }

  /** All that wait or run. */
  pinKeys (): PinKey[] {
    return [...this.#bucketByKey.keys(), ...this.#running.keys()]
  }

  isRunning (pinKey: PinKey): boolean {
    return this.#running.has(pinKey)
  }

  isQueued (pinKey: PinKey): boolean {
    return this.#bucketByKey.has(pinKey)
  }

  /** Has it fetched when its turn comes. One that waits gets a new place when it is more or less urgent now; one that runs is left alone. */
  add (pinKey: PinKey, rank: FetchRank): void {
    if (this.#isClosed || this.#running.has(pinKey)) return
    const bucket = this.#bucketOf(rank)
    const known = this.#bucketByKey.get(pinKey)
    if (known === bucket) return
    known?.delete(pinKey)
    this.#bucketByKey.set(pinKey, bucket)
    bucket.add(pinKey)
    this.#pump()
  }

  /** Takes it out when it waits. */
  remove (pinKey: PinKey): void {
    this.#bucketByKey.get(pinKey)?.delete(pinKey)
    this.#bucketByKey.delete(pinKey)
  }

  /** Takes it out, or ends its fetch. */
  cancel (pinKey: PinKey, reason: Error): void {
    this.remove(pinKey)
    this.#running.get(pinKey)?.controller.abort(reason)
  }

  /** Resolves when the fetch that runs has ended. */
  async ended (pinKey: PinKey): Promise<void> {
    await this.#running.get(pinKey)?.done
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#isClosed = true
    this.#bucketByKey.clear()
    for (const { controller } of this.#running.values()) controller.abort(new Error('The keeper closes'))
    await Promise.all([...this.#running.values()].map(async ({ done }) => { await done }))
  }

  #bucketOf (rank: FetchRank): Set<PinKey> {
    const { hasSource, copyCount, wasTried } = rank
    const lane = this.#laneOf(rank)
    const index = hasSource ? 2 * Math.min(copyCount, MAX_RANKED_COPIES) + Number(wasTried) : Number(wasTried)
    return lane.buckets[index] ?? new Set()
  }

  #laneOf ({ hasSource, isLocal, toldBytes }: FetchRank): Lane {
    if (isLocal) return this.#localCopies
    if (!hasSource) return this.#searches
    return toldBytes > 0 && toldBytes <= SMALL_BYTES ? this.#smallFetches : this.#fetches
  }

  #pump (): void {
    for (const lane of [this.#localCopies, this.#fetches, this.#smallFetches, this.#searches]) {
      for (const bucket of lane.buckets) {
        for (const pinKey of bucket) {
          if (this.#isClosed || lane.runningCount >= lane.concurrency) break
          this.#start(pinKey, lane)
        }
      }
    }
  }

  #start (pinKey: PinKey, lane: Lane): void {
    this.remove(pinKey)
    const controller = new AbortController()
    lane.runningCount++
    const done = Promise.resolve().then(async () => { await this.#run(pinKey, controller.signal) }).finally(() => {
      lane.runningCount--
      this.#running.delete(pinKey)
      this.#pump()
    })
    this.#running.set(pinKey, { controller, done })
  }
}

function newLane (bucketCount: number, concurrency: number): Lane {
  return { buckets: Array.from({ length: bucketCount }, () => new Set<PinKey>()), concurrency, runningCount: 0 }
}
