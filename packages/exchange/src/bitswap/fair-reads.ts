/**
 * Whose block is read next: deficit round robin over bytes (Shreedhar and Varghese, 1995).
 *
 * A peer that wants large blocks gets no more bytes than one that wants small ones, and one that wants
 * a thousand does not go before one that wants one.
 */

/** Bytes that a peer may read each round: about one leaf of 256 KiB. */
export const QUANTUM_BYTES: number = 256 * 1024

/** Bytes that may be read or on their way to one peer (boxo: MaxOutstandingBytesPerPeer); one block more is always possible. */
export const MAX_OUTSTANDING_BYTES: number = 1024 * 1024

/** Bytes that may be read or on their way to all peers: 128 that take all they may. */
export const MAX_TOTAL_OUTSTANDING_BYTES: number = 128 * 1024 * 1024

/** Blocks that are read at the same time; the disk gains nothing from more. */
export const MAX_CONCURRENT_READS = 32

/** What a block is taken for before the peer got one. */
const FIRST_EXPECTED_BYTES: number = 256 * 1024

/** The part of the line that belongs to one peer. */
export interface Reader<T> {
  /** Blocks to read, the next one first. */
  readonly queue: T[]
  /** Bytes read and not yet written to the peer, and what is expected of the reads under way. */
  outstandingBytes: number
  /** Bytes that this peer may still read in this round; below zero when a block was longer than expected. */
  deficitBytes: number
  /** Moving average of the length of its blocks. */
  expectedBytes: number
}

export function createReader<T> (): Reader<T> {
  return { queue: [], outstandingBytes: 0, deficitBytes: 0, expectedBytes: FIRST_EXPECTED_BYTES }
}

export interface FairReadsOptions<T> {
  /** Must not reject; answers how many bytes it read, which stay outstanding until `release`. */
  readonly read: (reader: Reader<T>, want: T) => Promise<number>
  /** Called when peers wait although nothing but the bytes outstanding to others keeps them. */
  readonly onFull: () => void
}

/** Starts reads in turn, within the bounds above. */
export class FairReads<T> {
  readonly #options: FairReadsOptions<T>
  /** Peers with something to read, the next one first. */
  readonly #ring = new Set<Reader<T>>()
  #readCount = 0
  #outstandingBytes = 0

  constructor (options: FairReadsOptions<T>) {
    this.#options = options
  }

  get outstandingBytes (): number {
    return this.#outstandingBytes
  }

  push (reader: Reader<T>, wants: readonly T[]): void {
    for (const want of wants) reader.queue.push(want)
    this.#join(reader)
    this.#pump()
  }

  /** The peer is gone: nothing more is read for it. */
  remove (reader: Reader<T>): void {
    reader.queue.length = 0
    this.#ring.delete(reader)
  }

  /** Bytes that were read left this process, or were dropped. */
  release (reader: Reader<T>, byteLength: number): void {
    this.#hold(reader, -byteLength)
    this.#join(reader)
    this.#pump()
  }

  #join (reader: Reader<T>): void {
    if (reader.queue.length > 0 && reader.outstandingBytes < MAX_OUTSTANDING_BYTES) this.#ring.add(reader)
  }

  #pump (): void {
    while (this.#readCount < MAX_CONCURRENT_READS) {
      if (this.#outstandingBytes >= MAX_TOTAL_OUTSTANDING_BYTES) {
        if (this.#ring.size > 0) this.#options.onFull()
        return
      }
      const reader = this.#ring.values().next().value
      if (reader === undefined) return
      if (reader.deficitBytes <= 0) {
        reader.deficitBytes += QUANTUM_BYTES
        this.#ring.delete(reader)
        this.#ring.add(reader)
        continue
      }
      const want = reader.queue.shift()
      if (want !== undefined) void this.#run(reader, want)
      if (reader.queue.length === 0) reader.deficitBytes = Math.min(reader.deficitBytes, 0)
      if (reader.queue.length === 0 || reader.outstandingBytes >= MAX_OUTSTANDING_BYTES) this.#ring.delete(reader)
    }
  }

  async #run (reader: Reader<T>, want: T): Promise<void> {
    const { expectedBytes } = reader
    this.#readCount++
    this.#hold(reader, expectedBytes)
    reader.deficitBytes -= expectedBytes
    const byteLength = await this.#options.read(reader, want)
    this.#readCount--
    this.#hold(reader, byteLength - expectedBytes)
    reader.deficitBytes += expectedBytes - byteLength
    if (byteLength > 0) reader.expectedBytes = Math.round((reader.expectedBytes * 3 + byteLength) / 4)
    this.#join(reader)
    this.#pump()
  }

  #hold (reader: Reader<T>, byteLength: number): void {
    reader.outstandingBytes += byteLength
    this.#outstandingBytes += byteLength
  }
}
