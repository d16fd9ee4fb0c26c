import type { Connection } from '@libp2p/interface'
import type { HeldBytes } from '../host.ts'
import { TlsStream } from '../tls/tls-stream.ts'
import type { TrafficBook } from '../traffic.ts'
import { hiddenBytesOf } from '../yamux/guarded-muxer.ts'
import type { ByteLedger } from './byte-ledger.ts'

/** What the library holds for a connection. */
export interface ConnectionSample {
  readonly heldBytes: number
  /** Of these, what has left its stream and waits for the line. Some goes out with each `drain` of any stream. */
  readonly lineBytes: number
}

/**
 * Puts on each peer's account what the library holds for its connections: bytes that nobody has taken out of a stream yet, and bytes
 * that wait to be sent, in the streams, under them and in the socket.
 *
 * The library tells nobody when these change, so they are looked at after each piece that comes in, and when we write.
 */
export class ConnectionMeters {
  readonly #ledger: ByteLedger
  readonly #traffic: TrafficBook
  readonly #meters = new Map<Connection, Meter>()

  constructor (ledger: ByteLedger, traffic: TrafficBook) {
    this.#ledger = ledger
    this.#traffic = traffic
  }

  /** To be called with each connection that opens, before anything else happens on it. */
  opened (connection: Connection): void {
    const muxer = fieldOf(connection, 'muxer')
    const secured = fieldOf(muxer, 'maConn')
    const link = fieldOf(connection, 'maConn')
    if (typeof muxer !== 'object' || muxer === null || !isSecured(secured) || !isBuffered(link)) throw new Error('This version of libp2p has no connections that can be measured')
    this.#meters.set(connection, { held: this.#ledger.hold(connection.remotePeer.toString()), muxer, secured, link })
    // After the muxer's own listener, which was there first.
    const sample = (): void => { this.sample(connection) }
    if (secured instanceof TlsStream) secured.watch(sample)
    else secured.addEventListener('message', sample)
  }

  closed (connection: Connection): void {
    this.#meters.get(connection)?.held[Symbol.dispose]()
    this.#meters.delete(connection)
  }

  /** Looks again at what the library holds for a connection. */
  sample (connection: Connection): ConnectionSample {
    const meter = this.#meters.get(connection)
    if (meter === undefined) return { heldBytes: 0, lineBytes: 0 }
    let byteLength = this.#traffic.waitingBytesOf(connection) + hiddenBytesOf(meter.muxer)
    byteLength += waitingBytesOf(meter.secured) + waitingBytesOf(meter.link)
    for (const stream of connection.streams) byteLength += waitingBytesOf(stream)
    try {
      countTo(meter.held, byteLength)
    } catch {
      // The ledger has ended the connections of this peer already, and said why.
    }
    return { heldBytes: byteLength, lineBytes: meter.secured.writeBufferLength }
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

function waitingBytesOf ({ readBufferLength, writeBufferLength }: Buffered): number {
  return readBufferLength + writeBufferLength
}

interface Secured extends Buffered {
  addEventListener(type: 'message', listener: () => void): void
}

interface Meter {
  readonly held: HeldBytes
  readonly muxer: object
  /** The encrypted stream under the muxer. */
  readonly secured: Secured
  /** What is under the encryption. */
  readonly link: Buffered
}

/** A field that the library's types call private. */
function fieldOf (value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

function isBuffered (value: unknown): value is Buffered {
  return typeof value === 'object' && value !== null && 'writeBufferLength' in value && 'readBufferLength' in value
}

function isSecured (value: unknown): value is Secured {
  return isBuffered(value) && 'addEventListener' in value
}
