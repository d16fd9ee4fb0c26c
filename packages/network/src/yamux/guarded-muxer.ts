/** What the muxer of the library is given beyond itself: a bounded reader, the short way from TLS, and a count of what it holds unseen. */
import type { MessageStream, Stream, StreamMuxer } from '@libp2p/interface'
import { MAX_INBOUND_STREAMS } from '../limits.ts'
import { TlsStream } from '../tls/tls-stream.ts'
import { type Frame, FrameReader } from './frame-reader.ts'

/** Bytes that came on streams in negotiation below which nobody looks which of these have ended theirs. */
const NEGOTIATING_SLACK_BYTES = 64 << 10

/** What the muxer of a connection holds. */
const heldBy = new WeakMap<object, { readonly reader: FrameReader, readonly negotiating: Negotiating }>()

/**
 * Counts what came on streams whose protocol is not agreed on yet. Cheap where hundreds of streams are opened at once.
 *
 * By the ids of the streams: one that has ended is some 10 KiB with its listeners, and would stay as long as its connection.
 */
class Negotiating {
  readonly #muxer: Muxer
  readonly #bytes = new Map<number, number>()
  /** Of all that are in the map, also of those that have agreed since. */
  #sum = 0

  constructor (muxer: Muxer) {
    this.#muxer = muxer
  }

  add (streamId: number, byteLength: number): void {
    this.#bytes.set(streamId, (this.#bytes.get(streamId) ?? 0) + byteLength)
    this.#sum += byteLength
    if (this.#bytes.size > MAX_INBOUND_STREAMS * 2) this.#prune()
  }

  /** Exact from `NEGOTIATING_SLACK_BYTES` on; below, it may count streams that have agreed. */
  get byteLength (): number {
    if (this.#sum > NEGOTIATING_SLACK_BYTES) this.#prune()
    return this.#sum
  }

  #prune (): void {
    const open = new Set(streamsOf(this.#muxer).filter(({ protocol, status }) => protocol === '' && status === 'open').map(({ streamId }) => streamId))
    for (const [streamId, byteLength] of this.#bytes) {
      if (open.has(streamId)) continue
      this.#bytes.delete(streamId)
      this.#sum -= byteLength
    }
  }
}

/** The part of the library's muxer that its types do not show, or call private. */
interface Muxer {
  onData: (bytes: Parameters<FrameReader['emitFrames']>[0]) => void
  handleFrame(frame: Frame): void
  readonly streams: ReadonlyArray<Stream & { readonly streamId: number }>
}

/**
 * Makes a muxer read with our own reader, and without the events of its connection where that is TLS on a socket.
 *
 * @param maxFrameBytes The most data in one frame.
 */
export function guardMuxer (muxer: StreamMuxer, link: MessageStream, maxFrameBytes: number): StreamMuxer {
  if (!isMuxer(muxer)) throw new Error('This version of libp2p has no muxer that can be guarded')
  const reader = new FrameReader(maxFrameBytes)
  const negotiating = new Negotiating(muxer)
  heldBy.set(muxer, { reader, negotiating })
  muxer.onData = (bytes) => {
    if (bytes instanceof Uint8Array && reader.takeMiddle(bytes)) return
    for (const frame of reader.emitFrames(bytes)) {
      muxer.handleFrame(frame)
      if (frame.data === undefined) continue
      // Those in negotiation are the last.
      const stream = streamsOf(muxer).findLast(({ streamId }) => streamId === frame.header.streamID)
      if (stream?.protocol === '') negotiating.add(frame.header.streamID, frame.data.byteLength)
    }
  }
  if (link instanceof TlsStream) link.deliverTo((bytes) => { deliver(muxer, link, bytes) })
  return muxer
}

/**
 * Bytes that the muxer of a connection holds and no stream shows: a frame that is half there, and what came on streams whose protocol is
 * not agreed on yet, where the library keeps it out of sight.
 */
export function hiddenBytesOf (muxer: object): number {
  const held = heldBy.get(muxer)
  return held === undefined ? 0 : held.reader.heldBytes + held.negotiating.byteLength
}

/** With the ids that the library's types leave out. */
function streamsOf ({ streams }: Muxer): Muxer['streams'] {
  return streams
}

/** As the library does with what its connection emits. */
function deliver (muxer: Muxer & StreamMuxer, link: TlsStream, bytes: Uint8Array): void {
  try {
    muxer.onData(bytes)
  } catch (cause) {
    const err = cause instanceof Error ? cause : new Error(String(cause))
    muxer.abort(err)
    link.abort(err)
  }
}

function isMuxer (muxer: unknown): muxer is Muxer {
  return typeof muxer === 'object' && muxer !== null && 'onData' in muxer && 'handleFrame' in muxer && 'streams' in muxer
}
