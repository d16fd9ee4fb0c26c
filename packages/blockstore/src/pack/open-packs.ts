import { explained, unlessAbsent } from '../fs/fs-errors.ts'
import { Semaphore } from '../fs/concurrency.ts'
import type { Location } from './location.ts'
import { MAX_PACK_NUMBER } from './pack-format.ts'
import { packName } from './pack-names.ts'
import type { PackOperations } from './pack-operations.ts'

/** Packs kept open for reading: 32 GiB at 256 MiB each, and an eighth of what a process may have open on most systems. */
export const MAX_OPEN_PACKS = 128

/** Reads that run at once; with blocks of 2 MiB they hold 64 MiB. */
export const MAX_READS_IN_FLIGHT = 32

/**
 * Longest block that is read in place, in bytes.
 *
 * Measured: a thread's round trip costs 10 µs and more, reading 4 KiB from memory 2 µs, 16 KiB 4 µs.
 */
export const MAX_READ_NOW_BYTES: number = 16 * 1024

/** A read in place that takes longer came from the disk, in milliseconds; or another process had the core. */
const SLOW_READ_MS = 0.5

/** Fast reads that make up for a slow one: a disk is slow again before that, a busy machine is not. */
const FAST_READS_PER_SLOW = 16

/** How long threads do the reading after a slow one, in milliseconds; doubled each time up to the longest. */
const BACK_OFF_MS = 20
const MAX_BACK_OFF_MS = 2000

interface OpenPack {
  readonly fd: number
  users: number
  isDropped: boolean
}

/**
 * Reads blocks at known places, through files that stay open.
 *
 * Small blocks are read in place while the medium answers at once. Two slow answers hand reading to threads for a while,
 * so that the event loop waits for a disk at most twice in that while.
 */
export class OpenPacks implements AsyncDisposable {
  readonly #operations: PackOperations
  readonly #pathOf: (name: string) => string
  /** From the one used longest ago to the latest. */
  readonly #open = new Map<number, OpenPack>()
  readonly #opening = new Map<number, Promise<OpenPack | undefined>>()
  readonly #reads = new Semaphore(MAX_READS_IN_FLIGHT)
  #latest: { number: number, pack: OpenPack } | undefined
  #backOffMs = BACK_OFF_MS
  #threadsUntil = 0
  /** Slow reads that were not made up for. */
  #slowness = 0

  constructor (operations: PackOperations, pathOf: (name: string) => string) {
    this.#operations = operations
    this.#pathOf = pathOf
  }

  /** The bytes at `place`, if they can be had at once. May be fewer when the pack ends before. */
  readNow ({ pack: number, offset, byteLength }: Location): Uint8Array | undefined {
    if (byteLength > MAX_READ_NOW_BYTES) return undefined
    const pack = this.#openPack(number)
    const begin = performance.now()
    if (pack === undefined || begin < this.#threadsUntil) return undefined
    const bytes = new Uint8Array(byteLength)
    let count: number
    try {
      count = this.#operations.readNow(pack.fd, bytes, offset)
    } catch {
      return undefined // The caller reads in the other way, and is told there.
    }
    const took = performance.now() - begin
    if (took > SLOW_READ_MS && ++this.#slowness > 1) {
      this.#slowness = 1
      this.#threadsUntil = begin + took + this.#backOffMs
      this.#backOffMs = Math.min(2 * this.#backOffMs, MAX_BACK_OFF_MS)
    } else if (took <= SLOW_READ_MS) {
      if (this.#slowness > 0) this.#slowness = Math.max(0, this.#slowness - 1 / FAST_READS_PER_SLOW)
      if (this.#backOffMs > BACK_OFF_MS) this.#backOffMs = Math.max(BACK_OFF_MS, this.#backOffMs * FORGIVENESS)
    }
    return count === byteLength ? bytes : bytes.subarray(0, count)
  }

  /**
   * The bytes at `place`, fewer when the pack ends before; `undefined` when there is no such pack.
   *
   * @param into Memory to read into, where it is long enough.
   * @throws `UNAVAILABLE` when the medium failed.
   */
  async read (place: Pick<Location, 'pack' | 'offset' | 'byteLength'>, signal?: AbortSignal, into?: Uint8Array): Promise<Uint8Array | undefined> {
    return await explained(`Pack ${place.pack} could not be read`, this.#read(place, signal, into))
  }

  /** Closes a pack that goes; reads that run still end. */
  async drop (number: number): Promise<void> {
    await this.#opening.get(number)?.catch(() => {})
    const pack = this.#open.get(number)
    this.#open.delete(number)
    if (this.#latest?.number === number) this.#latest = undefined
    if (pack !== undefined) await this.#retire(pack)
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    for (const number of [...this.#open.keys(), ...this.#opening.keys()]) await this.drop(number)
  }

  async #read ({ pack: number, offset, byteLength }: Pick<Location, 'pack' | 'offset' | 'byteLength'>, signal: AbortSignal | undefined, into?: Uint8Array): Promise<Uint8Array | undefined> {
    return await this.#reads.run(async () => {
      const pack = await this.#acquire(number)
      if (pack === undefined) return undefined
      try {
        const bytes = into !== undefined && into.byteLength >= byteLength ? into.subarray(0, byteLength) : Buffer.allocUnsafeSlow(byteLength)
        let at = 0
        while (at < byteLength) {
          const count = await this.#operations.read(pack.fd, bytes.subarray(at), offset + at)
          if (count === 0) break
          at += count
        }
        return bytes.subarray(0, at)
      } finally {
        await this.#release(pack)
      }
    }, signal)
  }

  #openPack (number: number): OpenPack | undefined {
    if (this.#latest?.number === number) return this.#latest.pack
    const pack = this.#open.get(number)
    if (pack === undefined) return undefined
    this.#open.delete(number)
    this.#open.set(number, pack)
    this.#latest = { number, pack }
    return pack
  }

  async #acquire (number: number): Promise<OpenPack | undefined> {
    let pack = this.#openPack(number)
    if (pack === undefined) {
      const opening = this.#opening.get(number) ?? this.#begin(number)
      pack = await opening
    }
    if (pack !== undefined) pack.users++
    return pack
  }

  #begin (number: number): Promise<OpenPack | undefined> {
    const opening = this.#openFile(number).finally(() => { this.#opening.delete(number) })
    this.#opening.set(number, opening)
    return opening
  }

  async #openFile (number: number): Promise<OpenPack | undefined> {
    if (number < 1 || number > MAX_PACK_NUMBER) return undefined // Of an entry that is damaged.
    const fd = await unlessAbsent(this.#operations.open(this.#pathOf(packName(number)), 'r'))
    if (fd === undefined) return undefined
    const pack = { fd, users: 0, isDropped: false }
    this.#open.set(number, pack)
    for (const [oldest, { users }] of this.#open) {
      if (this.#open.size <= MAX_OPEN_PACKS) break
      if (users === 0 && oldest !== number) await this.drop(oldest)
    }
    return pack
  }

  async #release (pack: OpenPack): Promise<void> {
    pack.users--
    if (pack.isDropped && pack.users === 0) await this.#close(pack)
  }

  async #retire (pack: OpenPack): Promise<void> {
    pack.isDropped = true
    if (pack.users === 0) await this.#close(pack)
  }

  /** Nothing was written through it, so a close that fails loses nothing. */
  async #close (pack: OpenPack): Promise<void> {
    await this.#operations.close(pack.fd).catch(() => {})
  }
}

/** What a fast read leaves of the back-off. */
const FORGIVENESS = 0.99
