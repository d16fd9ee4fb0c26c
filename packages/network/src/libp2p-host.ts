import { type AbortOptions, HoldfastError, type Logger } from '@holdfast/core'
import type { Connection, IdentifyResult, Libp2p, PeerId as LibraryPeerId, Stream } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import { parseDialTarget, parsePeerId, readMultiaddr } from './addresses.ts'
import { deadline } from './deadline.ts'
import { dialError } from './dial-error.ts'
import type { ConnectedPeer, HeldBytes, Host, PeerId, PeerIdentity, PeerStream, PeerWatcher, ProtocolHandlerOptions, Reachability, Traffic } from './host.ts'
import { AGENT, DIAL_TIMEOUT_MS, IDENTIFY_TIMEOUT_MS, MAX_AGENT_CHARACTERS, MAX_PEER_ADDRESSES, MAX_PEER_PROTOCOLS, MAX_PROTOCOL_CHARACTERS, OPEN_STREAM_TIMEOUT_MS } from './limits.ts'
import type { HostGuards } from './limits/guards.ts'
import { createPeerStream, grantAllowance } from './peer-stream.ts'
import { isAcceptableKeyBytes } from './security.ts'
import type { TrafficBook } from './traffic.ts'

export interface Libp2pHostDeps {
  readonly node: Libp2p
  readonly log: Logger
  readonly traffic: TrafficBook
  readonly guards: HostGuards
  /** Whether this node connects only to peers that have the same swarm key. */
  readonly hasSwarmKey: boolean
  readonly reachability: () => Reachability
}

/** The host contract on libp2p. */
export class Libp2pHost implements Host {
  readonly peer: PeerId
  readonly #node: Libp2p
  readonly #log: Logger
  readonly #traffic: TrafficBook
  readonly #guards: HostGuards
  readonly #hasSwarmKey: boolean
  readonly #reachability: () => Reachability
  /** What connected peers said of themselves. */
  readonly #identities = new Map<PeerId, PeerIdentity>()
  /** Who waits for a peer to say who it is, or to leave. */
  readonly #identityWaiters = new Map<PeerId, Set<() => void>>()
  /** Ours that may run over a relay. */
  readonly #relayedProtocols = new Set<string>()
  /** Connected peers whose address somebody gave, and what keeps them from making room for strangers. */
  readonly #wanted = new Map<PeerId, Disposable>()

