/** A bare libp2p node for attackers: the library's own parts, none of ours, and no bound on what it does to others. */
import { noise } from '@chainsafe/libp2p-noise'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { Connection, Libp2p, PrivateKey, Stream, StreamMessageEvent } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { tls } from '@libp2p/tls'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type ServiceFactoryMap } from 'libp2p'
import { setImmediate as nextTurn } from 'node:timers/promises'

/** More than any attack opens. */
const UNBOUNDED_COUNT = 1_000_000

export interface LiarOptions {
  readonly security?: 'tls' | 'noise'
  readonly key?: PrivateKey
  /** Answers identify as an honest peer does. @default true */
  readonly identifies?: boolean
}

/** Opens a node of a new peer id that listens on loopback. */
export async function openLiar ({ security = 'tls', key, identifies = true }: LiarOptions = {}): Promise<Libp2p> {
  const services: ServiceFactoryMap = identifies ? { identify: identify() } : {}
  const liar = await createLibp2p({
    privateKey: key ?? await generateKeyPair('Ed25519'),
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [security === 'tls' ? tls() : noise()],
    streamMuxers: [yamux({ maxInboundStreams: UNBOUNDED_COUNT, maxOutboundStreams: UNBOUNDED_COUNT })],
    connectionManager: { maxConnections: UNBOUNDED_COUNT, maxParallelDials: 100, inboundConnectionThreshold: UNBOUNDED_COUNT },
    connectionMonitor: { enabled: false },
    services
  })
  // Whoever does not answer pings gets into no routing table.
  await liar.handle('/ipfs/ping/1.0.0', (stream) => { onBytes(stream, (bytes) => { void send(stream, bytes) }) })
  return liar
}

/** Dials once more, also when there is a connection. */
export async function dial (liar: Libp2p, address: string, signal: AbortSignal): Promise<Connection> {
  return await liar.dial(multiaddr(address), { force: true, signal })
}

/** Gives the same connection for as long as it lasts, then the next. */
export function steadyConnection (liar: Libp2p, { victim, signal }: { readonly victim: string, readonly signal: AbortSignal }): () => Promise<Connection> {
  let connection: Connection | undefined
  return async () => {
    if (connection?.status !== 'open') connection = await dial(liar, victim, signal)
    return connection
  }
}

export async function openStream (connection: Connection, protocol: string, signal: AbortSignal): Promise<Stream> {
  const stream = await connection.newStream(protocol, { maxOutboundStreams: UNBOUNDED_COUNT, signal })
  // Nobody has to listen: what comes back is thrown away.
  stream.addEventListener('message', () => {})
  return stream
}

/** Sends, waits until it is on its way, and lets timers run. Reports whether the stream is still open. */
export async function send (stream: Stream, bytes: Uint8Array): Promise<boolean> {
  await nextTurn()
  if (stream.status !== 'open') return false
  try {
    if (!stream.send(bytes)) await nextEvent(stream, 'drain', 'close')
  } catch {
    return false
  }
  return stream.status === 'open'
}

/** Waits until the other side ended the stream; reports whether it did in time. */
export async function isEnded (stream: Stream, timeoutMs: number): Promise<boolean> {
  if (stream.status !== 'open') return true
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, timeoutMs)
  await Promise.race([promise, nextEvent(stream, 'close', 'remoteCloseWrite')])
  clearTimeout(timer)
  return stream.status !== 'open' || stream.remoteWriteStatus !== 'writable'
}

/** Calls `take` with the bytes of each message that comes. */
export function onBytes (stream: Stream, take: (bytes: Uint8Array) => void): void {
  stream.addEventListener('message', ({ data }: StreamMessageEvent) => { take(data.subarray()) })
}

async function nextEvent (stream: Stream, ...names: ReadonlyArray<'drain' | 'close' | 'remoteCloseWrite'>): Promise<void> {
  await new Promise<void>((resolve) => { for (const name of names) stream.addEventListener(name, () => { resolve() }, { once: true }) })
}
