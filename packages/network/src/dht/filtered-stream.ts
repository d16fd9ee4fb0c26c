import type { Stream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import { AbstractStream, type SendResult } from '@libp2p/utils'
import { Uint8ArrayList } from 'uint8arraylist'
import type { HeldBytes } from '../host.ts'
import { countTo } from '../limits/connection-meters.ts'
import { MAX_DHT_RECORDS_PER_SECOND } from '../limits.ts'
import type { ProtocolCounter } from '../traffic.ts'
import type { Backlog } from './backlog.ts'
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
  /** Whether what came last was beyond a rate: what else has come then waits for `OVER_RATE_PAUSE_MS`. */
  readonly isOverRate: boolean
}

export interface FilterBooks {
  readonly counter: ProtocolCounter
  /** A line of its own on the account of the peer; the stream gives it back. */
  readonly held: HeldBytes
}

export interface FilterDeps extends FilterBooks {
  /** Where messages wait that come faster than their turn; one for all streams. */
  readonly backlog: Backlog
}

/**
 * Messages of one stream that are looked at in one turn of the event loop. An ordinary stream brings one or two at a time; of
 * a flood one read of the socket brings thousands, each of which costs some 20 µs and up to 1 ms.
 */
export const MESSAGES_PER_TURN = 16

/** How long a stream beyond a rate is not read, in ms: one stream then brings no more messages than a peer may leave records. */
export const OVER_RATE_PAUSE_MS: number = 1_000 * MESSAGES_PER_TURN / MAX_DHT_RECORDS_PER_SECOND

/** A stream of messages with a filter in it. The library uses it as the stream itself. */
export function filteredStream (inner: Stream, filter: MessageFilter, deps: FilterDeps): Stream {
  return new FilteredStream(inner, filter, deps)
}

/** The other end of a filtered stream; gone when it is closed. */
interface Parts {
  readonly inner: Stream
  readonly filter: MessageFilter
}

// Extends, because the library's own half of a stream is this class, and has no other form.
class FilteredStream extends AbstractStream {
  /** Let go with the stream: the library holds each stream for the 10 s of a timer, also one that was refused at once. */
  #parts: Parts | undefined
  readonly #counter: ProtocolCounter
  readonly #held: HeldBytes
  readonly #backlog: Backlog
  readonly #received: MessageFrames
  readonly #sent: MessageFrames
  /** Whether messages may have come that wait for their turn. */
  #isBehind = false
  #isEnded = false
  /** Whether the peer's window is kept shut. */
  #isShut = false
  #pause: NodeJS.Timeout | undefined
  readonly #readOn = (): void => { this.#readSome() }

  constructor (inner: Stream, filter: MessageFilter, { counter, held, backlog }: FilterDeps) {
    super({ id: inner.id, protocol: inner.protocol, direction: inner.direction, log: inner.log, maxReadBufferLength: filter.maxReceivedBytes + FRAME_BYTES, inactivityTimeout: inner.inactivityTimeout })
    this.#parts = { inner, filter }
    this.#counter = counter
    this.#held = held
    this.#backlog = backlog
    this.#received = new MessageFrames(filter.maxReceivedBytes)
    this.#sent = new MessageFrames(filter.maxSentBytes)
    if (inner.remoteWriteStatus !== 'writable') this.#onEnd()
    inner.addEventListener('drain', () => { this.safeDispatchEvent('drain') })
    inner.addEventListener('end', () => { this.#onEnd() })
    inner.addEventListener('close', ({ error }: StreamCloseEvent) => { this.onTransportClosed(error) })
    this.addEventListener('close', () => { this.#letGo() })
    inner.addEventListener('message', ({ data }: StreamMessageEvent) => { this.#onMessage(data) })
  }

  override sendData (data: Uint8ArrayList): SendResult {
    if (this.#parts === undefined) throw new Error('The stream is closed')
    const { inner, filter } = this.#parts
    const sentBytes = data.byteLength
    const out = new Uint8ArrayList()
    for (const message of this.#sent.push(data)) out.append(frame(filter.sent(message)))
    this.#counter.sentBytes += out.byteLength
    return { sentBytes, canSendMore: out.byteLength === 0 || inner.send(out) }
  }

  override sendReset (err: Error): void {
    this.#parts?.inner.abort(err)
  }

  override sendPause (): void {
    if (this.#parts?.inner instanceof AbstractStream) this.#parts.inner.sendPause()
  }

  override sendResume (): void {
    if (this.#parts?.inner instanceof AbstractStream) this.#parts.inner.sendResume()
  }

  override async sendCloseWrite (options?: { signal?: AbortSignal }): Promise<void> {
    await this.#parts?.inner.close(options)
  }

  override async sendCloseRead (options?: { signal?: AbortSignal }): Promise<void> {
    await this.#parts?.inner.closeRead(options)
  }

  #onMessage (data: Uint8Array | Uint8ArrayList): void {
    this.#counter.receivedBytes += data.byteLength
    if (this.#parts === undefined) return
    this.#received.push(data)
    if (this.#isBehind) return this.#countHeld()
    this.#isBehind = true
    this.#readSome()
  }

  /** Looks at some of the messages that wait, and leaves the rest for later turns. Meanwhile the peer's window is not opened. */
  #readSome (): void {
    if (this.#parts === undefined) return
    try {
      for (let count = 0; count < MESSAGES_PER_TURN && this.#isBehind; count++) {
        const message = this.#received.next()
        if (message === undefined) this.#isBehind = false
        else this.#pass(message, this.#parts.filter)
      }
      if (this.status === 'open') this.#countHeld()
      if (this.status !== 'open' || this.#parts === undefined) return
      if (this.#isBehind) this.#putOff(this.#parts)
      else this.#catchUp(this.#parts)
    } catch (err) {
      this.abort(err instanceof Error ? err : new Error(String(err)))
    }
  }

  #pass (message: Uint8Array, filter: MessageFilter): void {
    const passed = filter.received(message)
    if (passed !== undefined) this.onData(frame(passed))
  }

  #countHeld (): void {
    try {
      countTo(this.#held, this.#received.heldBytes + this.readBufferLength + this.writeBufferLength)
    } catch (err) {
      this.abort(err instanceof Error ? err : new Error(String(err)))
    }
  }

  /**
   * Grants the peer no more window until the rest has been read. Not `pause()`: what came meanwhile would be handed out all at once by
   * `resume()`, which then grants a second window while the first is still here.
   */
  #putOff ({ inner, filter }: Parts): void {
    if (!this.#isShut && inner instanceof AbstractStream) inner.sendPause()
    this.#isShut = true
    if (filter.isOverRate) this.#pause = setTimeout(() => { this.#backlog.add(this.#readOn) }, OVER_RATE_PAUSE_MS)
    else this.#backlog.add(this.#readOn)
  }

  #catchUp ({ inner }: Parts): void {
    if (this.#isShut && inner instanceof AbstractStream) inner.sendResume()
    this.#isShut = false
    if (this.#isEnded) this.onRemoteCloseWrite()
  }

  #onEnd (): void {
    this.#isEnded = true
    if (this.status === 'open' && !this.#isBehind) this.onRemoteCloseWrite()
  }

  #letGo (): void {
    clearTimeout(this.#pause)
    this.#backlog.delete(this.#readOn)
    this.#isBehind = false
    this.#received.clear()
    this.#sent.clear()
    this.#held[Symbol.dispose]()
    this.#parts = undefined
  }
}

/** The length in front of a message. */
const FRAME_BYTES = 8
