import { type AbortOptions, HoldfastError } from '@holdfast/core'
import type { Connection, Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { AbstractStream } from '@libp2p/utils'
import { Uint8ArrayList } from 'uint8arraylist'
import { ByteQueue } from './byte-queue.ts'
import { waitUntilWritten } from './drain.ts'
import type { PeerId, PeerStream } from './host.ts'
import { LINGER_MS, READ_QUEUE_BYTES, WRITE_QUEUE_BYTES } from './limits.ts'
import type { ProtocolCounter } from './traffic.ts'

/** Makes our stream of a stream of libp2p. To be called in the tick in which the library gives it. */
export function createPeerStream (stream: Stream, connection: Connection, counter: ProtocolCounter): PeerStream {
  return new Libp2pPeerStream(stream, connection, counter)
}

class Libp2pPeerStream implements PeerStream {
  readonly peer: PeerId
  readonly protocol: string
  readonly connectionId: string
  readonly #stream: Stream
  readonly #counter: ProtocolCounter
  readonly #queue = new ByteQueue()
  #isHeld = false
  /** The peer said that nothing more comes. Without it an end is a loss. */
  #hasPeerClosed: boolean
  #end: 'open' | 'ended' | HoldfastError = 'open'
  #wake: (() => void) | undefined

  constructor (stream: Stream, connection: Connection, counter: ProtocolCounter) {
    this.#stream = stream
    this.#counter = counter
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
    const list = new Uint8ArrayList(...parts)
    this.#counter.sentBytes += list.byteLength
    try {
      this.#stream.send(list)
    } catch (cause) {
      throw this.#lost(cause)
    }
    await waitUntilWritten(this.#stream, WRITE_QUEUE_BYTES, signal)
  }

  async closeWrite (): Promise<void> {
    try {
      await this.#stream.close({ signal: AbortSignal.timeout(LINGER_MS) })
    } catch (cause) {
      throw this.#lost(cause)
    }
  }

  abort (reason: Error): void {
    this.#stream.abort(reason)
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#queue.clear()
    if (this.#stream.status !== 'open') return
    // A peer that never closes its side would keep the stream, and a place in the limits, for ever.
    const timer = setTimeout(() => { this.#stream.abort(new Error('The peer left its side open')) }, LINGER_MS).unref()
    this.#stream.addEventListener('close', () => { clearTimeout(timer) })
    await this.closeWrite().catch((err: unknown) => { this.#stream.abort(err instanceof Error ? err : new Error(String(err))) })
    await this.#stream.closeRead().catch(() => {})
  }

  #onMessage (data: Uint8Array | Uint8ArrayList): void {
    this.#counter.receivedBytes += data.byteLength
    if (data instanceof Uint8Array) this.#queue.push(data)
    else for (const part of data) this.#queue.push(part)
    if (this.#queue.byteLength >= READ_QUEUE_BYTES) this.#hold()
    this.#wake?.()
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
