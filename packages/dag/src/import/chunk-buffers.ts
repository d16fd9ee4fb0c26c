/** Bytes kept free in front of a chunk and behind it: what a leaf that is a dag-pb node without attributes has around its content. */
const FRONT_BYTES = 16
const BACK_BYTES = 8

/** Shortest chunk that gets a buffer of its own, in bytes: below, several share what one read brings. */
const MIN_CHUNK_BYTES: number = 64 * 1024

/**
 * Memory for the chunks of one import, used again when what was cut from it is stored.
 *
 * A buffer that is made for each chunk costs half as much as hashing it: the kernel clears its pages, and V8 collects
 * garbage more often. Never holds more buffers than were in use at once.
 */
export class ChunkBuffers {
  /** Bytes of each chunk. */
  readonly chunkBytes: number
  /** Handed out and not given back; whatever is lost on the way is garbage. */
  readonly #lent = new WeakSet<ArrayBufferLike>()
  readonly #free: ArrayBufferLike[] = []

  private constructor (chunkBytes: number) {
    this.chunkBytes = chunkBytes
  }

  /** Returns buffers for chunks of this length, or `undefined` when they are too short for it to pay. */
  static of (chunkBytes: number): ChunkBuffers | undefined {
    return chunkBytes < MIN_CHUNK_BYTES ? undefined : new ChunkBuffers(chunkBytes)
  }

  /** Returns room for one chunk, with any content. */
  take (): Uint8Array {
    const buffer = this.#free.pop() ?? Buffer.allocUnsafeSlow(FRONT_BYTES + this.chunkBytes + BACK_BYTES).buffer
    this.#lent.add(buffer)
    return new Uint8Array(buffer, FRONT_BYTES, this.chunkBytes)
  }

  /** Takes back the memory of a chunk, with or without what was written around it; other bytes are passed over. */
  give ({ buffer, byteOffset, byteLength }: Uint8Array): void {
    const isWhole = byteOffset <= FRONT_BYTES && byteOffset + byteLength >= FRONT_BYTES + this.chunkBytes
    if (isWhole && this.#lent.delete(buffer)) this.#free.push(buffer)
  }

  /** Returns a view that reaches as far before and behind `chunk`; `undefined` when that memory is not a chunk's of here. */
  around ({ buffer, byteOffset, byteLength }: Uint8Array, front: number, back: number): Uint8Array | undefined {
    const isRoomy = this.#lent.has(buffer) && byteOffset === FRONT_BYTES && byteLength === this.chunkBytes && front <= FRONT_BYTES && back <= BACK_BYTES
    return isRoomy ? new Uint8Array(buffer, byteOffset - front, front + byteLength + back) : undefined
  }
}
