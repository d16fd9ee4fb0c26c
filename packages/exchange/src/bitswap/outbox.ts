import { HoldfastError, isHoldfastError, multihashKey } from '@holdfast/core'
import type { PeerId, PeerStream } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import type { ExchangeHost } from '../exchange-host.ts'
import { MAX_MESSAGE_PRESENCES } from './limits.ts'
import { encodeMessage, type OutgoingMessage } from './message-writer.ts'
import type { BlockPayload, BlockPresence, PresenceType, WantEntry } from './message.ts'
import { BITSWAP_PROTOCOLS, bitswapProtocol } from './protocols.ts'
import { Pace, STALLED, writeParts } from './stream-writer.ts'
import { withTimeLimit } from './time-limit.ts'

/** How long the opening of a stream may take, in milliseconds (libp2p: protocol negotiation). */
const OPEN_TIMEOUT_MS = 10_000

/** A stream without a message for this long is closed, in milliseconds: Helia drops one after 10 s, losing what is written then. */
const IDLE_STREAM_MS = 5_000

/** Bytes of blocks above which a message takes no more: large enough to cost nothing per message, small enough to start soon. */
export const TARGET_MESSAGE_BYTES: number = 512 * 1024

/** Bytes of blocks in a message that holds more than one. */
export const MAX_TARGET_BYTES: number = 1024 * 1024

/** Want-list entries in one message: what a peer keeps of ours. */
const MAX_ENTRIES_PER_MESSAGE = 1024

interface QueuedBlock {
  readonly payload: BlockPayload
  readonly onSent: (isSent: boolean) => void
}

export interface OutboxOptions {
  /** Reads a stream that was opened here: a peer may answer on it. Resolves when it ended. */
  readonly onStream: (stream: PeerStream) => Promise<void>
  /** Told when the peer could not be reached; all that was queued is dropped. */
  readonly onFailure: (err: unknown) => void
}

/**
 * Everything that waits to be sent to one peer, over one long-lived stream.
 *
 * What is queued in one turn of the event loop goes out in one message; while a message is written, the next
 * one gathers. Wants and answers go before blocks. Only the latest want or cancel of a CID is kept.
 */
export class Outbox implements Disposable {
  readonly #host: ExchangeHost
  readonly #peer: PeerId
  readonly #options: OutboxOptions
  readonly #wants = new Map<string, WantEntry>()
  readonly #presences = new Map<string, BlockPresence>()
  #blocks: QueuedBlock[] = []
  readonly #pace = new Pace()
  #stream: PeerStream | undefined
  #isRunning = false
  #isEnded = false
  #idleTimer: NodeJS.Timeout | undefined

  constructor (host: ExchangeHost, peer: PeerId, options: OutboxOptions) {
    this.#host = host
    this.#peer = peer
    this.#options = options
  }

  want (entry: WantEntry): void {
    this.#wants.set(multihashKey(entry.cid), entry)
    this.#wake()
  }

  cancel (cid: CID): void {
    this.want({ cid, priority: 0, isCancel: true, type: 'block', sendDontHave: false })
  }

