import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { AbstractStream, type SendResult } from '@libp2p/utils'
import { Uint8ArrayList } from 'uint8arraylist'
import type { HeldBytes } from '../host.ts'
import { countTo } from '../limits/connection-meters.ts'
import type { ProtocolCounter } from '../traffic.ts'
import { frame } from './dht-message.ts'
import { MessageFrames } from './message-frames.ts'

/** What to do with the messages of one stream. Throwing resets the stream. */
export interface MessageFilter {
  readonly maxReceivedBytes: number
  readonly maxSentBytes: number
  /** @returns what the library gets to see, or `undefined` for nothing */
  received(message: Uint8Array): Uint8Array | undefined
  /** @returns what the peer gets to see */
  sent(message: Uint8Array): Uint8Array
}

export interface FilterBooks {
  readonly counter: ProtocolCounter
  /** A line of its own on the account of the peer; the stream gives it back. */
  readonly held: HeldBytes
}

/** A stream of messages with a filter in it. The library uses it as the stream itself. */
export function filteredStream (inner: Stream, filter: MessageFilter, books: FilterBooks): Stream {
  return new FilteredStream(inner, filter, books)
}

// Extends, because the library's own half of a stream is this class, and has no other form.
class FilteredStream extends AbstractStream {
  readonly #inner: Stream
  readonly #filter: MessageFilter
  readonly #counter: ProtocolCounter
  readonly #held: HeldBytes
  readonly #received: MessageFrames
  readonly #sent: MessageFrames

  constructor (inner: Stream, filter: MessageFilter, { counter, held }: FilterBooks) {
    super({ id: inner.id, protocol: inner.protocol, direction: inner.direction, log: inner.log, maxReadBufferLength: filter.maxReceivedBytes + FRAME_BYTES, inactivityTimeout: inner.inactivityTimeout })
    this.#inner = inner
    this.#filter = filter
    this.#counter = counter
    this.#held = held
    this.#received = new MessageFrames(filter.maxReceivedBytes)
    this.#sent = new MessageFrames(filter.maxSentBytes)
    if (inner.remoteWriteStatus !== 'writable') this.#onEnd()
    inner.addEventListener('drain', () => { this.safeDispatchEvent('drain') })
    inner.addEventListener('end', () => { this.#onEnd() })
    inner.addEventListener('close', ({ error }: StreamCloseEvent) => { this.onTransportClosed(error) })
    this.addEventListener('close', () => { held[Symbol.dispose]() })
    inner.addEventListener('message', ({ data }: StreamMessageEvent) => { this.#onMessage(data) })
  }

  override sendData (data: Uint8ArrayList): SendResult {
    const sentBytes = data.byteLength
    const out = new Uint8ArrayList()
    for (const message of this.#sent.push(data)) out.append(frame(this.#filter.sent(message)))
    this.#counter.sentBytes += out.byteLength
    return { sentBytes, canSendMore: out.byteLength === 0 || this.#inner.send(out) }
  }

  override sendReset (err: Error): void {
    this.#inner.abort(err)
  }

  override sendPause (): void {
    if (this.#inner instanceof AbstractStream) this.#inner.sendPause()
  }

  override sendResume (): void {
    if (this.#inner instanceof AbstractStream) this.#inner.sendResume()
  }

  override async sendCloseWrite (options?: { signal?: AbortSignal }): Promise<void> {
    await this.#inner.close(options)
  }

  override async sendCloseRead (options?: { signal?: AbortSignal }): Promise<void> {
    await this.#inner.closeRead(options)
  }

  #onMessage (data: Uint8Array | Uint8ArrayList): void {
    this.#counter.receivedBytes += data.byteLength
    try {
      for (const message of this.#received.push(data)) {
        const passed = this.#filter.received(message)
        if (passed !== undefined) this.onData(frame(passed))
      }
      if (this.status === 'open') countTo(this.#held, this.#received.heldBytes + this.readBufferLength + this.writeBufferLength)
    } catch (err) {
      this.abort(err instanceof Error ? err : new Error(String(err)))
    }
  }

  #onEnd (): void {
    if (this.status === 'open') this.onRemoteCloseWrite()
  }
}

/** The length in front of a message. */
const FRAME_BYTES = 8
