import { availableParallelism } from 'node:os'
import { setImmediate } from 'node:timers/promises'

/** Chunks of one file that are hashed, or wait for one before them to be: what one thread may be ahead of another. */
export const CHUNKS_AHEAD = 4

/** Shortest chunk that is worth another thread, in bytes: hashing it takes some 40 µs, handing it over 10 to 20. */
const MIN_BESIDE_BYTES: number = 64 * 1024

/** Chunks that other threads hash at once: this thread hashes too, and above 4 cores the disk is slower. */
const MAX_BESIDE = Math.min(3, availableParallelism() - 1)

/** Of all imports: they share the cores. */
let besideCount = 0

/**
 * Names chunks in their order, on several cores when they are long: each chunk goes to another thread while one is free, and
 * is hashed in this one otherwise. Takes at most `CHUNKS_AHEAD` chunks before the first of them is done with.
 *
 * @param name Names a chunk; with `beside` it should do so in another thread.
 */
export async function * hashAhead<T> (chunks: AsyncIterable<Uint8Array>, name: (chunk: Uint8Array, beside: boolean) => Promise<T>): AsyncGenerator<T> {
  const ahead: Array<Promise<T>> = []
  for await (const chunk of chunks) {
    const isLong = chunk.byteLength >= MIN_BESIDE_BYTES
    const isBeside = isLong && besideCount < MAX_BESIDE
    const named = isBeside ? beside(chunk, name) : name(chunk, false)
    // Its failure is told in its turn, or not at all when one before it failed.
    named.catch(() => {})
    ahead.push(named)
    // What other threads have done is seen in the next turn.
    if (isLong && !isBeside) await setImmediate()
    const first = ahead[0]
    if (first === undefined || (ahead.length < CHUNKS_AHEAD && isLong && await isPending(first))) continue
    ahead.shift()
    yield await first
  }
  for (const named of ahead) yield await named
}

async function beside<T> (chunk: Uint8Array, name: (chunk: Uint8Array, beside: boolean) => Promise<T>): Promise<T> {
  besideCount++
  try {
    return await name(chunk, true)
  } finally {
    besideCount--
  }
}

const PENDING = Symbol('pending')

async function isPending (promise: Promise<unknown>): Promise<boolean> {
  return await Promise.race([promise, PENDING]) === PENDING
}