  /** Answers a want. When 4,096 answers wait because the peer does not read, further ones are dropped. */
  presence (cid: CID, type: PresenceType): void {
    if (this.#presences.size >= MAX_MESSAGE_PRESENCES) return
    this.#presences.set(multihashKey(cid), { cid, type })
    this.#wake()
  }

  /** Queues a block; `onSent` is called once, when it was written or dropped. The caller bounds how many bytes wait. */
  sendBlock (payload: BlockPayload, onSent: (isSent: boolean) => void): void {
    this.#blocks.push({ payload, onSent })
    this.#wake()
  }

  /**
   * Opens the stream before anything is to be sent: whoever opened one to us waits for answers, and the negotiation takes a round
   * trip. A failure is told only when there was something to send.
   */
  prepare (): void {
    if (this.#isRunning || this.#isEnded || this.#stream !== undefined) return
    this.#isRunning = true
    void this.#open().catch(() => {}).then(() => { this.#rest() })
  }

  /** Gives the peer up: what is queued is dropped, what is being written ends. */
  fail (reason: Error): void {
    this.#drop()
    this.#stream?.abort(reason)
    if (!this.#isRunning && !this.#isEnded) this.#options.onFailure(reason)
  }

  [Symbol.dispose] (): void {
    this.#isEnded = true
    this.#drop()
    clearTimeout(this.#idleTimer)
    this.#stream?.abort(new HoldfastError('UNAVAILABLE', `Exchange with ${this.#peer} ended`))
  }

  #wake (): void {
    if (this.#isRunning || this.#isEnded) return
    this.#isRunning = true
    // Not a microtask: look-ups of one caller end in the same turn, and their wants belong into one message.
    setImmediate(() => { void this.#run() })
  }

  async #run (): Promise<void> {
    clearTimeout(this.#idleTimer)
    try {
      while (!this.#isEnded && this.#hasWork()) await this.#sendNext()
    } catch (err) {
      this.#drop()
      if (!this.#isEnded) this.#options.onFailure(err)
    }
    this.#rest()
  }

  #rest (): void {
    this.#isRunning = false
    if (this.#isEnded) return
    if (this.#hasWork()) this.#wake()
    else this.#closeWhenIdle()
  }

  #hasWork (): boolean {
    return this.#wants.size > 0 || this.#presences.size > 0 || this.#blocks.length > 0
  }

  async #sendNext (): Promise<void> {
    const isReused = this.#stream !== undefined
    const stream = this.#stream ?? await this.#open()
    const { message, blocks } = this.#take()
    let isSent = false
    try {
      await this.#write(stream, message).catch(async (err: unknown) => {
        // A stream that worked before may have been closed at the other end; a fresh one that fails is a failure.
        if (!isReused || this.#isEnded || isStall(err)) throw err
        await this.#write(await this.#open(), message)
      })
      isSent = true
    } finally {
      for (const { onSent } of blocks) onSent(isSent)
    }
  }

  async #write (stream: PeerStream, message: OutgoingMessage): Promise<void> {
    try {
      await writeParts(stream, encodeMessage(message, bitswapProtocol(stream.protocol)), { pace: this.#pace })
    } catch (err) {
      this.#forget(stream)
      throw err
    }
  }

  async #open (): Promise<PeerStream> {
    if (!this.#host.isConnected(this.#peer)) throw new HoldfastError('UNAVAILABLE', `Peer ${this.#peer} is not connected`, { peer: this.#peer })
    const stream = await withTimeLimit({ timeoutMs: OPEN_TIMEOUT_MS, what: `Opening a stream to ${this.#peer}` }, async (signal) => await this.#host.openStream(this.#peer, BITSWAP_PROTOCOLS, { signal }))
    if (this.#isEnded) {
      stream.abort(new HoldfastError('UNAVAILABLE', `Exchange with ${this.#peer} ended`))
      throw new HoldfastError('UNAVAILABLE', `Exchange with ${this.#peer} ended`)
    }
    this.#stream = stream
    // That it ends says nothing about our side: Helia closes its own before it reads.
    void this.#options.onStream(stream)
    return stream
  }

  /** The stream takes no further message. */
  #forget (stream: PeerStream): void {
    if (this.#stream !== stream) return
    this.#stream = undefined
    void stream.closeWrite().catch(() => {}) // It may be gone already, which is as good.
  }

  #take (): { message: OutgoingMessage, blocks: readonly QueuedBlock[] } {
    const wants = [...this.#wants.values().take(MAX_ENTRIES_PER_MESSAGE)]
    for (const { cid } of wants) this.#wants.delete(multihashKey(cid))
    const presences = [...this.#presences.values()]
    this.#presences.clear()
    const blocks = this.#blocks.splice(0, this.#blocksThatFit())
    return { message: { wants, presences, blocks: blocks.map(({ payload }) => payload) }, blocks }
  }

  #blocksThatFit (): number {
    let byteLength = 0
    let count = 0
    for (const { payload } of this.#blocks) {
      if (count > 0 && byteLength + payload.data.byteLength > MAX_TARGET_BYTES) break
      byteLength += payload.data.byteLength
      count++
      if (byteLength >= TARGET_MESSAGE_BYTES || count === MAX_ENTRIES_PER_MESSAGE) break
    }
    return count
  }

  #closeWhenIdle (): void {
    this.#idleTimer = setTimeout(() => {
      if (this.#stream !== undefined) this.#forget(this.#stream)
    }, IDLE_STREAM_MS).unref()
  }

  #drop (): void {
    this.#wants.clear()
    this.#presences.clear()
    const blocks = this.#blocks
    this.#blocks = []
    for (const { onSent } of blocks) onSent(false)
  }
}

function isStall (err: unknown): boolean {
  return isHoldfastError(err) && err.details['reason'] === STALLED
}
