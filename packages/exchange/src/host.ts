import type { AbortOptions } from '@holdfast/core'

/** A peer id in its base58 form: `12D3Koo…` or `Qm…`. */
export type PeerId = string

/** One stream to a peer, in both directions, with back-pressure in both. */
export interface PeerStream extends AsyncDisposable {
  readonly peer: PeerId
  /** The protocol that both ends agreed on. */
  readonly protocol: string
  readonly connectionId: string
  /** Bytes as they come; the peer is slowed down while nobody iterates. One consumer only. */
  read(): AsyncIterable<Uint8Array>
  /** Queues `parts` in order without copying; resolves when the write buffer is below its bound. */
  write(parts: readonly Uint8Array[], options?: AbortOptions): Promise<void>
  closeWrite(): Promise<void>
  abort(reason: Error): void
}

export interface ConnectedPeer {
  readonly peer: PeerId
  readonly addresses: readonly string[]
  readonly direction: 'inbound' | 'outbound'
  readonly latencyMs?: number
  /** Protocols that the peer said it speaks; empty while it has not said. */
  readonly protocols: readonly string[]
  readonly sentBytes: number
  readonly receivedBytes: number
  readonly sinceMs: number
  readonly encryption: string
  readonly isRelayed: boolean
}

export interface ProtocolHandlerOptions {
  maxInboundStreams?: number
  maxOutboundStreams?: number
  runOnRelayed?: boolean
}

/** What the exchange needs of the network: streams to peers by their id. */
export interface Host {
  readonly peer: PeerId
  peers(): ConnectedPeer[]
  isConnected(peer: PeerId): boolean
  /** Dials a multiaddr with `/p2p`, or a peer id whose addresses are known. */
  connect(address: string, options?: AbortOptions): Promise<PeerId>
  disconnect(peer: PeerId): Promise<void>
  /** Opens a stream with the first protocol that the peer speaks; dials when needed. */
  openStream(peer: PeerId, protocols: readonly string[], options?: AbortOptions): Promise<PeerStream>
  handle(protocols: readonly string[], handler: (stream: PeerStream) => Promise<void>, options?: ProtocolHandlerOptions): Promise<AsyncDisposable>
  /** Called for every peer that connects or disconnects, and for those connected now. */
  watchPeers(listener: { connected(peer: PeerId): void, disconnected(peer: PeerId): void }): Disposable
  addKnownAddresses(peer: PeerId, addresses: readonly string[]): Promise<void>
}
