import type { AbortOptions } from '@holdfast/core'
import { HoldfastError } from '@holdfast/core/errors'
import { hash } from 'node:crypto'
import { type FileHandle, open } from 'node:fs/promises'

/** Bytes of a file of this machine that are those of a block. */
export interface BlockPlace {
  readonly path: string
  readonly offset: number
  readonly byteLength: number
}

/** A block of which content is wanted, where it lies, and how to tell that it still does; plain values, so that it can travel. */
export interface PlacedBlock extends BlockPlace {
  /** SHA-256 of the block, in base64. */
  readonly sha256: string
  /** What stands before and behind the content in the block, in base64. */
  readonly head: string
  readonly tail: string
  /** The part of the content that is wanted. */
  readonly from: number
  readonly to: number
}

/** Most blocks that are read ahead of the one that is given out: with blocks of 1 MiB, 4 MiB; with the longest, 8 MiB. */
export const PLACED_BLOCKS_AHEAD = 3

/** Blocks that are read ahead at first, and for a reader that never waits for one: a slow one holds two blocks. */
const FIRST_BLOCKS_AHEAD = 1

/** Longest block, as in core, which a client command does not load. */
const MAX_BLOCK_BYTES: number = 2 * 1024 * 1024

/** Packs that stay open; content that was added at once lies in few. */
const MAX_OPEN_FILES = 8

/**
 * Reads content from where somebody says that it lies, and gives out only what matches the digest.
 *
 * Buffers are used again: at this speed a quarter of the time would go into new memory (measured with 1 GiB: 0.97 s of processor
 * time with a buffer each, 0.77 s with four that take turns).
 */
export class PlacedContent implements AsyncDisposable {
  /** From the one opened first. */
  readonly #files = new Map<string, Promise<FileHandle>>()
  readonly #buffers: Buffer[] = []
  #blocksAhead = FIRST_BLOCKS_AHEAD

  /**
   * Yields the content of the blocks in order; each piece is valid until the next is asked for.
   *
   * @throws `NOT_FOUND` when a block is not where it was, or not what it was: its bytes must be asked for.
   */
  async * read (blocks: Iterable<PlacedBlock> | AsyncIterable<PlacedBlock>, { signal }: AbortOptions = {}): AsyncIterable<Uint8Array> {
    const reading: Reading[] = []
    try {
      for await (const block of blocks) {
        signal?.throwIfAborted()
        reading.push(this.#start(block))
        if (reading.length > this.#blocksAhead) yield * this.#take(reading)
      }
      while (reading.length > 0) {
        signal?.throwIfAborted()
        yield * this.#take(reading)
      }
    } finally {
      // A buffer that is still written to goes with its read, and not to another one.
      await Promise.allSettled(reading.map(({ bytes }) => bytes))
    }
  }

  async * #take (reading: Reading[]): AsyncIterable<Uint8Array> {
    const next = reading.shift()
    if (next === undefined) return
    if (!next.isRead) this.#blocksAhead = Math.min(this.#blocksAhead + 1, PLACED_BLOCKS_AHEAD)
    const buffer = await next.bytes
    yield contentOf(next.block, buffer)
    this.#buffers.push(buffer)
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    for (const path of this.#files.keys()) await SHARED.release(path)
    this.#files.clear()
  }

  /** Whoever takes the block hears of a failure; nobody may ever take it. */
  #start (block: PlacedBlock): Reading {
    const reading: Reading = { block, bytes: this.#read(block), isRead: false }
    reading.bytes.then(() => { reading.isRead = true }, () => {})
    return reading
  }

  async #read ({ path, offset, byteLength }: BlockPlace): Promise<Buffer> {
    if (byteLength > MAX_BLOCK_BYTES) throw new HoldfastError('INVALID', `A block of ${byteLength} bytes is named, where ${MAX_BLOCK_BYTES} is the most; is the daemon of another version?`)
    const spare = this.#buffers.pop()
    const buffer = spare !== undefined && spare.byteLength >= byteLength ? spare : Buffer.allocUnsafeSlow(byteLength)
    const file = await this.#open(path)
    for (let at = 0; at < byteLength;) {
      const { bytesRead } = await file.read(buffer, at, byteLength - at, offset + at)
      if (bytesRead === 0) throw elsewhere(path)
      at += bytesRead
    }
    return buffer
  }

  async #open (path: string): Promise<FileHandle> {
    const known = this.#files.get(path)
    if (known !== undefined) return await known
    const opening = SHARED.acquire(path)
    this.#files.set(path, opening)
    if (this.#files.size > MAX_OPEN_FILES) await this.#releaseOldest()
    return await opening
  }

  /** Its reads have long ended: blocks in as many other files were asked for since. */
  async #releaseOldest (): Promise<void> {
    const [oldest] = this.#files.keys()
    if (oldest === undefined) return
    this.#files.delete(oldest)
    await SHARED.release(oldest)
  }
}

/** Files that are open for reading, once for all that read them: a thousand readers of one pack take one descriptor. */
class SharedFiles {
  readonly #open = new Map<string, { readonly handle: Promise<FileHandle>, users: number }>()

  acquire (path: string): Promise<FileHandle> {
    const file = this.#open.get(path) ?? { handle: open(path, 'r'), users: 0 }
    file.users++
    this.#open.set(path, file)
    return file.handle
  }

  /** Closes the file when nobody else has it; nothing was written, so a close that fails loses nothing. */
  async release (path: string): Promise<void> {
    const file = this.#open.get(path)
    if (file === undefined || --file.users > 0) return
    this.#open.delete(path)
    await file.handle.then(async (handle) => { await handle.close() }).catch(() => {})
  }
}

const SHARED = new SharedFiles()

interface Reading {
  readonly block: PlacedBlock
  readonly bytes: Promise<Buffer>
  isRead: boolean
}

function contentOf ({ path, byteLength, sha256, head, tail, from, to }: PlacedBlock, buffer: Buffer): Uint8Array {
  const block = buffer.subarray(0, byteLength)
  if (hash('sha256', block, 'base64') !== sha256) throw elsewhere(path)
  const before = Buffer.from(head, 'base64')
  const behind = Buffer.from(tail, 'base64')
  const content = block.subarray(before.byteLength, byteLength - behind.byteLength)
  if (!block.subarray(0, before.byteLength).equals(before) || !block.subarray(byteLength - behind.byteLength).equals(behind) || from > to || to > content.byteLength) throw elsewhere(path)
  // No Buffer: its slice() would share what a Uint8Array's copies.
  return new Uint8Array(content.buffer, content.byteOffset + from, to - from)
}

function elsewhere (path: string): HoldfastError {
  return new HoldfastError('NOT_FOUND', `A block is no longer in ${path}`, { path })
}
