/** Pieces below this are copied together while they wait: each alone costs some 150 bytes of heap, and holds the larger buffer it was cut from. */
const COPY_BELOW_BYTES = 4 << 10

/** How much is copied into one piece. */
const PIECE_BYTES = 16 << 10

/** Bytes in order, without copying, unless they come in crumbs: a peer chooses how it cuts, not how much memory that takes. */
export class ByteQueue {
  #pieces: Uint8Array[] = []
  #crumbs: Buffer | undefined
  #crumbBytes = 0
  #byteLength = 0

  get byteLength (): number {
    return this.#byteLength
  }

  push (bytes: Uint8Array): void {
    const isFirst = this.#byteLength === 0
    this.#byteLength += bytes.byteLength
    if (isFirst || bytes.byteLength >= COPY_BELOW_BYTES) {
      this.#closeCrumbs()
      this.#pieces.push(bytes)
      return
    }
    if (this.#crumbBytes + bytes.byteLength > PIECE_BYTES) this.#closeCrumbs()
    this.#crumbs ??= Buffer.allocUnsafeSlow(PIECE_BYTES)
    this.#crumbs.set(bytes, this.#crumbBytes)
    this.#crumbBytes += bytes.byteLength
  }

  /** The next piece, or `undefined` when nothing waits. */
  shift (): Uint8Array | undefined {
    if (this.#pieces.length === 0) this.#closeCrumbs()
    const piece = this.#pieces.shift()
    this.#byteLength -= piece?.byteLength ?? 0
    return piece
  }

  clear (): void {
    this.#pieces = []
    this.#crumbs = undefined
    this.#crumbBytes = 0
    this.#byteLength = 0
  }

  #closeCrumbs (): void {
    if (this.#crumbs !== undefined) this.#pieces.push(new Uint8Array(this.#crumbs.buffer, 0, this.#crumbBytes))
    this.#crumbs = undefined
    this.#crumbBytes = 0
  }
}
