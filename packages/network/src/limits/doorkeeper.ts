import { HoldfastError, type Logger } from '@holdfast/core'
import type { Connection, MultiaddrConnection } from '@libp2p/interface'
import type { Socket } from 'node:net'
import type { PeerId } from '../host.ts'
import { MAX_CONNECTIONS, MAX_INBOUND_CONNECTIONS, MAX_INBOUND_PER_GROUP, MAX_INBOUND_PER_PEER, MAX_INBOUND_PER_PRIVATE_GROUP, MAX_PENDING_HANDSHAKES, MAX_PENDING_PER_GROUP, MAX_PENDING_PER_PRIVATE_GROUP } from '../limits.ts'
import type { TrafficBook } from '../traffic.ts'
import { type AddressGroup, addressGroup } from './address-group.ts'
import { leastValuable } from './connection-value.ts'
import { PendingHandshakes } from './pending-handshakes.ts'

export interface DoorLimits {
  readonly maxConnections: number
  readonly maxInbound: number
  readonly maxPending: number
}

export interface DoorkeeperDeps {
  readonly log: Logger
  readonly traffic: TrafficBook
  /** Whether a peer is in a routing table. */
  readonly isTagged: (peer: PeerId) => boolean
}

/**
 * Decides who may be connected: how many in all, how many of them strangers, how many strangers of one network, how often one peer.
 *
 * Bounds the handshakes of others while they last, and the connections afterwards. Who finished a handshake takes the place of the
 * connection that is worth least, so that a crowd of idle ones shuts nobody out. The library only ever refuses the newcomer.
 */
export class Doorkeeper {
  readonly #log: Logger
  readonly #traffic: TrafficBook
  readonly #isTagged: (peer: PeerId) => boolean
  readonly #limits: DoorLimits
  readonly #limitLoopback: boolean
  readonly #pending: PendingHandshakes
  readonly #connections = new Map<Connection, AddressGroup | undefined>()
  readonly #protected = new Map<PeerId, number>()

  constructor ({ log, traffic, isTagged }: DoorkeeperDeps, { limitLoopback = false, ...limits }: Partial<DoorLimits> & { limitLoopback?: boolean } = {}) {
    this.#log = log
    this.#traffic = traffic
    this.#isTagged = isTagged
    this.#limitLoopback = limitLoopback
    this.#limits = { maxConnections: MAX_CONNECTIONS, maxInbound: MAX_INBOUND_CONNECTIONS, maxPending: MAX_PENDING_HANDSHAKES, ...limits }
    this.#pending = new PendingHandshakes(this.#limits.maxPending)
  }

  get pendingCount (): number {
    return this.#pending.count
  }

  get connectionCount (): number {
    return this.#connections.size
  }

  /**
   * Lets a stranger begin a handshake, which lasts until it is disposed.
   *
   * @throws `LIMIT` when this address group has as many connections as it may.
   */
  knock (link: MultiaddrConnection, socket: Socket): Disposable {
    const group = addressGroup(socket.remoteAddress ?? '')
    this.#requireRoom(group)
    return this.#pending.enter({
      ...(group === undefined ? {} : { group: { name: group.name, maxCount: this.#boundOf(group, MAX_PENDING_PER_GROUP, MAX_PENDING_PER_PRIVATE_GROUP) } }),
      hasSpoken: () => socket.bytesRead > 0,
      close: (reason) => { link.abort(reason) }
    })
  }

  /** To be called with each connection whose handshake is done, before anything else happens on it. */
  opened (connection: Connection): void {
    const group = addressGroup(this.#traffic.ipOf(connection) ?? '')
    try {
      if (isInbound(connection)) this.#requireRoom(group)
      this.#connections.set(connection, group)
    } catch (err) {
      this.#end(connection, err instanceof Error ? err : new Error(String(err)))
      return
    }
    for (const old of this.#surplusOf(connection)) this.#end(old, new HoldfastError('LIMIT', `A peer may have opened ${MAX_INBOUND_PER_PEER} connections, and it opened a newer one`))
    while (this.#isOver(isInbound(connection))) this.#end(this.#loser(connection), new HoldfastError('LIMIT', `No room for more than ${this.#limits.maxConnections} connections, ${this.#limits.maxInbound} of them inbound`))
  }

  closed (connection: Connection): void {
    this.#connections.delete(connection)
  }

  /** Keeps the connections of a peer from making room for others, until it is disposed as often as it was asked for. */
  protect (peer: PeerId): Disposable {
    this.#protected.set(peer, (this.#protected.get(peer) ?? 0) + 1)
    let isOver = false
    return {
      [Symbol.dispose]: () => {
        if (isOver) return
        isOver = true
        const count = (this.#protected.get(peer) ?? 1) - 1
        if (count === 0) this.#protected.delete(peer)
        else this.#protected.set(peer, count)
      }
    }
  }

  #requireRoom (group: AddressGroup | undefined): void {
    if (group === undefined) return
    const maxCount = this.#boundOf(group, MAX_INBOUND_PER_GROUP, MAX_INBOUND_PER_PRIVATE_GROUP)
    if (maxCount === Infinity) return
    const count = [...this.#connections].filter(([connection, { name } = { name: '' }]) => name === group.name && isInbound(connection)).length
    if (count >= maxCount) throw new HoldfastError('LIMIT', `${group.name} has ${maxCount} connections to this node already`)
  }

  /** The oldest that a peer has opened, beyond what it may have. */
  #surplusOf (newcomer: Connection): Connection[] {
    if (!isInbound(newcomer)) return []
    return [...this.#connections.keys()].filter((connection) => isInbound(connection) && connection.remotePeer.equals(newcomer.remotePeer)).slice(0, -MAX_INBOUND_PER_PEER)
  }

  #boundOf ({ kind }: AddressGroup, publicCount: number, privateCount: number): number {
    if (kind === 'loopback') return this.#limitLoopback ? publicCount : Infinity
    return kind === 'private' ? privateCount : publicCount
  }

  #isOver (isForStranger: boolean): boolean {
    if (this.#connections.size > this.#limits.maxConnections) return true
    return isForStranger && this.#connections.keys().filter(isInbound).reduce((count) => count + 1, 0) > this.#limits.maxInbound
  }

  /** The one that goes; the newcomer itself where nobody may go for it. */
  #loser (newcomer: Connection): Connection {
    const others = [...this.#connections.keys()].filter((connection) => connection !== newcomer).map((connection) => this.#factsOf(connection))
    return leastValuable(others, { isInbound: isInbound(newcomer), nowMs: Date.now() })?.connection ?? newcomer
  }

  #factsOf (connection: Connection) {
    const peer = connection.remotePeer.toString()
    const { sentBytes, receivedBytes } = this.#traffic.bytesOf(connection)
    return {
      connection,
      isInbound: isInbound(connection),
      isProtected: this.#protected.has(peer),
      isTagged: this.#isTagged(peer),
      streamCount: connection.streams.filter(({ protocol }) => protocol !== '').length,
      movedBytes: sentBytes + receivedBytes,
      openedMs: connection.timeline.open
    }
  }

  #end (connection: Connection, reason: Error): void {
    this.#log.debug('A connection was ended to keep the limits', { peer: connection.remotePeer.toString(), reason: reason.message })
    this.#connections.delete(connection)
    connection.abort(reason)
  }
}

function isInbound ({ direction }: Connection): boolean {
  return direction === 'inbound'
}
