import { type AbortOptions, unlessAborted } from '@holdfast/core'

/**
 * Hands out the bytes of a stream in the portions that a parser asks for.
 *
 * Holds the piece that the stream yielded last and the portion being put together, nothing else, however
 * small the pieces are. Portions are views of the pieces where they fit into one, so a stream must not
 * reuse what it has yielded.
 */
export class ByteSource {
  readonly #pieces: AsyncIterator<Uint8Array>
  readonly #signal: AbortSignal | undefined
  #piece: Uint8Array = new Uint8Array()
  #position = 0
  #end = Infinity
  #isPulling = false

  constructor (stream: AsyncIterable<Uint8Array>, { signal }: AbortOptions = {}) {
    this.#pieces = stream[Symbol.asyncIterator]()
    this.#signal = signal
  }

  /** Bytes handed out or skipped so far. */
  get position (): number {
    return this.#position
  }

  /** Whether the position given to `endAt` was not reached: a stream that ends here is cut short. */
  get isBeforeEnd (): boolean {
    return this.#end !== Infinity && this.#position < this.#end
  }

  /** Hands out nothing at or after `position` from now on. */
  endAt (position: number): void {
    this.#end = position
  }

  /** The next byte, or `undefined` at the end. */
  async takeByte (): Promise<number | undefined> {
    if (this.#position === this.#end) return undefined
    if (this.#piece.byteLength === 0 && !await this.#pull()) return undefined
    return this.#consume(1)[0]
  }

  /** The next `byteLength` bytes, or `undefined` when there are fewer; the caller has checked that it wants so many. */
  async take (byteLength: number): Promise<Uint8Array | undefined> {
    if (this.#position + byteLength > this.#end) return undefined
    if (this.#piece.byteLength >= byteLength) return this.#consume(byteLength)

    // Filled as a whole before it is handed out.
    const { buffer } = Buffer.allocUnsafeSlow(byteLength)
    const bytes = new Uint8Array(buffer)
    for (let at = 0; at < byteLength;) {
      if (this.#piece.byteLength === 0 && !await this.#pull()) return undefined
      const part = this.#consume(Math.min(byteLength - at, this.#piece.byteLength))
      bytes.set(part, at)
      at += part.byteLength
    }
    return bytes
  }

  /** Passes over `byteLength` bytes and reports whether there were so many. */
  async skip (byteLength: number): Promise<boolean> {
    for (let remaining = byteLength; remaining > 0;) {
      if (this.#piece.byteLength === 0 && !await this.#pull()) return false
      remaining -= this.#consume(Math.min(remaining, this.#piece.byteLength)).byteLength
    }
    return true
  }

  /** Tells the stream that no more is wanted. */
  async close (): Promise<void> {
    const closing = this.#pieces.return?.()
    // A stream that hangs would let nobody go who gave up on it.
    if (this.#isPulling) closing?.catch(() => {})
    else await closing
  }

  #consume (byteLength: number): Uint8Array {
    const bytes = this.#piece.subarray(0, byteLength)
    this.#piece = this.#piece.subarray(byteLength)
    this.#position += byteLength
    return bytes
  }

  /** Gets the next piece that is not empty; `false` when there is none. */
  async #pull (): Promise<boolean> {
    for (;;) {
      this.#signal?.throwIfAborted()
      this.#isPulling = true
      const next = await unlessAborted(this.#pieces.next(), this.#signal)
      this.#isPulling = false
      if (next.done === true) return false
      if (next.value.byteLength === 0) continue
      this.#piece = next.value
      return true
    }
  }
}
