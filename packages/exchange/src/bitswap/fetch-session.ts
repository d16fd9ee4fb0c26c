import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, type Block, HoldfastError, identityBlock, isErrorCode, type Logger, MAX_BLOCK_BYTES, requireVerifiable } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import type { ExchangeSession, SessionOptions } from '../exchange.ts'
import { describeReport, type FetchReport } from '../fetch-report.ts'
import type { BitswapClient } from './client.ts'
import { Companions } from './companions.ts'
import { FetchAhead } from './fetch-ahead.ts'
import { RecentBlocks } from './recent-blocks.ts'
import { ProviderSearch, type ProviderSearchDeps } from './provider-search.ts'
import { SessionWants } from './session-wants.ts'
import { Watchdog } from './watchdog.ts'

/** How long a session waits for the next block before it gives up, in milliseconds. */
export const DEFAULT_STALL_MS = 30_000

/** Blocks that came ahead of their reader and found no room in the store, in bytes: two of the longest. Older ones are fetched once more. */
const MAX_UNSTORED_AHEAD_BYTES: number = 2 * MAX_BLOCK_BYTES

export interface FetchSessionDeps extends ProviderSearchDeps {
  readonly client: BitswapClient
  readonly blocks: BlockReader
  readonly log: Logger
}

/**
 * Fetches the blocks of one DAG from whoever has them.
 *
 * Here is what the reader sees: blocks, progress, and that nothing comes. `SessionWants` holds what is wanted, `SessionAsks`
 * decides whom to ask for it, and `FetchAhead` knows what the reader will want next.
 */
export class FetchSession implements ExchangeSession {
  readonly #deps: FetchSessionDeps
  readonly #options: SessionOptions
  readonly #stallMs: number
  readonly #search: ProviderSearch
  readonly #wants: SessionWants
  readonly #ahead: FetchAhead
  readonly #stall: Watchdog
  readonly #unstored = new RecentBlocks(MAX_UNSTORED_AHEAD_BYTES)
  readonly #startedAtMs = performance.now()
  #isFillScheduled = false
  #isEnded = false
  #blockCount = 0
  #byteLength = 0

  constructor (deps: FetchSessionDeps, root: CID, options: SessionOptions) {
    const { client, blocks, host, log } = deps
    const onChange = (): void => { this.#fillSoon() }
    this.#deps = deps
    this.#options = options
    this.#stallMs = options.stallMs ?? DEFAULT_STALL_MS
    this.#stall = new Watchdog(this.#stallMs, () => { this.#stalled() })
    this.#search = new ProviderSearch(deps, (peer) => { this.#foundProvider(peer) })
    this.#wants = new SessionWants({
      host, client, root, onChange, search: this.#search,
      companions: new Companions({ client, stallMs: this.#stallMs }, options.companions),
      onArrived: (block) => { this.#arrived(block) },
      onStored: () => { this.#stored() },
      onUnstored: (reason) => this.#isGiven(reason),
      onUnawaited: (block) => { this.#unstored.add(block) },
      onReleased: (cid) => { this.#ahead.forget(cid) }
    })
    this.#ahead = new FetchAhead({
      blocks, log, onChange, walk: options.walk === true,
      isWanted: (cid) => this.#wants.isWanted(cid),
      isOnItsWay: (cid) => client.find(cid) !== undefined,
      fetch: ({ cid, expectedBytes }) => { this.#wants.open(cid, { expectedBytes, isDemanded: false }) },
      passedOver: (cid) => { this.#wants.passOver(cid) }
    })
    client.addSession(this.#wants)
    options.signal?.addEventListener('abort', this.#onAbort, { once: true })
    for (const peer of options.holders ?? []) this.#foundProvider(peer)
  }

  async get (cid: CID, { signal }: AbortOptions = {}): Promise<Block | undefined> {
    this.#options.signal?.throwIfAborted()
    signal?.throwIfAborted()
    requireVerifiable(cid)
    const inline = await identityBlock(cid)
    if (inline !== undefined) return inline

    const expectedBytes = this.#ahead.take(cid)
    const found = this.#unstored.take(cid) ?? this.#deps.client.recentBlocks.take(cid) ?? await this.#getLocal(cid, signal) ?? await this.#fetch(cid, expectedBytes, signal)
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
    return { peersAsked: this.#wants.asks.peers.report, ...this.#search.report, elapsedMs: Math.round(performance.now() - this.#startedAtMs) }
  }

  [Symbol.dispose] (): void {
    this.#end(new HoldfastError('UNAVAILABLE', 'The session has ended'))
  }

  readonly #onAbort = (): void => { this.#end(this.#options.signal?.reason) }

  #end (reason: unknown): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    for (const part of [this.#stall, this.#search, this.#ahead]) part[Symbol.dispose]()
    this.#deps.client.removeSession(this.#wants)
    this.#wants.end(reason)
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
    const block = this.#wants.fetch(cid, expectedBytes, signal)
    if (this.#wants.awaitedCount === 1) this.#watch()
    return await block
  }

  #arrived (block: Block): void {
    this.#blockCount++
    this.#byteLength += block.bytes.byteLength
    this.#watch()
    this.#ahead.opened(block)
  }

  #stored (): void {
    this.#watch()
    this.#options.onProgress?.({ blockCount: this.#blockCount, byteLength: this.#byteLength, peerCount: this.#wants.asks.peers.holderCount })
  }

  /** Reports whether a block that could not be stored goes to its reader all the same. */
  #isGiven (reason: unknown): boolean {
    if (this.#options.givesUnstored !== true || !isErrorCode(reason, 'LIMIT')) return false
    this.#watch()
    return true
  }

  #foundProvider (id: PeerId): void {
    const peer = this.#deps.client.peer(id)
    if (peer !== undefined && !this.#isEnded) this.#wants.asks.foundProvider(peer)
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
    const { asks } = this.#wants
    if (!asks.fill()) return
    this.#ahead.fill(() => asks.hasNoneAhead)
    if (!this.#ahead.isLookingUp) asks.steal()
  }

  /** While somebody waits, a block has to come every `stallMs`. */
  #watch (): void {
    if (this.#wants.awaitedCount === 0 || this.#isEnded) this.#stall.disarm()
    else this.#stall.arm()
  }

  #stalled (): void {
    // Whoever fetches beside others from one peer may wait longer for its turn.
    if (this.#wants.isInLine(performance.now() - this.#stallMs)) return this.#stall.arm()
    const { report } = this
    this.#wants.giveUp((cid) => new HoldfastError('UNAVAILABLE', `Block ${cid} could not be fetched within ${this.#stallMs} ms: ${describeReport(report)}`, { cid: cid.toString(), report }))
  }
}
