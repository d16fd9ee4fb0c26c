import { type Cipheriv, createCipheriv, createHash, randomInt } from 'node:crypto'

/** The seed of this run: `$SEED` to run one again, else a new one. */
export const SEED: string = process.env.SEED ?? String(randomInt(2 ** 32))

/** Chance that a seed decides: the ChaCha20 key stream under the seed's SHA-256. */
export class SeededRandom {
  readonly #stream: Cipheriv

  /** @param parts What the seed is for; other parts give another stream. */
  constructor (...parts: ReadonlyArray<string | number>) {
    const key = createHash('sha256').update([SEED, ...parts].join('/')).digest()
    this.#stream = createCipheriv('chacha20', key, Buffer.alloc(16))
  }

  bytes (byteLength: number): Buffer {
    return this.#stream.update(Buffer.alloc(byteLength))
  }

  /** A whole number from `from` to `to`, both included. */
  integer (from: number, to: number): number {
    return from + Math.floor(this.bytes(4).readUInt32BE() / 2 ** 32 * (to - from + 1))
  }

  /** True once in `times`, on average. */
  once (times: number): boolean {
    return this.integer(1, times) === 1
  }

  pick<T> (choices: readonly T[]): T | undefined {
    return choices[this.integer(0, choices.length - 1)]
  }
}
