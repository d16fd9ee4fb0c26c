/**
 * How streams share a connection: yamux, with two sizes of window.
 *
 * The first window of a stream is part of the protocol: each side assumes the other's. A larger one therefore needs a name of
 * its own; under the standard name it breaks every connection (js-libp2p has no way to announce it).
 */
import type { StreamMuxerFactory } from '@libp2p/interface'
import { yamux } from '@libp2p/yamux'
import { MAX_INBOUND_STREAMS, MAX_WRITE_BUFFER_BYTES } from './limits.ts'
import { guardMuxer } from './yamux/guarded-muxer.ts'
import { MAX_WINDOW_BYTES } from './yamux/stream-window.ts'

/** Between Holdfast nodes. A fresh stream sends 4 MiB in its first round trip: 80 MiB/s at 50 ms. */
export const WIDE_YAMUX = '/holdfast/yamux-4m/1.0.0'

/** Bytes that may be on their way on a stream of the wide kind, and so wait here when a reader stalls. Half of what a peer may have. */
const WIDE_WINDOW_BYTES = 4 << 20

/** The most a window of the standard kind grows to; it begins with the 256 KiB of the specification. */
const STANDARD_MAX_WINDOW_BYTES = 2 << 20

/** What a stream may hold beyond its window: one frame that was cut in two. */
const READ_BUFFER_SLACK_BYTES = 64 << 10

/**
 * The factories in their order, which is the same on every node: with Noise each side takes the first of the *other's* list
 * that it knows, so another order gives two different windows on one connection.
 */
export function muxers (): Array<() => StreamMuxerFactory> {
  return [wideYamux, standardYamux]
}

function wideYamux (): StreamMuxerFactory {
  const factory = yamux({
    maxInboundStreams: MAX_INBOUND_STREAMS,
    streamOptions: {
      initialStreamWindowSize: WIDE_WINDOW_BYTES,
      maxStreamWindowSize: WIDE_WINDOW_BYTES,
      maxReadBufferLength: WIDE_WINDOW_BYTES + READ_BUFFER_SLACK_BYTES,
      maxWriteBufferLength: MAX_WRITE_BUFFER_BYTES
    }
  })()
  factory.protocol = WIDE_YAMUX
  return guarded(factory)
}

/** Yamux under its own name, as everybody speaks it. */
export function standardYamux (): StreamMuxerFactory {
  return guarded(yamux({
    maxInboundStreams: MAX_INBOUND_STREAMS,
    streamOptions: {
      maxStreamWindowSize: STANDARD_MAX_WINDOW_BYTES,
      maxReadBufferLength: STANDARD_MAX_WINDOW_BYTES + READ_BUFFER_SLACK_BYTES,
      maxWriteBufferLength: MAX_WRITE_BUFFER_BYTES
    }
  })())
}

/** Whatever its kind, a window may be widened to the same. */
function guarded (factory: StreamMuxerFactory): StreamMuxerFactory {
  const create = factory.createStreamMuxer.bind(factory)
  factory.createStreamMuxer = (link) => guardMuxer(create(link), link, MAX_WINDOW_BYTES)
  return factory
}
