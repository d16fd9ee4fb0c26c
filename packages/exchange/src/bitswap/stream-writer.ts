import { HoldfastError } from '@holdfast/core'
import type { PeerStream } from '@holdfast/network'

/** How long a peer may take for the next `SLICE_BYTES` before it is dropped, in milliseconds (reliability: slow peer). */
export const WRITE_STALL_MS = 10_000

/** Bytes between two looks at whether the peer still reads: a stalled one is told from a slow one, down to 6.4 KiB/s. */
export const SLICE_BYTES: number = 64 * 1024

/** `details.reason` of the failure when the peer stopped reading. */
export const STALLED = 'stalled'

/**
 * Writes `parts` in slices and waits for each, so that a peer that stopped reading is noticed.
 *
 * @throws `UNAVAILABLE` when a slice took longer than `stallMs`; the stream is aborted then.
 */
export async function writeParts (stream: PeerStream, parts: readonly Uint8Array[], stallMs: number = WRITE_STALL_MS): Promise<void> {
  let stalled: HoldfastError | undefined
  const timer = setTimeout(() => {
    stalled = new HoldfastError('UNAVAILABLE', `Peer ${stream.peer} stopped reading for ${stallMs} ms`, { peer: stream.peer, reason: STALLED })
    stream.abort(stalled)
  }, stallMs)
  try {
    for (const slice of slicesOf(parts)) {
      await stream.write(slice)
      timer.refresh()
    }
  } catch (err) {
    throw stalled ?? err
  } finally {
    clearTimeout(timer)
  }
}

/** Groups views into lists of at most `SLICE_BYTES`, cutting long ones; nothing is copied. */
function * slicesOf (parts: readonly Uint8Array[]): Generator<Uint8Array[]> {
  let slice: Uint8Array[] = []
  let sliceBytes = 0
  for (const part of parts) {
    for (let at = 0; at < part.byteLength;) {
      const view = part.subarray(at, at + SLICE_BYTES - sliceBytes)
      slice.push(view)
      sliceBytes += view.byteLength
      at += view.byteLength
      if (sliceBytes < SLICE_BYTES) continue
      yield slice
      slice = []
      sliceBytes = 0
    }
  }
  if (sliceBytes > 0) yield slice
}
