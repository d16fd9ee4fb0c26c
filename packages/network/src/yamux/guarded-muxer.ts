/** What the muxer of the library is given beyond itself: a bounded reader, the short way from TLS, and a count of what it holds unseen. */
import type { MessageStream, Stream, StreamMuxer } from '@libp2p/interface'
import { TlsStream } from '../tls/tls-stream.ts'
import { DATA, type Frame, FrameReader } from './frame-reader.ts'

/** Where the muxer of a connection tells what it holds. */
const readers = new WeakMap<object, { readonly reader: FrameReader, readonly negotiatingBytes: WeakMap<Stream, number> }>()

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
  const negotiatingBytes = new WeakMap<Stream, number>()
  readers.set(muxer, { reader, negotiatingBytes })
  muxer.onData = (bytes) => {
    for (const frame of reader.emitFrames(bytes)) {
      muxer.handleFrame(frame)
      if (frame.header.type === DATA) countNegotiating(muxer, frame.header.streamID, frame.header.length)
    }
  }
  if (link instanceof TlsStream) link.deliverTo((bytes) => { deliver(muxer, link, bytes) })
  return muxer

  function countNegotiating ({ streams }: Muxer, streamId: number, byteLength: number): void {
    const stream = streams.find((each) => each.streamId === streamId)
    if (stream?.protocol === '') negotiatingBytes.set(stream, (negotiatingBytes.get(stream) ?? 0) + byteLength)
  }
}

/**
 * Bytes that the muxer of a connection holds and no stream shows: a frame that is half there, and what came on streams whose protocol is
 * not agreed on yet, where the library keeps it out of sight.
 */
export function hiddenBytesOf (muxer: unknown): number {
  const held = typeof muxer === 'object' && muxer !== null ? readers.get(muxer) : undefined
  if (held === undefined || !isMuxer(muxer)) return 0
  return muxer.streams.reduce((sum, stream) => sum + (stream.protocol === '' ? held.negotiatingBytes.get(stream) ?? 0 : 0), held.reader.heldBytes)
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
