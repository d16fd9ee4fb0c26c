import { type AbortOptions, HoldfastError } from '@holdfast/core'
import type { Connection, Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { AbstractStream } from '@libp2p/utils'
import { Uint8ArrayList } from 'uint8arraylist'
import { ByteQueue } from './byte-queue.ts'
import { nextDrain, waitUntilWritten } from './drain.ts'
import type { HeldBytes, PeerId, PeerStream } from './host.ts'
import { type ConnectionSample, countTo } from './limits/connection-meters.ts'
import { CONNECTION_WRITE_BYTES, LINGER_MS, MAX_PEER_BYTES, READ_QUEUE_BYTES, WRITE_QUEUE_BYTES } from './limits.ts'
import type { ProtocolCounter } from './traffic.ts'
import { StreamWindow } from './yamux/stream-window.ts'

export interface StreamBooks {
  readonly counter: ProtocolCounter
  /** A line of its own on the account of the peer; the stream gives it back. */
  readonly held: HeldBytes
  /** Puts on the account what the library holds for the connection, and tells how much it is. */
  readonly sample: () => ConnectionSample
  /** How many bytes the peer may make this node hold now. @default what any peer may */
  readonly allowedBytes?: () => number
}

/** Makes our stream of a stream of libp2p. To be called in the tick in which the library gives it. */
export function createPeerStream (stream: Stream, connection: Connection, books: StreamBooks): PeerStream {
  const ours = new Libp2pPeerStream(stream, connection, books)
  ourStreams.set(stream, ours)
  return ours
}

/** Ours by the library's. */
const ourStreams = new WeakMap<Stream, Libp2pPeerStream>()

/**
 * Grants a peer at once what it is allowed to send on a stream.
 *
 * Otherwise it learns of a wider window a round trip after the first bytes for which it is meant, and has long used up the old one.
 */
export function grantAllowance (stream: Stream): void {
  ourStreams.get(stream)?.grantAllowance()
}

class Libp2pPeerStream implements PeerStream {
  readonly peer: PeerId
  readonly protocol: string
  readonly connectionId: string
  readonly #stream: Stream
  readonly #counter: ProtocolCounter
  readonly #held: HeldBytes
  readonly #sample: () => ConnectionSample
  readonly #allowedBytes: () => number
  readonly #window: StreamWindow
  readonly #queue = new ByteQueue()
  #isHeld = false
  #isDropped = false
  #hasReceived = false
  /** The peer said that nothing more comes. Without it an end is a loss. */
  #hasPeerClosed: boolean
  #end: 'open' | 'ended' | HoldfastError = 'open'
  #wake: (() => void) | undefined

  constructor (stream: Stream, connection: Connection, { counter, held, sample, allowedBytes = () => MAX_PEER_BYTES }: StreamBooks) {
    this.#stream = stream
    this.#counter = counter
    this.#held = held
    this.#sample = sample
    this.#allowedBytes = allowedBytes
    this.#window = new StreamWindow(stream)
    this.peer = connection.remotePeer.toString()
    this.protocol = stream.protocol
    this.connectionId = connection.id
    this.#hasPeerClosed = stream.remoteWriteStatus === 'closed' && stream.status === 'open'
    if (stream.readableEnded || stream.status !== 'open') this.#finish(undefined)

    stream.addEventListener('remoteCloseWrite', () => { this.#hasPeerClosed = true })
    stream.addEventListener('end', () => { this.#finish(undefined) })
    stream.addEventListener('close', ({ error }: StreamCloseEvent) => { this.#onClose(error) })
    stream.addEventListener('message', (event: StreamMessageEvent) => { this.#onMessage(event.data) })
  }

  async * read (): AsyncIterable<Uint8Array> {
    while (true) {
      const bytes = this.#queue.shift()
      if (bytes !== undefined) {
        if (!this.#isDropped) this.#count()
        this.#release()
        yield bytes
      } else if (this.#end === 'ended') {
        return
      } else if (this.#end !== 'open') {
        throw this.#end
      } else {
        await this.#nextEvent()
      }
    }
  }

  async write (parts: readonly Uint8Array[], { signal }: AbortOptions = {}): Promise<void> {
    signal?.throwIfAborted()
    this.#requireWritable()
    // Many streams together could make this node hold too much for one peer, where each alone does not.
    while (this.#sample().lineBytes > CONNECTION_WRITE_BYTES) await nextDrain(this.#stream, signal)
    this.#requireWritable()
    const list = new Uint8ArrayList(...parts)
    this.#counter.sentBytes += list.byteLength
    try {
      this.#stream.send(list)
    } catch (cause) {
      throw this.#lost(cause)
    }
    // Never for the other streams, which the peer may have stopped for good.
    const isCrowded = this.#sample().heldBytes > CONNECTION_WRITE_BYTES
    await waitUntilWritten(this.#stream, isCrowded ? 0 : WRITE_QUEUE_BYTES, signal)
    this.#sample()
  }

  async closeWrite (): Promise<void> {
    try {
      await this.#stream.close({ signal: AbortSignal.timeout(LINGER_MS) })
    } catch (cause) {
      throw this.#lost(cause)
    }
  }

  abort (reason: Error): void {
    this.#drop()
    this.#stream.abort(reason)
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#drop()
    if (this.#stream.status !== 'open') return
    // A peer that never closes its side would keep the stream, and a place in the limits, for ever.
    const timer = setTimeout(() => { this.#stream.abort(new Error('The peer left its side open')) }, LINGER_MS).unref()
    this.#stream.addEventListener('close', () => { clearTimeout(timer) })
    await this.closeWrite().catch((err: unknown) => { this.#stream.abort(err instanceof Error ? err : new Error(String(err))) })
    await this.#stream.closeRead().catch(() => {})
  }

  /** Not where nothing ever came: the peer talks on other streams, and may not take all that is granted on each. */
  grantAllowance (): void {
    if (this.#isDropped || this.#isHeld || !this.#hasReceived || this.#end !== 'open') return
    this.#window.fit(this.#allowedBytes())
    this.#window.grant()
  }

  #onMessage (data: Uint8Array | Uint8ArrayList): void {
    this.#counter.receivedBytes += data.byteLength
    this.#hasReceived = true
    if (this.#isDropped) return
    this.#window.fit(this.#allowedBytes())
    if (data instanceof Uint8Array) this.#queue.push(data)
    else for (const part of data) this.#queue.push(part)
    if (this.#queue.byteLength >= READ_QUEUE_BYTES) this.#hold()
    this.#count()
    this.#wake?.()
  }

  /** Puts what waits here on the account of the peer. Where it is too much the connections of the peer end, so nothing is kept. */
  #count (): void {
    try {
      countTo(this.#held, this.#queue.byteLength)
    } catch {
      this.#queue.clear()
      countTo(this.#held, 0)
    }
  }

  /** From here on nobody reads. */
  #drop (): void {
    this.#isDropped = true
    this.#queue.clear()
    this.#held[Symbol.dispose]()
  }

  /**
   * Grants the peer no more window.
   *
   * Not the stream's `pause()`: that keeps what is on its way in the library, as many pieces as the peer liked to cut it
   * into, and `resume()` grants a second window while the first is still here.
   */
  #hold (): void {
    if (this.#isHeld || !(this.#stream instanceof AbstractStream)) return
    this.#isHeld = true
    this.#stream.sendPause()
  }

  #release (): void {
    if (!this.#isHeld || this.#queue.byteLength > READ_QUEUE_BYTES / 2 || !(this.#stream instanceof AbstractStream)) return
    this.#isHeld = false
    this.#window.fit(this.#allowedBytes())
    if (this.#stream.status === 'open') this.#stream.sendResume()
  }

  #onClose (error: Error | undefined): void {
    // Bytes that came before anybody listened are delivered first; the library's `end` follows them.
    if (error === undefined && this.#hasPeerClosed && !this.#stream.readableEnded) return
    this.#finish(error)
  }

  #finish (error: Error | undefined): void {
    if (this.#end !== 'open') return
    this.#end = error === undefined && this.#hasPeerClosed ? 'ended' : this.#lost(error)
    this.#wake?.()
  }

  async #nextEvent (): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wake = resolve
    await promise
    this.#wake = undefined
  }

  #requireWritable (): void {
    if (this.#stream.writeStatus !== 'writable') throw this.#lost(undefined)
  }

  #lost (cause: unknown): HoldfastError {
    const why = this.#stream.status === 'reset' ? 'the peer reset it' : this.#stream.status === 'aborted' ? 'it was aborted' : 'the connection is gone'
    return new HoldfastError('UNAVAILABLE', `The ${this.protocol} stream with ${this.peer} ended early: ${why}`, { cause, peer: this.peer, protocol: this.protocol })
  }
}