  constructor ({ node, log, traffic, guards, hasSwarmKey, reachability }: Libp2pHostDeps) {
    this.#node = node
    this.#log = log
    this.#traffic = traffic
    this.#guards = guards
    this.#hasSwarmKey = hasSwarmKey
    this.#reachability = reachability
    this.peer = node.peerId.toString()
    node.addEventListener('peer:identify', ({ detail }) => { this.#onIdentify(detail) })
    node.addEventListener('peer:disconnect', ({ detail }) => { this.#forget(detail.toString()) })
  }

  addresses (): string[] {
    return this.#node.getMultiaddrs().map(String)
  }

  peers (): ConnectedPeer[] {
    const byPeer = Map.groupBy(this.#node.getConnections(), ({ remotePeer }) => remotePeer.toString())
    return [...byPeer].map(([peer, connections]) => this.#describe(peer, connections)).filter((peer) => peer !== undefined)
  }

  isConnected (peer: PeerId): boolean {
    return this.#node.getConnections(parsePeerId(peer)).length > 0
  }

  async connect (address: string, { signal }: AbortOptions = {}): Promise<PeerId> {
    signal?.throwIfAborted()
    const target = parseDialTarget(address)
    this.#requireOther(target.peer)
    const peer = (await this.#dial(target.address ?? target.peer, address, signal)).remotePeer.toString()
    if (target.address !== undefined && !this.#wanted.has(peer)) this.#wanted.set(peer, this.protect(peer))
    return peer
  }

  async disconnect (peer: PeerId): Promise<void> {
    const id = parsePeerId(peer)
    resetStreams(this.#node.getConnections(id))
    using timeout = deadline(DIAL_TIMEOUT_MS)
    await this.#node.hangUp(id, { signal: timeout.signal })
  }

  async identify (peer: PeerId, { signal }: AbortOptions = {}): Promise<PeerIdentity> {
    signal?.throwIfAborted()
    const id = parsePeerId(peer)
    if (id.equals(this.#node.peerId)) return this.#ownIdentity()
    const known = id.toString()
    if (this.#node.getConnections(id).length === 0) await this.#dial(id, peer, signal)
    return this.#identities.get(known) ?? await this.#identified(known, signal)
  }

  async openStream (peer: PeerId, protocols: readonly string[], { signal }: AbortOptions = {}): Promise<PeerStream> {
    signal?.throwIfAborted()
    const target = parsePeerId(peer)
    this.#requireOther(target)
    const connection = await this.#dial(target, peer, signal)
    return await this.#openOn(connection, this.#spokenOf(peer, protocols), signal)
  }

  async handle (protocols: readonly string[], handler: (stream: PeerStream) => Promise<void>, { maxInboundStreams, maxOutboundStreams, runOnRelayed }: ProtocolHandlerOptions = {}): Promise<AsyncDisposable> {
    await this.#node.handle([...protocols], (stream, connection) => { void this.#serve(stream, connection, handler) }, {
      ...(maxInboundStreams === undefined ? {} : { maxInboundStreams }),
      ...(maxOutboundStreams === undefined ? {} : { maxOutboundStreams }),
      runOnLimitedConnection: runOnRelayed ?? false
    })
    if (runOnRelayed === true) for (const protocol of protocols) this.#relayedProtocols.add(protocol)
    return {
      [Symbol.asyncDispose]: async () => {
        for (const protocol of protocols) this.#relayedProtocols.delete(protocol)
        await this.#node.unhandle([...protocols])
      }
    }
  }

  watchPeers (watcher: PeerWatcher): Disposable {
    const onConnect = ({ detail }: CustomEvent<LibraryPeerId>): void => { watcher.connected(detail.toString()) }
    const onDisconnect = ({ detail }: CustomEvent<LibraryPeerId>): void => { watcher.disconnected(detail.toString()) }
    this.#node.addEventListener('peer:connect', onConnect)
    this.#node.addEventListener('peer:disconnect', onDisconnect)
    for (const peer of this.#node.getPeers()) watcher.connected(peer.toString())
    return {
      [Symbol.dispose]: () => {
        this.#node.removeEventListener('peer:connect', onConnect)
        this.#node.removeEventListener('peer:disconnect', onDisconnect)
      }
    }
  }

  async addKnownAddresses (peer: PeerId, addresses: readonly string[]): Promise<void> {
    const id = parsePeerId(peer)
    if (id.equals(this.#node.peerId)) return
    const multiaddrs = addresses.slice(0, MAX_PEER_ADDRESSES).map(readMultiaddr).filter((address) => address !== undefined)
    if (multiaddrs.length > 0) await this.#node.peerStore.merge(id, { multiaddrs })
  }

  reachability (): Reachability {
    return this.#reachability()
  }

  holdBytes (peer: PeerId): HeldBytes {
    return this.#guards.ledger.hold(peer)
  }

  allowBytes (peer: PeerId, maxBytes: number): Disposable {
    const allowance = this.#guards.ledger.allow(peer, maxBytes)
    for (const { streams } of this.#node.getConnections(parsePeerId(peer))) streams.forEach(grantAllowance)
    return allowance
  }

  protect (peer: PeerId): Disposable {
    return this.#guards.doorkeeper.protect(peer)
  }

  traffic (): Traffic {
    return this.#traffic.summary(this.#node.getConnections())
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    resetStreams(this.#node.getConnections())
    await this.#node.stop()
  }

  async #dial (target: LibraryPeerId | Multiaddr, named: string, signal: AbortSignal | undefined): Promise<Connection> {
    using timeout = deadline(DIAL_TIMEOUT_MS, signal)
    try {
      return await this.#node.dial(target, { signal: timeout.signal })
    } catch (cause) {
      signal?.throwIfAborted()
      throw dialError(named, cause, { hasSwarmKey: this.#hasSwarmKey })
    }
  }

  async #openOn (connection: Connection, protocols: string[], signal: AbortSignal | undefined): Promise<PeerStream> {
    using timeout = deadline(OPEN_STREAM_TIMEOUT_MS, signal)
    try {
      const stream = await connection.newStream(protocols, { signal: timeout.signal, runOnLimitedConnection: protocols.every((protocol) => this.#relayedProtocols.has(protocol)) })
      return this.#peerStream(stream, connection)
    } catch (cause) {
      signal?.throwIfAborted()
      throw openError(connection.remotePeer.toString(), protocols, cause)
    }
  }

  async #serve (stream: Stream, connection: Connection, handler: (stream: PeerStream) => Promise<void>): Promise<void> {
    const ours = this.#peerStream(stream, connection)
    try {
      await handler(ours)
      await ours[Symbol.asyncDispose]()
    } catch (err) {
      this.#log.debug('A stream of a peer ended with an error', { peer: ours.peer, protocol: ours.protocol, err })
      ours.abort(err instanceof Error ? err : new Error(String(err)))
    }
  }

  #peerStream (stream: Stream, connection: Connection): PeerStream {
    const peer = connection.remotePeer.toString()
    return createPeerStream(stream, connection, {
      counter: this.#traffic.counterOf(stream.protocol),
      held: this.#guards.ledger.hold(peer),
      sample: () => this.#guards.meters.sample(connection),
      allowedBytes: () => this.#guards.ledger.allowanceOf(peer)
    })
  }

  /** The protocols worth proposing: each one that the peer lacks costs a round trip. */
  #spokenOf (peer: PeerId, protocols: readonly string[]): string[] {
    const known = this.#identities.get(peer)?.protocols
    const spoken = protocols.filter((protocol) => known?.includes(protocol) === true)
    return spoken.length > 0 ? spoken : [...protocols]
  }

  #requireOther (peer: LibraryPeerId): void {
    if (peer.equals(this.#node.peerId)) throw new HoldfastError('INVALID', `${peer.toString()} is this node itself`, { peer: peer.toString() })
  }

  #ownIdentity (): PeerIdentity {
    return { peer: this.peer, agent: AGENT, protocols: this.#node.getProtocols(), addresses: this.addresses().map((address) => address.replace(`/p2p/${this.peer}`, '')) }
  }

  async #identified (peer: PeerId, signal: AbortSignal | undefined): Promise<PeerIdentity> {
    using timeout = deadline(IDENTIFY_TIMEOUT_MS, signal)
    const { promise, resolve } = Promise.withResolvers<void>()
    const waiters = this.#identityWaiters.get(peer) ?? new Set()
    this.#identityWaiters.set(peer, waiters.add(resolve))
    timeout.signal.addEventListener('abort', () => { resolve() }, { once: true })
    await promise
    waiters.delete(resolve)
    if (waiters.size === 0 && this.#identityWaiters.get(peer) === waiters) this.#identityWaiters.delete(peer)
    signal?.throwIfAborted()
    const identity = this.#identities.get(peer)
    if (identity === undefined) throw new HoldfastError('UNAVAILABLE', `${peer} is connected, but did not say who it is`, { peer, attempts: [] })
    return identity
  }

  #wakeIdentityWaiters (peer: PeerId): void {
    for (const wake of this.#identityWaiters.get(peer) ?? []) wake()
  }

  #forget (peer: PeerId): void {
    this.#identities.delete(peer)
    this.#wakeIdentityWaiters(peer)
    this.#wanted.get(peer)?.[Symbol.dispose]()
    this.#wanted.delete(peer)
  }

  #onIdentify ({ peerId, protocols, publicKey, agentVersion = '', listenAddrs }: IdentifyResult): void {
    if (this.#node.getConnections(peerId).length === 0) return
    if (publicKey !== undefined && !isAcceptableKeyBytes(publicKey)) {
      this.#log.debug('A peer was turned away: its key is too weak or too long', { peer: peerId.toString() })
      for (const connection of this.#node.getConnections(peerId)) connection.abort(new Error('The key is too weak or too long'))
      return
    }
    const peer = peerId.toString()
    this.#identities.set(peer, {
      peer,
      agent: agentVersion.slice(0, MAX_AGENT_CHARACTERS),
      protocols: protocols.filter(({ length }) => length <= MAX_PROTOCOL_CHARACTERS).slice(0, MAX_PEER_PROTOCOLS),
      addresses: listenAddrs.slice(0, MAX_PEER_ADDRESSES).map((address) => address.toString().replace(`/p2p/${peer}`, ''))
    })
    this.#wakeIdentityWaiters(peer)
  }

  #describe (peer: PeerId, connections: readonly Connection[]): ConnectedPeer | undefined {
    const oldest = connections.toSorted((a, b) => a.timeline.open - b.timeline.open)[0]
    if (oldest === undefined) return undefined
    const latencyMs = connections.find(({ rtt }) => rtt !== undefined)?.rtt
    const identity = this.#identities.get(peer)
    const counts = connections.map((connection) => this.#traffic.bytesOf(connection))
    return {
      peer,
      addresses: connections.map(({ remoteAddr }) => remoteAddr.toString()),
      direction: oldest.direction,
      ...(latencyMs === undefined ? {} : { latencyMs }),
      protocols: identity?.protocols ?? [],
      ...(identity === undefined ? {} : { agent: identity.agent }),
      sentBytes: counts.reduce((total, { sentBytes }) => total + sentBytes, 0),
      receivedBytes: counts.reduce((total, { receivedBytes }) => total + receivedBytes, 0),
      sinceMs: oldest.timeline.open,
      encryption: oldest.encryption ?? '',
      isRelayed: connections.every(({ direct }) => !direct)
    }
  }
}

/** The library would end each stream as if all had been said, and a half message would pass for a whole one. */
function resetStreams (connections: readonly Connection[]): void {
  for (const stream of connections.flatMap(({ streams }) => [...streams])) stream.abort(new Error('The connection is closed'))
}

function openError (peer: PeerId, protocols: readonly string[], cause: unknown): HoldfastError {
  const name = cause instanceof Error ? cause.name : ''
  if (name === 'UnsupportedProtocolError') return new HoldfastError('UNSUPPORTED', `${peer} does not speak ${protocols.join(' or ')}`, { cause, peer, protocols })
  if (name === 'LimitedConnectionError') return new HoldfastError('UNAVAILABLE', `Only a relay connects this node with ${peer}, and a relay carries few bytes: no content`, { cause, peer, protocols, attempts: [] })
  const why = cause instanceof Error && cause.message !== '' ? cause.message : name
  return new HoldfastError('UNAVAILABLE', `Cannot open a stream for ${protocols.join(' or ')} with ${peer}: ${why}`, { cause, peer, protocols, attempts: [] })
}
