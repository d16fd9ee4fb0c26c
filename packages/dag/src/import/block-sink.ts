import type { BlockWriter } from '@holdfast/blockstore'
import { type AbortOptions, type Block, HoldfastError } from '@holdfast/core'
import { ChunkBuffers } from './chunk-buffers.ts'

/**
 * Bytes that make a batch full.
 *
 * Large enough to share the cost of making it durable, small enough that a few fit in flight
 * (chosen: bench/add, no gain above 8 MiB on blocks of 1 MiB).
 */
export const BATCH_BYTES: number = 8 * 1024 * 1024

/** Blocks that make a batch full, so that small files do not wait for 8 MiB of themselves. */
export const BATCH_BLOCKS = 256

/** Batches that may be on their way to the store at once: what is hashed next overlaps them. */
export const BATCHES_IN_FLIGHT = 3

export interface BlockSinkOptions extends AbortOptions {
  /** Bytes of every chunk of a file but the last, when they all have as many. */
  chunkBytes?: number | undefined
}

/**
 * Collects the blocks of one import into batches and writes them, a few batches at a time.
 *
 * Holds at most `BATCHES_IN_FLIGHT + 1` batches in memory: `add` waits when the store is slower.
 * The first failure of the store ends everything: it rejects the next `add` and `flush`.
 */
export class BlockSink {
  readonly #writer: BlockWriter
  readonly #signal: AbortSignal | undefined
  /** Memory for chunks, when the writer lets it be used again. */
  readonly buffers: ChunkBuffers | undefined
  readonly #inFlight = new Set<Promise<void>>()
  #batch: Block[] = []
  #batchBytes = 0
  #failure: { readonly reason: unknown } | undefined
  #blockCount = 0

  constructor (writer: BlockWriter, { signal, chunkBytes }: BlockSinkOptions = {}) {
    this.#writer = writer
    this.buffers = chunkBytes === undefined || writer.releasesBytes !== true ? undefined : ChunkBuffers.of(chunkBytes)
    this.#signal = signal
  }

  /** Blocks handed over so far, repeats included. */
  get blockCount (): number {
    return this.#blockCount
  }

  /** Takes one block. Resolves when there is room for the next, which is before the block is durable. */
  async add (block: Block): Promise<void> {
    this.#throwIfFailed()
    this.#blockCount++
    this.#batch.push(block)
    this.#batchBytes += block.bytes.byteLength
    if (this.#batchBytes >= BATCH_BYTES || this.#batch.length >= BATCH_BLOCKS) await this.#send()
  }

  /** Resolves when every block that was added is as durable as the store makes it. */
  async flush (): Promise<void> {
    if (this.#batch.length > 0) await this.#send()
    await Promise.all(this.#inFlight)
    this.#throwIfFailed()
  }

  /** Waits for the writes that are under way, whatever becomes of them, so that nothing runs on after a failure. */
  async settle (): Promise<void> {
    this.#failure ??= { reason: new HoldfastError('UNAVAILABLE', 'The import has ended') }
    await Promise.all(this.#inFlight)
  }

  async #send (): Promise<void> {
    const batch = this.#batch
    this.#batch = []
    this.#batchBytes = 0
    while (this.#inFlight.size >= BATCHES_IN_FLIGHT) await Promise.race(this.#inFlight)
    this.#throwIfFailed()
    const write = this.#writer.putMany(batch, { signal: this.#signal })
      .then(() => { for (const { bytes } of batch) this.buffers?.give(bytes) })
      .catch((reason: unknown) => { this.#failure ??= { reason } })
      .finally(() => { this.#inFlight.delete(write) })
    this.#inFlight.add(write)
  }

  #throwIfFailed (): void {
    this.#signal?.throwIfAborted()
    if (this.#failure !== undefined) throw this.#failure.reason
  }
}
