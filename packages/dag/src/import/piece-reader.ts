/** Takes exact numbers of bytes out of pieces of any length, and lets runs of them be read as a stream. */
export class PieceReader {
  readonly #pieces: AsyncIterator<Uint8Array>
  readonly #cutShort: () => Error
  #piece: Uint8Array = new Uint8Array()
  /** Bytes of the run that nobody has read yet. */
  #left = 0

  /** @param cutShort Makes what is thrown when the pieces end too early. */
  constructor (pieces: AsyncIterable<Uint8Array>, cutShort: () => Error) {
    this.#pieces = pieces[Symbol.asyncIterator]()
    this.#cutShort = cutShort
  }

  /** The next bytes, as one copy. The caller bounds them. */
  async take (byteLength: number): Promise<Buffer> {
    const parts: Uint8Array[] = []
    for (let missing = byteLength; missing > 0;) {
      const part = await this.#some(missing)
      parts.push(part)
      missing -= part.byteLength
    }
    return Buffer.concat(parts)
  }

  async skip (byteLength: number): Promise<void> {
    for (let left = byteLength; left > 0;) left -= (await this.#some(left)).byteLength
  }

  /** The next bytes as a stream of views. */
  stream (byteLength: number): AsyncIterable<Uint8Array> {
    this.#left = byteLength
    return this.#run()
  }

  /** Passes over what is left of the stream. */
  async leave (): Promise<void> {
    await this.skip(this.#left)
    this.#left = 0
  }

  async * #run (): AsyncGenerator<Uint8Array> {
    while (this.#left > 0) {
      const part = await this.#some(this.#left)
      this.#left -= part.byteLength
      yield part
    }
  }

  async #some (atMost: number): Promise<Uint8Array> {
    while (this.#piece.byteLength === 0) {
      const next = await this.#pieces.next()
      if (next.done === true) throw this.#cutShort()
      this.#piece = next.value
    }
    const part = this.#piece.subarray(0, atMost)
    this.#piece = this.#piece.subarray(part.byteLength)
    return part
  }
}
