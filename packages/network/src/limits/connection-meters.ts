import type { Connection } from '@libp2p/interface'
import type { HeldBytes } from '../host.ts'
import type { TrafficBook } from '../traffic.ts'
import type { ByteLedger } from './byte-ledger.ts'

/**
 * Puts on each peer's account what the library holds for its connections: bytes that nobody has taken out of a stream yet, and bytes
 * that wait to be sent, in the streams, under them and in the socket.
 *
 * The library tells nobody when these change, so they are looked at after each piece that comes in, and when we write.
 */
export class ConnectionMeters {
  readonly #ledger: ByteLedger
  readonly #traffic: TrafficBook
  readonly #meters = new Map<Connection, { readonly held: HeldBytes, readonly below: readonly Buffered[] }>()

  constructor (ledger: ByteLedger, traffic: TrafficBook) {
    this.#ledger = ledger
    this.#traffic = traffic
  }

  /** To be called with each connection that opens, before anything else happens on it. */
  opened (connection: Connection): void {
    const secured = securedOf(connection)
    this.#meters.set(connection, { held: this.#ledger.hold(connection.remotePeer.toString()), below: secured === undefined ? [] : [secured] })
    // After the muxer's own listener, which was there first.
    secured?.addEventListener('message', () => { this.sample(connection) })
  }

  closed (connection: Connection): void {
    this.#meters.get(connection)?.held[Symbol.dispose]()
    this.#meters.delete(connection)
  }

  /** Looks again at what the library holds for a connection. */
  sample (connection: Connection): void {
    const meter = this.#meters.get(connection)
    if (meter === undefined) return
    let byteLength = this.#traffic.waitingBytesOf(connection)
    for (const { readBufferLength, writeBufferLength } of [...connection.streams, ...meter.below]) byteLength += readBufferLength + writeBufferLength
    try {
      countTo(meter.held, byteLength)
    } catch {
      // The ledger has ended the connections of this peer already, and said why.
    }
  }
}

/**
 * Makes a line hold `byteLength` bytes.
 *
 * @throws `LIMIT` as `add`.
 */
export function countTo (held: HeldBytes, byteLength: number): void {
  const more = byteLength - held.heldBytes
  if (more > 0) held.add(more)
  else if (more < 0) held.subtract(-more)
}

interface Buffered {
  readonly readBufferLength: number
  readonly writeBufferLength: number
}

interface Secured extends Buffered {
  addEventListener(type: 'message', listener: () => void): void
}

/** The encrypted stream under the muxer of a connection; the library keeps both in fields that its types call private. */
function securedOf (connection: Connection): Secured | undefined {
  const muxer: unknown = 'muxer' in connection ? connection.muxer : undefined
  const secured: unknown = typeof muxer === 'object' && muxer !== null && 'maConn' in muxer ? muxer.maConn : undefined
  return isSecured(secured) ? secured : undefined
}

function isSecured (value: unknown): value is Secured {
  return typeof value === 'object' && value !== null && 'writeBufferLength' in value && 'readBufferLength' in value && 'addEventListener' in value
}
