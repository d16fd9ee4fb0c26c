import { HoldfastError } from '@holdfast/core'
import type { Connection, Libp2p, PeerId as LibraryPeerId } from '@libp2p/interface'
import { deadline } from '../deadline.ts'
import { MAX_DHT_OUTBOUND_STREAMS } from '../limits.ts'
import { createPeerStream, type StreamBooks } from '../peer-stream.ts'
import { DHT_MESSAGE, decodeDhtMessage, encodeDhtMessage, frame, MAX_DHT_REQUEST_BYTES } from './dht-message.ts'
import { MessageFrames } from './message-frames.ts'

/** How long one peer may take to take a record, in ms: a dial, two round trips and its disk. */
export const ANNOUNCE_TIMEOUT_MS = 15_000

export interface Announcement {
  readonly node: Libp2p
  readonly protocol: string
  readonly booksOf: (connection: Connection) => StreamBooks
  readonly peer: LibraryPeerId
  /** The bytes of a multihash. */
  readonly key: Uint8Array
  readonly addresses: readonly Uint8Array[]
}

/**
 * Leaves a provider record with one peer.
 *
 * ADD_PROVIDER has no answer, so a PING follows on the same stream: peers take messages in order and reset the stream at a
 * record that they refuse. The library sends the record alone and cannot tell.
 *
 * @returns why the peer did not take it; `undefined` when it did
 */
export async function announceTo (announcement: Announcement, signal: AbortSignal): Promise<string | undefined> {
  using timeout = deadline(ANNOUNCE_TIMEOUT_MS, signal)
  try {
    await exchange(announcement, timeout.signal)
    return undefined
  } catch (err) {
    signal.throwIfAborted()
    return err instanceof Error && err.message !== '' ? err.message : String(err)
  }
}

async function exchange ({ node, protocol, booksOf, peer, key, addresses }: Announcement, signal: AbortSignal): Promise<void> {
  const connection = await node.dial(peer, { signal })
  const inner = await connection.newStream([protocol], { signal, maxOutboundStreams: MAX_DHT_OUTBOUND_STREAMS })
  await using stream = createPeerStream(inner, connection, booksOf(connection))
  const abort = (): void => { stream.abort(signal.reason instanceof Error ? signal.reason : new Error('Aborted')) }
  signal.addEventListener('abort', abort, { once: true })
  try {
    const self = { id: node.peerId.toMultihash().bytes, addresses }
    const record = encodeDhtMessage({ type: DHT_MESSAGE.addProvider, key, closer: [], providers: [self] })
    const ping = encodeDhtMessage({ type: DHT_MESSAGE.ping, closer: [], providers: [] })
    await stream.write([frame(record), frame(ping)], { signal })
    await untilAnswered(stream.read())
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** A clean end without an answer counts too: some servers know no PING and close, but only after what came before it. */
async function untilAnswered (received: AsyncIterable<Uint8Array>): Promise<void> {
  const frames = new MessageFrames(MAX_DHT_REQUEST_BYTES)
  for await (const bytes of received) {
    for (const message of frames.push(bytes)) {
      const { type } = decodeDhtMessage(message)
      if (type === DHT_MESSAGE.ping) return
      throw new HoldfastError('INVALID', `It answered a PING with a message of type ${type}`)
    }
  }
}
