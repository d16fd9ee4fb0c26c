import { xsalsa20 } from '@noble/ciphers/salsa.js'

/** Bytes of one block of Salsa20. */
const BLOCK_BYTES = 64

/** One direction of a link in a private network: XSalsa20 over all of its bytes, in the pieces in which they come. */
export class KeyStream {
  readonly #key: Uint8Array
  readonly #nonce: Uint8Array
  #byteCount = 0

  constructor (key: Uint8Array, nonce: Uint8Array) {
    this.#key = key
    // Its words are read in place where it is aligned.
    this.#nonce = Uint8Array.from(nonce)
  }

  /**
   * Encrypts or decrypts the next bytes.
   *
   * @throws after 256 GiB, where the library's counter of blocks ends; the link ends there too.
   */
  xor (bytes: Uint8Array): Uint8Array {
    // The cipher starts at blocks only: what the last piece used of one is gone through again.
    const skipped = this.#byteCount % BLOCK_BYTES
    const padded = new Uint8Array(skipped + bytes.byteLength)
    padded.set(bytes, skipped)
    xsalsa20(this.#key, this.#nonce, padded, padded, (this.#byteCount - skipped) / BLOCK_BYTES)
    this.#byteCount += bytes.byteLength
    return padded.subarray(skipped)
  }
}
