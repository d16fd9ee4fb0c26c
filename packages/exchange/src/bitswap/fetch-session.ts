import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, type Block, HoldfastError, identityBlock, isErrorCode, type Logger, multihashKey, requireVerifiable } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import type { ExchangeSession, SessionOptions } from '../exchange.ts'
import { describeReport, type FetchReport } from '../fetch-report.ts'
import type { AskedPeer } from './asked-peer.ts'
import type { BitswapClient, SessionObserver } from './client.ts'
import { FetchAhead } from './fetch-ahead.ts'
import { ProviderSearch, type ProviderSearchDeps } from './provider-search.ts'
import { SessionAsks } from './session-asks.ts'
import { Waiters } from './waiters.ts'
import { Watchdog } from './watchdog.ts'
import type { AskEnd, Want } from './want.ts'

/** How long a session waits for the next block before it gives up, in milliseconds. */
export const DEFAULT_STALL_MS = 30_000

export interface FetchSessionDeps extends ProviderSearchDeps {
  readonly client: BitswapClient
  readonly blocks: BlockReader
  readonly log: Logger
}

/**
 * Fetches the blocks of one DAG from whoever has them.
 *
 * Here is what the reader sees: blocks it waits for, progress, and when it is told that nothing comes.
 * `SessionAsks` decides whom to ask; `FetchAhead` knows what the reader will want next.
 */
export class FetchSession implements ExchangeSession, SessionObserver {
  readonly #deps: FetchSessionDeps
  readonly #options: SessionOptions
  readonly #stallMs: number
  readonly #search: ProviderSearch
  readonly #asks: SessionAsks
  readonly #ahead: FetchAhead
  readonly #waiters = new Waiters()
  readonly #stall: Watchdog
  /** Wants of this session that are not over. */
  readonly #wants = new Map<string, Want>()
  readonly #startedAtMs = performance.now()
  #isFillScheduled = false
  #isEnded = false
  #blockCount = 0
  #byteLength = 0

