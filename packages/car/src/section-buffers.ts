/** Shortest section that gets memory which is used again, in bytes: what is shorter costs V8 little. */
const MIN_SECTION_BYTES: number = 32 * 1024

/** Room in a buffer beside a block of a power of two, for its CID. */
const CID_BYTES = 1024

/**
 * Memory for the sections of an archive, used again when whoever stored a block gives its bytes back.
 *
 * Memory of its own for each block of a long archive costs more than hashing it: V8 collects garbage for every few of them. (Measured,
 * with 512 MiB in blocks of 1 MiB: 2.9 s of processor time of 5.) Never holds more than was in use at once.
 */
export class SectionBuffers {
  /** Handed out and not given back; whatever is lost on the way is garbage. */
  readonly #lent = new WeakSet<ArrayBufferLike>()
  /** By their length. */
  readonly #free = new Map<number, ArrayBufferLike[]>()

  /** Returns room for so many bytes, with any content. */
  take (byteLength: number): Uint8Array {
    if (byteLength < MIN_SECTION_BYTES) return new Uint8Array(Buffer.allocUnsafeSlow(byteLength).buffer)
    const capacity = capacityFor(byteLength)
    const buffer = this.#free.get(capacity)?.pop() ?? Buffer.allocUnsafeSlow(capacity).buffer
    this.#lent.add(buffer)
    return new Uint8Array(buffer, 0, byteLength)
  }

  /** Takes back the memory in which a block lies; that of others is passed over. */
  give ({ buffer }: Uint8Array): void {
    if (!this.#lent.delete(buffer)) return
    const free = this.#free.get(buffer.byteLength) ?? []
    free.push(buffer)
    this.#free.set(buffer.byteLength, free)
  }
}

/** Sections of about one length share a capacity: a power of two for the block, and room for its CID. */
function capacityFor (byteLength: number): number {
  return 2 ** Math.ceil(Math.log2(byteLength - CID_BYTES)) + CID_BYTES
}
