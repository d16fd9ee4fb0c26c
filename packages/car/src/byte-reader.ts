import { type AbortOptions, HoldfastError } from '@holdfast/core'

/** Bytes of the longest varint that is read: 35 bits, far above any length that is allowed. */
const MAX_VARINT_BYTES = 5

/** Reads a stream piece by piece and knows where it is; holds what was asked for and the rest of one piece. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>
  readonly #signal: AbortSignal | undefined
  #rest: Uint8Array = new Uint8Array()
  #offset = 0

  constructor (source: AsyncIterable<Uint8Array>, { signal }: AbortOptions = {}) {
    this.#source = source[Symbol.asyncIterator]()
    this.#signal = signal
  }

  /** Bytes taken so far. */
  get offset (): number {
    return this.#offset
  }

  /** Reports whether the stream is at its end. */
  async isDone (): Promise<boolean> {
    while (this.#rest.byteLength === 0) {
      if (!await this.#more()) return true
    }
    return false
  }

  /** Takes exactly `byteLength` bytes; a view when they lie in one piece. @throws `INVALID` when the stream ends before. */
  async take (byteLength: number, what: string): Promise<Uint8Array> {
    if (this.#rest.byteLength >= byteLength) return this.#cut(byteLength)
    const parts: Uint8Array[] = []
    for (let missing = byteLength; missing > 0;) {
      if (this.#rest.byteLength === 0 && !await this.#more()) throw this.malformed(`it ends inside ${what}`)
      const part = this.#cut(Math.min(missing, this.#rest.byteLength))
      parts.push(part)
      missing -= part.byteLength
    }
    const out = Buffer.concat(parts)
    return new Uint8Array(out.buffer, out.byteOffset, out.byteLength)
  }

  /** Passes over `byteLength` bytes without keeping them. @throws `INVALID` when the stream ends before. */
  async skip (byteLength: number, what: string): Promise<void> {
    for (let missing = byteLength; missing > 0;) {
      if (this.#rest.byteLength === 0 && !await this.#more()) throw this.malformed(`it ends inside ${what}`)
      missing -= this.#cut(Math.min(missing, this.#rest.byteLength)).byteLength
    }
  }

  /** Reads an unsigned varint in its shortest form. @throws `INVALID` for any other form. */
  async varint (what: string): Promise<number> {
    let value = 0
    for (let index = 0; index < MAX_VARINT_BYTES; index++) {
      const [byte = 0] = await this.take(1, what)
      value += (byte & 0x7f) * 2 ** (7 * index)
      if (byte >= 0x80) continue
      if (byte === 0 && index > 0) throw this.malformed(`${what} is a varint that is longer than it needs to be`)
      return value
    }
    throw this.malformed(`${what} is a varint of more than ${MAX_VARINT_BYTES} bytes`)
  }

  /** Lets go of the source. */
  async close (): Promise<void> {
    await this.#source.return?.()
  }

  /** The error of an archive that is no CAR, with the place. */
  malformed (why: string, details: Readonly<Record<string, unknown>> = {}): HoldfastError {
    return new HoldfastError('INVALID', `Not a CAR archive: ${why}, at byte ${this.#offset}`, { byteOffset: this.#offset, ...details })
  }

  #cut (byteLength: number): Uint8Array {
    const part = this.#rest.subarray(0, byteLength)
    this.#rest = this.#rest.subarray(byteLength)
    this.#offset += byteLength
    return part
  }

  async #more (): Promise<boolean> {
    this.#signal?.throwIfAborted()
    const next = await this.#source.next()
    if (next.done === true) return false
    this.#rest = next.value
    return true
  }
}
