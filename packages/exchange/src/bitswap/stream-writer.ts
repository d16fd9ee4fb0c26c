import { HoldfastError } from '@holdfast/core'
import type { PeerStream } from '@holdfast/network'

/** How long a peer may take for the next `SLICE_BYTES` before it is dropped, in milliseconds (reliability: slow peer). */
export const WRITE_STALL_MS = 10_000

/** Bytes between two looks at whether the peer still reads: a stalled one is told from a slow one, down to 6.4 KiB/s. */
export const SLICE_BYTES: number = 64 * 1024

/**
 * Bytes of one slice for a peer that has been fast for a while: a whole message of blocks, which is one frame then, cut nowhere on its
 * way and copied by nobody. It may take three times as long as a short one, which a peer of 36 KiB/s does not.
 */
export const FAST_SLICE_BYTES: number = (1 << 20) + (64 << 10)
const FAST_STALL_FACTOR = 3

/** What a peer must have taken, without waiting for more than `PACE_MS` in all, to be taken for fast: buffers on the way hold some MiB at once. */
export const PACE_BYTES: number = 16 << 20
export const PACE_MS = 4_000

/** How fast a peer takes what is written, by the last `PACE_BYTES`. */
export class Pace {
  #bytes = 0
  #waitedMs = 0
  #isFast = false

  get isFast (): boolean {
    return this.#isFast
  }

  took (byteLength: number, waitedMs: number): void {
    this.#bytes += byteLength
    this.#waitedMs += waitedMs
    if (this.#waitedMs > PACE_MS) this.#isFast = false
    if (this.#bytes < PACE_BYTES) return
    this.#isFast = this.#waitedMs <= PACE_MS
    this.#bytes = 0
    this.#waitedMs = 0
  }
}

export interface WriteOptions {
  /** How long a short slice may take, in milliseconds. @default `WRITE_STALL_MS` */
  readonly stallMs?: number
  /** What is known of the peer, and learnt. @default nothing: slices are short */
  readonly pace?: Pace
}

/** `details.reason` of the failure when the peer stopped reading. */
export const STALLED = 'stalled'

/**
 * Writes `parts` in slices and waits for each, so that a peer that stopped reading is noticed.
 *
 * @throws `UNAVAILABLE` when a slice took longer than it may; the stream is aborted then.
 */
export async function writeParts (stream: PeerStream, parts: readonly Uint8Array[], { stallMs = WRITE_STALL_MS, pace = new Pace() }: WriteOptions = {}): Promise<void> {
  const limitMs = pace.isFast ? stallMs * FAST_STALL_FACTOR : stallMs
  let stalled: HoldfastError | undefined
  const timer = setTimeout(() => {
    stalled = new HoldfastError('UNAVAILABLE', `Peer ${stream.peer} stopped reading for ${limitMs} ms`, { peer: stream.peer, reason: STALLED })
    stream.abort(stalled)
  }, limitMs)
  try {
    for (const { slice, byteLength } of slicesOf(parts, pace.isFast ? FAST_SLICE_BYTES : SLICE_BYTES)) {
      const startedAtMs = performance.now()
      await stream.write(slice)
      pace.took(byteLength, performance.now() - startedAtMs)
      timer.refresh()
    }
  } catch (err) {
    throw stalled ?? err
  } finally {
    clearTimeout(timer)
  }
}

/** Groups views into lists of at most `maxBytes`, cutting long ones; nothing is copied. */
function * slicesOf (parts: readonly Uint8Array[], maxBytes: number): Generator<{ slice: Uint8Array[], byteLength: number }> {
  let slice: Uint8Array[] = []
  let byteLength = 0
  for (const part of parts) {
    for (let at = 0; at < part.byteLength;) {
      const view = part.subarray(at, at + maxBytes - byteLength)
      slice.push(view)
      byteLength += view.byteLength
      at += view.byteLength
      if (byteLength < maxBytes) continue
      yield { slice, byteLength }
      slice = []
      byteLength = 0
    }
  }
  if (byteLength > 0) yield { slice, byteLength }
}
