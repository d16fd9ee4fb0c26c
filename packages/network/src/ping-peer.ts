import { type AbortOptions, HoldfastError } from '@holdfast/core'
import { randomBytes } from 'node:crypto'
import { deadline } from './deadline.ts'
import type { Host, PeerId } from './host.ts'
import { PING_TIMEOUT_MS } from './limits.ts'

const PING = '/ipfs/ping/1.0.0'
const PING_BYTES = 32

/**
 * Sends a peer 32 bytes and returns after how many milliseconds it sent them back; dials when needed.
 *
 * @throws `UNAVAILABLE` when the peer cannot be reached or does not answer within `PING_TIMEOUT_MS`; `CORRUPT` when it sends back something else.
 * @see https://github.com/libp2p/specs/blob/master/ping/ping.md
 */
export async function pingPeer (host: Pick<Host, 'openStream'>, peer: PeerId, { signal }: AbortOptions = {}): Promise<number> {
  signal?.throwIfAborted()
  // Each ping has a stream of its own: js-libp2p ends one that is older than 10 s.
  await using stream = await host.openStream(peer, [PING], { signal })
  using timeout = deadline(PING_TIMEOUT_MS, signal)
  const onAbort = (): void => { stream.abort(timeout.signal.reason) }
  timeout.signal.addEventListener('abort', onAbort, { once: true })
  const sent = randomBytes(PING_BYTES)
  const startMs = performance.now()
  try {
    await stream.write([sent], timeout)
    const received = await firstBytes(stream.read(), PING_BYTES)
    const rttMs = performance.now() - startMs
    if (!received.equals(sent)) throw new HoldfastError('CORRUPT', `${peer} answered a ping with other bytes`, { peer })
    return rttMs
  } catch (err) {
    signal?.throwIfAborted()
    timeout.signal.throwIfAborted()
    throw err
  } finally {
    timeout.signal.removeEventListener('abort', onAbort)
  }
}

async function firstBytes (source: AsyncIterable<Uint8Array>, byteLength: number): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  let receivedBytes = 0
  for await (const piece of source) {
    pieces.push(piece)
    receivedBytes += piece.byteLength
    if (receivedBytes >= byteLength) break
  }
  return Buffer.concat(pieces)
}
