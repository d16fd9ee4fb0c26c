import type { Connection, MultiaddrConnection } from '@libp2p/interface'
import { Socket } from 'node:net'
import type { ByteCounts, PeerId, Traffic } from './host.ts'

/** Bytes inside the streams of one protocol. */
export interface ProtocolCounter {
  sentBytes: number
  receivedBytes: number
}

/** Counts bytes: of the wire by asking the sockets, which count anyway, and of protocols by asking the streams. */
export class TrafficBook {
  readonly #protocols = new Map<string, ProtocolCounter>()
  /** A connection and the socket below it share one timeline object, and nothing else that is public. */
  readonly #socketByTimeline = new WeakMap<object, Socket>()
  readonly #sockets = new Set<Socket>()
  readonly #closed = { sentBytes: 0, receivedBytes: 0 }

  /** The names come from our own code, so there are few. */
  counterOf (protocol: string): ProtocolCounter {
    let counter = this.#protocols.get(protocol)
    if (counter === undefined) {
      counter = { sentBytes: 0, receivedBytes: 0 }
      this.#protocols.set(protocol, counter)
    }
    return counter
  }

  watchSocket (link: MultiaddrConnection, socket: Socket): void {
    this.#socketByTimeline.set(link.timeline, socket)
    this.#sockets.add(socket)
    socket.once('close', () => {
      this.#sockets.delete(socket)
      this.#closed.sentBytes += socket.bytesWritten
      this.#closed.receivedBytes += socket.bytesRead
    })
  }

  /** Bytes of a connection on the wire; a relayed one has no socket of its own. */
  bytesOf (connection: Connection): ByteCounts {
    const socket = this.#socketByTimeline.get(connection.timeline)
    return { sentBytes: socket?.bytesWritten ?? 0, receivedBytes: socket?.bytesRead ?? 0 }
  }

  /** Where the other side of a connection is; `undefined` for one through a relay. */
  ipOf (connection: Connection): string | undefined {
    return this.#socketByTimeline.get(connection.timeline)?.remoteAddress
  }

  /** Bytes that wait in the socket of a connection because the peer takes no more. */
  waitingBytesOf (connection: Connection): number {
    return this.#socketByTimeline.get(connection.timeline)?.writableLength ?? 0
  }

  summary (connections: readonly Connection[]): Traffic {
    const total = sum([this.#closed, ...[...this.#sockets].map((socket) => ({ sentBytes: socket.bytesWritten, receivedBytes: socket.bytesRead }))])
    const known = sum([...this.#protocols.values()])
    const other = { sentBytes: Math.max(0, total.sentBytes - known.sentBytes), receivedBytes: Math.max(0, total.receivedBytes - known.receivedBytes) }
    const byPeer: Record<PeerId, ByteCounts> = {}
    for (const connection of connections) {
      const peer = connection.remotePeer.toString()
      byPeer[peer] = sum([byPeer[peer] ?? { sentBytes: 0, receivedBytes: 0 }, this.bytesOf(connection)])
    }
    return { total, byProtocol: { ...Object.fromEntries([...this.#protocols].map(([name, counter]) => [name, { ...counter }])), other }, byPeer }
  }
}

/** The socket of a TCP link; the library keeps it in a field that its types call private. */
export function socketOf (link: MultiaddrConnection): Socket | undefined {
  return 'socket' in link && link.socket instanceof Socket ? link.socket : undefined
}

function sum (counts: readonly ByteCounts[]): ByteCounts {
  return counts.reduce((total, { sentBytes, receivedBytes }) => ({ sentBytes: total.sentBytes + sentBytes, receivedBytes: total.receivedBytes + receivedBytes }), { sentBytes: 0, receivedBytes: 0 })
}
