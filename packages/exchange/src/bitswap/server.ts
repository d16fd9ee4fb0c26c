import type { BlockReader, Blockstore } from '@holdfast/blockstore'
import { type Block, HoldfastError, type Logger, multihashKey } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import { cidPrefixOf } from './cid-prefix.ts'
import { createReader, FairReads, type Reader } from './fair-reads.ts'
import type { BitswapMessage } from './message.ts'
import type { Outbox } from './outbox.ts'
import { STALLED } from './stream-writer.ts'
import { type LiveWant, WantLedger } from './want-ledger.ts'

/** A block up to this length is sent where HAVE was asked: the answer to HAVE would be a want for it (boxo: WantHaveReplaceSize). */
export const HAVE_REPLACE_BYTES = 1024

/** Look-ups of one message that run at once. */
const CONCURRENT_LOOKUPS = 32

export interface ServerDeps {
  /** Where it does not tell lengths without reading, HAVE is never replaced by a block. */
  readonly blocks: BlockReader & Pick<Blockstore, 'byteLengthOf'>
  readonly log: Logger
}

export interface ServerStats {
  readonly sentBlockCount: number
  readonly sentByteLength: number
  /** Wants that wait for blocks we lack, of all peers. */
  readonly waitingCount: number
  /** Bytes of blocks that were read and are not written yet. */
  readonly outstandingBytes: number
}

/** What is served to one peer; ending it forgets everything about that peer. */
export interface Serving extends Disposable {
  /** Takes in the want-list of a message; resolves when each entry was looked up. Sending goes on after that. */
  receive(message: BitswapMessage): Promise<void>
  readonly wantCount: number
}

/**
 * Answers the wants of peers from a blockstore.
 *
 * HAVE and DONT_HAVE are answered without reading. Blocks are sent as they are read, peers taking turns by bytes.
 * A want for a block we lack waits: `announce` serves it. No state outlives the peer's connection.
 */
export class BitswapServer {
  readonly #deps: ServerDeps
  readonly #reads: FairReads<LiveWant>
  /** Who waits for a block, by its multihash. */
  readonly #waiting = new Map<string, Set<PeerServing>>()
  readonly #servings = new Map<Reader<LiveWant>, PeerServing>()
  #sentBlockCount = 0
  #sentByteLength = 0

