import type { AbortOptions } from '@holdfast/core'

/** A peer id in base58: `12D3Koo…` or `Qm…`. */
export type PeerId = string

/** One stream to a peer, both directions, with back-pressure both ways. Disposing it closes it; unread bytes are dropped. */
export interface PeerStream extends AsyncDisposable {
  readonly peer: PeerId
  readonly protocol: string
  readonly connectionId: string

  /**
   * Yields the bytes as they come, once: there is one reader, to whom they belong.
   *
   * While nobody iterates the peer is slowed down; at most `READ_QUEUE_BYTES` and what was on its way wait here.
   *
   * @throws `UNAVAILABLE` when the stream ended before the peer closed its side: what came may be half of it.
   */
  read(): AsyncIterable<Uint8Array>

  /**
   * Queues `parts` in order, without copying them, and resolves when at most `WRITE_QUEUE_BYTES` of the stream still wait.
   *
   * What waits is on the account of the peer: `parts` of `MAX_PEER_BYTES` at once can end the connection.
   *
   * @throws `UNAVAILABLE` when the stream ends first.
   */
  write(parts: readonly Uint8Array[], options?: AbortOptions): Promise<void>

  /** Tells the peer that nothing more comes. Reading goes on. */
  closeWrite(): Promise<void>

  /** Ends both directions at once and drops what waits. */
  abort(reason: Error): void
}

/**
 * What one part of this node holds for a peer, on the peer's account of bytes. Disposing it gives all of it back.
 *
 * The account bounds what one peer can make a node hold: `MAX_PEER_BYTES`, over all protocols.
 */
export interface HeldBytes extends Disposable {
  readonly heldBytes: number

  /**
   * Counts bytes that are held from now on.
   *
   * @throws `LIMIT` when they are too many for the account. The connections of the peer end then; what was held is to be dropped.
   */
  add(byteLength: number): void

  /** Counts bytes that are no longer held. */
  subtract(byteLength: number): void
}

/** A peer as `holdfast peers` shows it. Counts are of the connections that are open. */
export interface ConnectedPeer {
  readonly peer: PeerId
  readonly addresses: readonly string[]
  readonly direction: 'inbound' | 'outbound'
  /** The last round trip, where one was measured. */
  readonly latencyMs?: number
  readonly protocols: readonly string[]
  /** Its program, once it said it. */
  readonly agent?: string
  readonly sentBytes: number
  readonly receivedBytes: number
  /** When the oldest connection was opened, in ms since 1970. */
  readonly sinceMs: number
  /** The protocol of the handshake: `/tls/1.0.0` or `/noise`. */
  readonly encryption: string
  /** True when a relay carries every connection: good for small messages only. */
  readonly isRelayed: boolean
}

/** What a peer says of itself. Only its id is proven. */
export interface PeerIdentity {
  readonly peer: PeerId
  /** Its program, such as `kubo/0.42.0`; empty when it does not say. */
  readonly agent: string
  readonly protocols: readonly string[]
  /** Where it says that it can be dialled, without its id. */
  readonly addresses: readonly string[]
}

export interface ProtocolHandlerOptions {
  /** Streams of this protocol that one connection may have open. @default 32 */
  maxInboundStreams?: number
  /** @default 64 */
  maxOutboundStreams?: number
  /** Whether the protocol also runs over a relay, which allows few bytes: answered there, and opened by `openStream`. @default false */
  runOnRelayed?: boolean
}

/** One try to reach a peer. */
export interface DialAttempt {
  /** Empty when no address was known. */
  readonly address: string
  readonly reason: string
}

export interface ByteCounts {
  readonly sentBytes: number
  readonly receivedBytes: number
}

/** What was sent and received since the host was opened. */
export interface Traffic {
  /** On the wire, with handshakes and framing. */
  readonly total: ByteCounts
  /** Inside the streams; `other` is what the protocols leave of the total: handshakes, framing, pings. */
  readonly byProtocol: Readonly<Record<string, ByteCounts>>
  /** On the wire, for the peers that are connected. */
  readonly byPeer: Readonly<Record<PeerId, ByteCounts>>
}

/** Whether other machines can dial this one. */
export interface Reachability {
  readonly state: 'public' | 'private' | 'unknown'
  /** How that is known, in a sentence. */
  readonly how: string
}

export interface PeerWatcher {
  connected(peer: PeerId): void
  disconnected(peer: PeerId): void
}

/** The network as the packages above see it. No libp2p type goes through. */
export interface Host extends AsyncDisposable {
  readonly peer: PeerId

  /** The multiaddrs others may dial, each with `/p2p/…`. */
  addresses(): string[]

  peers(): ConnectedPeer[]
  isConnected(peer: PeerId): boolean

  /**
   * Connects to a multiaddr with `/p2p/…`, or to a peer id whose addresses are known or can be found.
   *
   * Who is named by an address is wanted: as with `protect`, until it disconnects.
   *
   * @throws `INVALID` for an address that cannot be dialled by anybody; `UNAVAILABLE` with `details.attempts: DialAttempt[]`.
   */
  connect(address: string, options?: AbortOptions): Promise<PeerId>

  /** Closes every connection to the peer. One that is not connected is not an error. */
  disconnect(peer: PeerId): Promise<void>

  /**
   * Returns what a peer says of itself; dials when needed, and waits until it was said. Of this node itself: what it tells others.
   *
   * @throws `UNAVAILABLE` as `connect`, and when the peer leaves or says nothing for `IDENTIFY_TIMEOUT_MS`.
   */
  identify(peer: PeerId, options?: AbortOptions): Promise<PeerIdentity>

  /**
   * Opens a stream for the first of `protocols` that the peer speaks; dials when needed.
   *
   * @throws `UNSUPPORTED` when it speaks none of them; `UNAVAILABLE` as `connect`.
   */
  openStream(peer: PeerId, protocols: readonly string[], options?: AbortOptions): Promise<PeerStream>

  /** Answers streams of `protocols` until disposed. A stream ends with its handler, and is reset when that throws. */
  handle(protocols: readonly string[], handler: (stream: PeerStream) => Promise<void>, options?: ProtocolHandlerOptions): Promise<AsyncDisposable>

  /** Calls for every peer that connects or disconnects, and at once for those that are connected. */
  watchPeers(watcher: PeerWatcher): Disposable

  /** Remembers where a peer may be found. Addresses that cannot be read are passed over. */
  addKnownAddresses(peer: PeerId, addresses: readonly string[]): Promise<void>

  /** Opens a line on the account of a peer, for bytes that a package holds for it. */
  holdBytes(peer: PeerId): HeldBytes

  /**
   * Lets a peer make this node hold up to `maxBytes` until it is disposed: for members of one's own cluster, and for peers far away that
   * this node fetches from. What goes beyond `MAX_PEER_BYTES` also widens the windows of its streams, to 16 MiB at most.
   *
   * @throws `INVALID` above `MAX_MEMBER_BYTES`, 64 MiB.
   */
  allowBytes(peer: PeerId, maxBytes: number): Disposable

  /** Keeps the connections of a peer from making room for strangers, until it is disposed. Connects to nobody. */
  protect(peer: PeerId): Disposable

  reachability(): Reachability
  traffic(): Traffic
}
