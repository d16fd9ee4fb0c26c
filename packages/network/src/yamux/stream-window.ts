/**
 * How much may be on its way to us on one stream of yamux.
 *
 * A window says how much a peer may send before anybody here has read of it, so it is memory that the peer can take. It is set by the
 * one who receives, so both kinds of muxer (`muxers.ts`) can have a wider one while there is a use for it.
 */
import type { Stream } from '@libp2p/interface'
import { MAX_PEER_BYTES } from '../limits.ts'

/** The widest window, in bytes: what the library grows to by itself, and 320 MiB/s at 50 ms. */
export const MAX_WINDOW_BYTES: number = 16 << 20

/** The part of the library's stream that its types call private. */
interface Windowed {
  /** What the peer is granted whenever some of it was used. */
  recvWindow: number
  maxStreamWindowSize: number
  sendWindowUpdate(): void
}

/** Follows what a peer is allowed to make this node hold. */
export class StreamWindow {
  readonly #stream: (Stream & Windowed) | undefined
  readonly #ordinaryBytes: number

  /** @param stream Of any muxer; the window of one that is not yamux stays as it is. */
  constructor (stream: Stream) {
    this.#stream = isWindowed(stream) ? stream : undefined
    this.#ordinaryBytes = this.#stream?.maxStreamWindowSize ?? 0
  }

  /**
   * Makes the next grant fit a peer that is allowed so much: what goes beyond `MAX_PEER_BYTES` is for the window. Where the allowance
   * has ended nothing is granted until the peer has used what it was.
   */
  fit (allowedBytes: number): void {
    const stream = this.#stream
    if (stream === undefined) return
    const widestBytes = Math.min(Math.max(this.#ordinaryBytes, allowedBytes - MAX_PEER_BYTES), MAX_WINDOW_BYTES)
    if (stream.maxStreamWindowSize === widestBytes) return
    // What the peer is allowed it gets at once: the library would double it, and only where a round trip takes longer than a clock's tick.
    stream.recvWindow = widestBytes > this.#ordinaryBytes ? widestBytes : Math.min(stream.recvWindow, widestBytes)
    stream.maxStreamWindowSize = widestBytes
  }

  /** Grants now what the next piece that comes would. */
  grant (): void {
    this.#stream?.sendWindowUpdate()
  }
}

function isWindowed (stream: Stream): stream is Stream & Windowed {
  return 'recvWindow' in stream && typeof stream.recvWindow === 'number' && 'maxStreamWindowSize' in stream && typeof stream.maxStreamWindowSize === 'number' && 'sendWindowUpdate' in stream
}
