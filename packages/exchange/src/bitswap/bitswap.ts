import { HoldfastError, type Logger } from '@holdfast/core'
import type { PeerId, PeerStream } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import type { Exchange, ExchangeDeps, ExchangeSession, SessionOptions } from '../exchange.ts'
import { BitswapClient, type ClientStats } from './client.ts'
import { FetchSession } from './fetch-session.ts'
import { readFrames } from './frames.ts'
import { decodeMessage } from './message.ts'
import { Outbox } from './outbox.ts'
import { BITSWAP_PROTOCOLS } from './protocols.ts'
import { BitswapServer, type ServerStats, type Serving } from './server.ts'
import { Watchdog } from './watchdog.ts'

/** Streams that a peer may have open to us; Kubo opens one per message, and eight at a time. */
export const MAX_STREAMS_PER_PEER = 16

/** How long a message may stand still once it began, in milliseconds. */
export const MESSAGE_STALL_MS = 30_000

/**
 * When a connected peer that could not be sent to is tried again, in milliseconds; each time in a row twice as late. The first time is
 * soon: a node listens before all of its parts are there, and who connects in between finds no Bitswap.
 */
const MIN_REACH_AGAIN_MS = 500
const MAX_REACH_AGAIN_MS = 60_000

/** What went in and out since the exchange was opened, and what is under way. */
export interface BitswapStats extends ClientStats, ServerStats {
  readonly peerCount: number
}

interface Partner {
  readonly outbox: Outbox
  readonly serving: Serving
}

/** Bitswap with every connected peer: reads their messages and hands them to the server and the client. */
export class Bitswap implements Exchange {
  readonly #deps: ExchangeDeps
  readonly #log: Logger
  readonly #server: BitswapServer
  readonly #client: BitswapClient
  readonly #partners = new Map<PeerId, Partner>()
  /** Connected peers that could not be sent to, and when each is tried the next time. */
  readonly #reachAgainMs = new Map<PeerId, number>()
  readonly #opened = new AsyncDisposableStack()

  private constructor (deps: ExchangeDeps) {
    this.#deps = deps
    this.#log = deps.log
    this.#server = new BitswapServer(deps)
    this.#client = new BitswapClient({ host: deps.host, blocks: deps.blocks, log: deps.log, onStored: (cids) => { this.#server.announce(cids) } })
  }

  static async open (deps: ExchangeDeps): Promise<Bitswap> {
    const bitswap = new Bitswap(deps)
    await bitswap.#start()
    return bitswap
  }

  openSession (root: CID, options: SessionOptions = {}): ExchangeSession {
    const { host, routing, blocks } = this.#deps
    return new FetchSession({ host, routing, blocks, client: this.#client, log: this.#log.child({ root: root.toString() }) }, root, options)
  }

  announce (cids: readonly CID[]): void {
    this.#server.announce(cids)
    this.#client.stored(cids)
  }

  stats (): BitswapStats {
    return { peerCount: this.#partners.size, ...this.#client.stats, ...this.#server.stats }
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    await this.#opened.disposeAsync()
  }

  async #start (): Promise<void> {
    const { host } = this.#deps
    this.#opened.defer(() => { this.#end() })
    this.#opened.use(await host.handle(BITSWAP_PROTOCOLS, async (stream) => { await this.#serve(stream) }, { maxInboundStreams: MAX_STREAMS_PER_PEER, maxOutboundStreams: MAX_STREAMS_PER_PEER }))
    this.#opened.use(host.watchPeers({
      connected: (peer) => { if (this.#deps.host.isConnected(peer)) this.#partner(peer) },
      disconnected: (peer) => {
        this.#reachAgainMs.delete(peer)
        this.#forget(peer)
      }
    }))
  }

  #end (): void {
    this.#client[Symbol.dispose]()
    for (const peer of Array.from(this.#partners.keys())) this.#forget(peer)
  }

  #partner (peer: PeerId): Partner {
    const known = this.#partners.get(peer)
    if (known !== undefined) return known
    if (!this.#deps.host.isConnected(peer)) throw new HoldfastError('UNAVAILABLE', `Peer ${peer} is not connected`, { peer })
    const outbox = new Outbox(this.#deps.host, peer, {
      onStream: async (stream) => { await this.#read(stream) },
      onFailure: (err) => { this.#unreachable(peer, err) }
    })
    const partner = { outbox, serving: this.#server.serve(outbox) }
    this.#partners.set(peer, partner)
    this.#client.connected(peer, outbox)
    return partner
  }

  /** Nothing of a peer outlives its connection. */
  #forget (peer: PeerId): void {
    const partner = this.#partners.get(peer)
    if (partner === undefined) return
    this.#partners.delete(peer)
    this.#client.disconnected(peer)
    partner.serving[Symbol.dispose]()
    partner.outbox[Symbol.dispose]()
  }

  /** Connected, but no message reaches it: it does not speak Bitswap, or does not read. It may come back with a message of its own. */
  #unreachable (peer: PeerId, err: unknown): void {
    this.#log.debug('Peer cannot be sent to', { peer, err })
    this.#forget(peer)
    if (!this.#deps.host.isConnected(peer)) return
    const afterMs = this.#reachAgainMs.get(peer) ?? MIN_REACH_AGAIN_MS
    this.#reachAgainMs.set(peer, Math.min(2 * afterMs, MAX_REACH_AGAIN_MS))
    setTimeout(() => {
      if (!this.#opened.disposed && this.#deps.host.isConnected(peer)) this.#partner(peer)
    }, afterMs).unref()
  }

  /** A stream that a peer opened: it will want answers. */
  async #serve (stream: PeerStream): Promise<void> {
    if (this.#deps.host.isConnected(stream.peer)) this.#partner(stream.peer).outbox.prepare()
    await this.#read(stream)
  }

  /** Reads the messages of a stream until it ends, or until one of them breaks the rules. */
  async #read (stream: PeerStream): Promise<void> {
    const { peer } = stream
    using watchdog = new Watchdog(MESSAGE_STALL_MS, () => { stream.abort(new HoldfastError('UNAVAILABLE', `Message of ${peer} stood still for ${MESSAGE_STALL_MS} ms`)) })
    // A message that is half there counts on the peer's account, beside what waits in its streams.
    using held = this.#deps.host.holdBytes(peer)
    try {
      this.#partner(peer)
      const onChunk = (isInsideMessage: boolean): void => {
        if (!isInsideMessage) return
        this.#client.heard(peer)
        watchdog.arm()
      }
      for await (const bytes of readFrames(stream.read(), { held, onChunk })) {
        watchdog.disarm()
        await this.#receive(peer, bytes)
      }
    } catch (err) {
      this.#log.debug('Stream of a peer was given up', { peer, err })
      stream.abort(err instanceof Error ? err : new HoldfastError('INVALID', String(err)))
    }
  }

  async #receive (peer: PeerId, bytes: Uint8Array): Promise<void> {
    const message = decodeMessage(bytes)
    // A peer that was forgotten because it could not be sent to speaks again.
    const { serving } = this.#partner(peer)
    this.#reachAgainMs.delete(peer)
    await this.#client.receive(peer, message)
    await serving.receive(message)
  }
}