  constructor (deps: ServerDeps) {
    this.#deps = deps
    this.#reads = new FairReads({
      read: async (reader, want) => await this.#servings.get(reader)?.send(want) ?? 0,
      onFull: () => { this.#dropSlowest() }
    })
  }

  get stats (): ServerStats {
    const waitingCount = this.#waiting.values().reduce((sum, peers) => sum + peers.size, 0)
    return { sentBlockCount: this.#sentBlockCount, sentByteLength: this.#sentByteLength, waitingCount, outstandingBytes: this.#reads.outstandingBytes }
  }

  /** Begins to serve a peer, whose answers go into `outbox`. */
  serve (outbox: Outbox): Serving {
    const serving = new PeerServing(this.#deps, outbox, this.#reads, {
      waits: (key) => { this.#wait(key, serving) },
      ended: (key) => { this.#stopWaiting(key, serving) },
      sent: (byteLength) => {
        this.#sentBlockCount++
        this.#sentByteLength += byteLength
      },
      disposed: () => { this.#servings.delete(serving.reader) }
    })
    this.#servings.set(serving.reader, serving)
    return serving
  }

  /** These blocks are stored now: whoever waits for them gets them. */
  announce (cids: readonly CID[]): void {
    for (const cid of cids) {
      const key = multihashKey(cid)
      for (const serving of Array.from(this.#waiting.get(key) ?? [])) serving.serveWaiting(key)
    }
  }

  /** All memory for sending is taken: whoever has blocked some of it longest gives it back. */
  #dropSlowest (): void {
    const slow = this.#servings.values().filter(({ stalledMs }) => stalledMs > MIN_STALL_TO_DROP_MS).toArray()
    const [slowest] = slow.toSorted((a, b) => b.stalledMs - a.stalledMs)
    slowest?.drop()
  }

  #wait (key: string, serving: PeerServing): void {
    const peers = this.#waiting.get(key) ?? new Set()
    peers.add(serving)
    this.#waiting.set(key, peers)
  }

  #stopWaiting (key: string, serving: PeerServing): void {
    const peers = this.#waiting.get(key)
    peers?.delete(serving)
    if (peers?.size === 0) this.#waiting.delete(key)
  }
}

/** A peer that took no block for this long may be dropped in favour of others, in milliseconds. */
const MIN_STALL_TO_DROP_MS = 2_000

interface ServingEvents {
  waits(key: string): void
  ended(key: string): void
  sent(byteLength: number): void
  disposed(): void
}

class PeerServing implements Serving {
  readonly reader: Reader<LiveWant> = createReader()
  readonly #deps: ServerDeps
  readonly #outbox: Outbox
  readonly #reads: FairReads<LiveWant>
  readonly #events: ServingEvents
  readonly #ledger: WantLedger
  #isEnded = false
  #progressAtMs = 0
  #sendingCount = 0

  constructor (deps: ServerDeps, outbox: Outbox, reads: FairReads<LiveWant>, events: ServingEvents) {
    this.#deps = deps
    this.#outbox = outbox
    this.#reads = reads
    this.#events = events
    this.#ledger = new WantLedger(({ key }) => { events.ended(key) })
  }

  get wantCount (): number {
    return this.#ledger.count
  }

  /** How long bytes have been on their way to this peer without one of them leaving. */
  get stalledMs (): number {
    return this.#sendingCount > 0 ? performance.now() - this.#progressAtMs : 0
  }

  /** Gives up on a peer that does not read. */
  drop (): void {
    this.#outbox.fail(new HoldfastError('UNAVAILABLE', 'Peer reads more slowly than others wait for', { reason: STALLED }))
  }

  async receive ({ wants, isFull }: BitswapMessage): Promise<void> {
    if (isFull) this.#ledger.keepOnly(wants.filter(({ isCancel }) => !isCancel).map(({ cid }) => cid))
    const fresh: LiveWant[] = []
    for (const entry of wants.toSorted((a, b) => b.priority - a.priority)) {
      if (entry.isCancel) this.#ledger.cancel(entry.cid)
      const want = entry.isCancel ? undefined : this.#ledger.add(entry)
      if (want === undefined) continue
      // Waits from before it is looked up: a block that is stored meanwhile would be announced to nobody.
      this.#events.waits(want.key)
      fresh.push(want)
    }
    for (let at = 0; at < fresh.length && !this.#isEnded; at += CONCURRENT_LOOKUPS) {
      await this.#answer(fresh.slice(at, at + CONCURRENT_LOOKUPS))
    }
  }

  /** Serves a want that waited for a block which is here now. */
  serveWaiting (key: string): void {
    const want = this.#ledger.get(key)
    if (want !== undefined && !want.isQueued) void this.#answer([want])
  }

  /** Reads the block of a want and hands it to the outbox; answers its length. */
  async send (want: LiveWant): Promise<number> {
    if (this.#ledger.get(want.key) !== want) return 0
    const block = await this.#read(want.cid)
    if (this.#isEnded || this.#ledger.get(want.key) !== want) return 0
    if (block === undefined) {
      want.isQueued = false
      this.#lack(want)
      return 0
    }
    const { byteLength } = block.bytes
    if (this.#sendingCount++ === 0) this.#progressAtMs = performance.now()
    this.#outbox.sendBlock({ prefix: cidPrefixOf(want.cid), data: block.bytes }, (isSent) => {
      this.#sendingCount--
      this.#progressAtMs = performance.now()
      this.#ledger.remove(want)
      if (isSent) this.#events.sent(byteLength)
      // Later: an outbox that drops its queue must not be asked for more while it does.
      setImmediate(() => { this.#reads.release(this.reader, byteLength) })
    })
    return byteLength
  }

  [Symbol.dispose] (): void {
    this.#isEnded = true
    this.#reads.remove(this.reader)
    this.#ledger.keepOnly([])
    this.#events.disposed()
  }

  async #answer (wants: readonly LiveWant[]): Promise<void> {
    const held = await Promise.all(wants.map(async (want) => await this.#look(want)))
    if (this.#isEnded) return
    const toSend: LiveWant[] = []
    for (const [index, want] of wants.entries()) {
      if (this.#ledger.get(want.key) !== want || want.isQueued) continue
      if (held[index] === 'send') {
        want.isQueued = true
        toSend.push(want)
      } else if (held[index] === 'have') {
        this.#ledger.remove(want)
        this.#outbox.presence(want.cid, 'have')
      } else {
        this.#lack(want)
      }
    }
    this.#reads.push(this.reader, toSend)
  }

  async #look ({ cid, type }: LiveWant): Promise<'send' | 'have' | 'lack'> {
    try {
      const { blocks } = this.#deps
      if (type === 'block') return await blocks.has(cid) ? 'send' : 'lack'
      const byteLength = await blocks.byteLengthOf?.(cid)
      if (byteLength !== undefined) return byteLength <= HAVE_REPLACE_BYTES ? 'send' : 'have'
      return await blocks.has(cid) ? 'have' : 'lack'
    } catch (err) {
      // An unknown hash function or a failing disk: for the peer, the block is not here.
      this.#deps.log.debug('Want could not be looked up', { cid: cid.toString(), err })
      return 'lack'
    }
  }

  #lack (want: LiveWant): void {
    if (want.sendDontHave) this.#outbox.presence(want.cid, 'dont-have')
  }

  async #read (cid: CID): Promise<Block | undefined> {
    try {
      return await this.#deps.blocks.get(cid)
    } catch (err) {
      this.#deps.log.warn('Block that a peer wants could not be read', { cid: cid.toString(), err })
      return undefined
    }
  }
}
