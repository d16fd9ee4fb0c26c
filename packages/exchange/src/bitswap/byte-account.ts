import { HoldfastError } from '@holdfast/core'

/** Counts bytes that are held, up to a bound; several accounts may share one above them. */
export class ByteAccount {
  readonly #name: string
  readonly #maxBytes: number
  readonly #parent: ByteAccount | undefined
  #heldBytes = 0

  constructor (name: string, maxBytes: number, parent?: ByteAccount) {
    this.#name = name
    this.#maxBytes = maxBytes
    this.#parent = parent
  }

  get heldBytes (): number {
    return this.#heldBytes
  }

  /** @throws `LIMIT` when the bytes do not fit here or above; nothing is counted then. */
  add (byteLength: number): void {
    if (this.#heldBytes + byteLength > this.#maxBytes) {
      throw new HoldfastError('LIMIT', `${this.#name} would hold more than ${this.#maxBytes} bytes`, { heldBytes: this.#heldBytes, byteLength })
    }
    this.#parent?.add(byteLength)
    this.#heldBytes += byteLength
  }

  subtract (byteLength: number): void {
    this.#heldBytes -= byteLength
    this.#parent?.subtract(byteLength)
  }
}