  constructor (deps: FetchSessionDeps, root: CID, options: SessionOptions) {
    const { client, blocks, host, log } = deps
    this.#deps = deps
    this.#options = options
    this.#stallMs = options.stallMs ?? DEFAULT_STALL_MS
    this.#stall = new Watchdog(this.#stallMs, () => { this.#stalled() })
    this.#search = new ProviderSearch(deps, (peer) => { this.#foundProvider(peer) })
    this.#asks = new SessionAsks({
      host, client, root, search: this.#search,
      isWanted: ({ key }) => this.#wants.has(key),
      isAwaited: ({ key }) => this.#waiters.has(key),
      onChange: () => { this.#fillSoon() }
    })
    this.#ahead = new FetchAhead({
      blocks, log, walk: options.walk === true,
      isWanted: (cid) => this.#wants.has(multihashKey(cid)),
      isOnItsWay: (cid) => client.find(cid) !== undefined,
      fetch: ({ cid, expectedBytes }) => { this.#open(cid, expectedBytes, false) },
      passedOver: (cid) => { this.#passedOver(cid) },
      onChange: () => { this.#fillSoon() }
    })
    client.addSession(this)
    options.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  async get (cid: CID, { signal }: AbortOptions = {}): Promise<Block | undefined> {
    this.#options.signal?.throwIfAborted()
    signal?.throwIfAborted()
    requireVerifiable(cid)
    const inline = await identityBlock(cid)
    if (inline !== undefined) return inline

    const expectedBytes = this.#ahead.take(cid)
    const found = this.#deps.client.recentBlocks.take(cid) ?? await this.#getLocal(cid, signal) ?? await this.#fetch(cid, expectedBytes, signal)
    const block = found.as(cid)
    this.#ahead.taken(block)
    return block
  }

  /** Answers what is stored here: nobody is asked. */
  async has (cid: CID, options?: AbortOptions): Promise<boolean> {
    return await this.#deps.blocks.has(cid, options)
  }

  prefetch (cids: readonly CID[]): void {
    if (!this.#isEnded) this.#ahead.prefetch(cids)
  }

  get report (): FetchReport {
    return { peersAsked: this.#asks.peers.report, ...this.#search.report, elapsedMs: Math.round(performance.now() - this.#startedAtMs) }
  }

  [Symbol.dispose] (): void {
    this.#end(new HoldfastError('UNAVAILABLE', 'The session has ended'))
  }

  onPeerConnected (peer: AskedPeer): void {
    if (this.#search.isProvider(peer.id)) this.#foundProvider(peer.id)
    else this.#asks.connected(peer)
  }

  onPeerGone (peer: AskedPeer): void {
    this.#asks.disconnected(peer)
  }

  onTick (): void {
    if (this.#wants.size > 0) this.#fillSoon()
  }

  onHave (want: Want, peer: AskedPeer): void {
    this.#asks.has(want, peer)
  }

  onLack (_want: Want, peer: AskedPeer): void {
    this.#asks.lacks(peer)
  }

  onAskEnded (want: Want, peer: AskedPeer, why: AskEnd): void {
    this.#asks.ended(want, peer, why)
  }

  onArrived (want: Want, block: Block, peer: AskedPeer): void {
    this.#asks.arrived(want, peer)
    this.#blockCount++
    this.#byteLength += block.bytes.byteLength
    this.#watch()
    this.#ahead.opened(block)
  }

  onStored (want: Want, block: Block): void {
    this.#wants.delete(want.key)
    this.#asks.forget(want)
    if (!this.#waiters.resolve(want.key, block)) this.#deps.client.recentBlocks.add(block)
    this.#watch()
    this.#options.onProgress?.({ blockCount: this.#blockCount, byteLength: this.#byteLength, peerCount: this.#asks.peers.holderCount })
  }

  onFailed (want: Want, reason: unknown): void {
    this.#wants.delete(want.key)
    this.#waiters.reject(want.key, reason)
  }

  readonly #onAbort = (): void => { this.#end(this.#options.signal?.reason) }

  #end (reason: unknown): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    for (const part of [this.#stall, this.#search, this.#asks, this.#ahead]) part[Symbol.dispose]()
    this.#deps.client.removeSession(this)
    for (const want of this.#wants.values()) this.#deps.client.release(want, this)
    this.#wants.clear()
    this.#waiters.rejectAll(reason)
  }

  async #getLocal (cid: CID, signal: AbortSignal | undefined): Promise<Block | undefined> {
    // A block that is on its way is not here.
    if (this.#deps.client.find(cid) !== undefined) return undefined
    try {
      return await this.#deps.blocks.get(cid, { signal })
    } catch (err) {
      if (!isErrorCode(err, 'CORRUPT')) throw err
      this.#deps.log.warn('Stored block is damaged and is fetched anew', { cid: cid.toString(), err })
      return undefined
    }
  }

  async #fetch (cid: CID, expectedBytes: number, signal: AbortSignal | undefined): Promise<Block> {
    if (this.#isEnded) throw new HoldfastError('UNAVAILABLE', `Block ${cid} cannot be fetched: the session has ended`, { cid: cid.toString() })
    this.#ahead.becomeRemote()
    const want = this.#open(cid, expectedBytes, true)
    const block = this.#waiters.wait(want.key, { signal, onLeft: () => { this.#release(want) } })
    if (this.#waiters.count === 1) this.#watch()
    return await block
  }

  /** Wants a block; when nobody was asked for it, it is queued. */
  #open (cid: CID, expectedBytes: number, isDemanded: boolean): Want {
    const known = this.#wants.get(multihashKey(cid))
    if (known !== undefined) {
      if (isDemanded) this.#asks.demand(known)
      return known
    }
    const want = this.#deps.client.open(cid, expectedBytes, this)
    this.#wants.set(want.key, want)
    if (want.askedForBlock.size === 0 && !want.hasArrived) this.#asks.add(want, isDemanded)
    this.#fillSoon()
    return want
  }

  #release (want: Want): void {
    this.#wants.delete(want.key)
    this.#asks.forget(want)
    this.#ahead.forget(want.cid)
    this.#deps.client.release(want, this)
  }

  #passedOver (cid: CID): void {
    const want = this.#wants.get(multihashKey(cid))
    if (want !== undefined && !this.#waiters.has(want.key)) this.#release(want)
  }

  #foundProvider (id: PeerId): void {
    const peer = this.#deps.client.peer(id)
    if (peer !== undefined && !this.#isEnded) this.#asks.foundProvider(peer)
  }

  #fillSoon (): void {
    if (this.#isFillScheduled || this.#isEnded) return
    this.#isFillScheduled = true
    queueMicrotask(() => {
      this.#isFillScheduled = false
      if (!this.#isEnded) this.#fill()
    })
  }

  /** Asks for as much as the windows of the peers allow. */
  #fill (): void {
    if (!this.#asks.fill()) return
    this.#ahead.fill(() => this.#asks.hasNoneAhead)
    if (!this.#ahead.isLookingUp) this.#asks.steal()
  }

  /** While somebody waits, a block has to come every `stallMs`. */
  #watch (): void {
    if (this.#waiters.count === 0 || this.#isEnded) this.#stall.disarm()
    else this.#stall.arm()
  }

  #stalled (): void {
    const { report } = this
    for (const want of Array.from(this.#wants.values())) {
      const cid = want.cid.toString()
      if (this.#waiters.has(want.key)) this.#waiters.reject(want.key, new HoldfastError('UNAVAILABLE', `Block ${cid} could not be fetched within ${this.#stallMs} ms: ${describeReport(report)}`, { cid, report }))
      this.#release(want)
    }
  }
}
