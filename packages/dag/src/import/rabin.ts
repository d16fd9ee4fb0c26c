/**
 * Content-defined chunking by Rabin fingerprints.
 *
 * ```
 * digest    the last 16 bytes as a polynomial over GF(2), modulo POLYNOMIAL (degree 53)
 * slide     digest ^= out[oldest byte]; digest = digest << 8 | byte, reduced by mod[its bits above 53]
 * cut       after MIN bytes and more where the low floor(log2(AVG)) bits of the digest are zero, at MAX anyway
 * start     each chunk begins with a window that saw a single byte 1
 * ```
 *
 * The digest lies in two halves of 21 and 32 bits, so that a step is a few operations on small integers.
 *
 * @see M. O. Rabin, "Fingerprinting by Random Polynomials", 1981; boxo chunker, `rabin`
 */
import type { RabinChunking } from '../chunking.ts'
import type { ChunkBoundary } from './chunker.ts'

/** The irreducible polynomial of Kubo and of the reference importer. */
const POLYNOMIAL = 17_437_180_132_763_653n

const DEGREE = 53n

const WINDOW_BYTES = 16

/** The four halves of a step's tables; made when the first file is cut by Rabin. */
interface Tables {
  readonly outHigh: Int32Array
  readonly outLow: Int32Array
  readonly modHigh: Int32Array
  readonly modLow: Int32Array
}

let tables: Tables | undefined

/** Ends chunks where the fingerprint of the last 16 bytes says so. */
export class RabinBoundary implements ChunkBoundary {
  readonly #tables: Tables
  readonly #minBytes: number
  readonly #maxBytes: number
  readonly #mask: number
  readonly #window = new Uint8Array(WINDOW_BYTES)
  #byteLength = 0
  #high = 0
  #low = 0

  constructor ({ minBytes, avgBytes, maxBytes }: RabinChunking) {
    this.#tables = tables ??= makeTables()
    this.#minBytes = minBytes
    this.#maxBytes = maxBytes
    this.#mask = 2 ** Math.floor(Math.log2(avgBytes)) - 1
    this.#reset()
  }

  next (piece: Uint8Array, start: number): number {
    // What has left the window before the shortest chunk is full cannot matter.
    const skipped = Math.min(Math.max(this.#minBytes - WINDOW_BYTES - this.#byteLength, 0), piece.byteLength - start)
    this.#byteLength += skipped
    return this.#roll(piece, start + skipped)
  }

  #roll (piece: Uint8Array, start: number): number {
    const { outHigh, outLow, modHigh, modLow } = this.#tables
    const window = this.#window
    const mask = this.#mask
    const minAt = start + this.#minBytes - this.#byteLength - 1
    const maxAt = start + this.#maxBytes - this.#byteLength - 1
    let slot = this.#slot()
    let high = this.#high
    let low = this.#low
    for (let at = start; at < piece.byteLength; at++) {
      const byte = piece[at] ?? 0
      const oldest = window[slot] ?? 0
      window[slot] = byte
      slot = (slot + 1) & (WINDOW_BYTES - 1)
      high ^= outHigh[oldest] ?? 0
      low ^= outLow[oldest] ?? 0
      const index = high >>> 13
      high = ((high << 8) | (low >>> 24)) ^ (modHigh[index] ?? 0)
      low = ((low << 8) | byte) ^ (modLow[index] ?? 0)
      if (at >= minAt && ((low & mask) === 0 || at >= maxAt)) {
        this.#reset()
        return at + 1
      }
    }
    this.#byteLength += piece.byteLength - start
    this.#high = high
    this.#low = low
    return -1
  }

  /** Where the next byte goes. The window saw a byte of its own at the start and none of those that were skipped. */
  #slot (): number {
    return (1 + this.#byteLength - (this.#minBytes - WINDOW_BYTES)) & (WINDOW_BYTES - 1)
  }

  #reset (): void {
    this.#window.fill(0)
    this.#window[0] = 1
    this.#byteLength = 0
    this.#high = 0
    this.#low = 1
  }
}

function makeTables (): Tables {
  const made = { outHigh: new Int32Array(256), outLow: new Int32Array(256), modHigh: new Int32Array(256), modLow: new Int32Array(256) }
  for (let byte = 0; byte < 256; byte++) {
    // What the byte has become when it leaves the window.
    const out = modulo(BigInt(byte) << BigInt(8 * (WINDOW_BYTES - 1)))
    // Clears the bits above the degree and adds what they are modulo the polynomial.
    const above = BigInt(byte) << DEGREE
    const mod = modulo(above) | above
    made.outHigh[byte] = Number(out >> 32n)
    made.outLow[byte] = Number(BigInt.asIntN(32, out))
    made.modHigh[byte] = Number(mod >> 32n)
    made.modLow[byte] = Number(BigInt.asIntN(32, mod))
  }
  return made
}

function modulo (value: bigint): bigint {
  for (let shift = BigInt(value.toString(2).length - 1) - DEGREE; shift >= 0n; shift--) {
    if (((value >> (shift + DEGREE)) & 1n) === 1n) value ^= POLYNOMIAL << shift
  }
  return value
}
