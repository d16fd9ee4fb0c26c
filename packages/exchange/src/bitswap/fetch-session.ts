import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, type Block, CODECS, HoldfastError, identityBlock, isErrorCode, type Logger, multihashKey, requireVerifiable } from '@holdfast/core'
import type { ConnectedPeer, PeerId } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import type { ExchangeSession, SessionOptions } from '../exchange.ts'
import { describeReport, type FetchReport } from '../fetch-report.ts'
import type { AskedPeer } from './asked-peer.ts'
import type { BitswapClient, SessionObserver } from './client.ts'
import { BITSWAP_PROTOCOLS } from './protocols.ts'
import { ProviderSearch, type ProviderSearchDeps } from './provider-search.ts'
import { ReadAhead, UNKNOWN_BYTES, type Upcoming } from './read-ahead.ts'
import { SessionPeers } from './session-peers.ts'
import { stealFrom } from './steal.ts'
import { Waiters } from './waiters.ts'
import type { AskEnd, Want } from './want.ts'

/** How long a session waits for the next block before it gives up, in milliseconds. */
export const DEFAULT_STALL_MS = 30_000

/** Connected peers that are asked whether they hold a block that nobody is believed to hold. */
export const MAX_ASKED_PEERS = 64

/** Peers that are asked whether they hold a block which those believed to hold it did not send. */
export const MAX_PROBES = 3

/** Time after which a block that nobody had is asked for again, in milliseconds. */
const ASK_AGAIN_MS = 5_000

/** Dag nodes that are kept while everything is here: the path to where a reader is. */
const MAX_UNOPENED = 32

/** Look-ups of blocks to fetch ahead that run at once. */
const MAX_LOOKUPS = 32

export interface FetchSessionDeps extends ProviderSearchDeps {
  readonly client: BitswapClient
  readonly blocks: BlockReader
  readonly log: Logger
}

/**
 * Fetches the blocks of one DAG from whoever has them.
 *
 * A block is asked of the peer from whom it is expected first. While nobody is believed to hold it, connected peers
 * and content routing are asked at once. What the reader will want next is fetched ahead.
 */
export class FetchSession implements ExchangeSession, SessionObserver {
  readonly #deps: FetchSessionDeps
  readonly #root: CID
  readonly #options: SessionOptions
  readonly #stallMs: number
  readonly #search: ProviderSearch
  readonly #peers = new SessionPeers()
  readonly #readAhead: ReadAhead
  readonly #waiters = new Waiters()
  /** Wants of this session that are not over. */
  readonly #wants = new Map<string, Want>()
  /** Dag nodes that were read while everything was here: only when something is absent do their links matter. */
  readonly #unopened: Block[] = []
  /** Wants that are to be asked of a peer, the first one first: those that someone waits for, and those fetched ahead. */
  readonly #demanded = new Set<Want>()
  readonly #ahead = new Set<Want>()
  /** Peers that came while nothing was sought: they are probed with the next wants. */
  readonly #unknown = new Set<AskedPeer>()
  /** Wants that nobody is believed to hold. */
  readonly #sought = new Set<Want>()
  readonly #startedAtMs = performance.now()
  #lookupCount = 0
  #isRemote = false
  #isFillScheduled = false
  #isEnded = false
  #stallTimer: NodeJS.Timeout | undefined
  #againTimer: NodeJS.Timeout | undefined
  #blockCount = 0
  #byteLength = 0

  constructor (deps: FetchSessionDeps, root: CID, options: SessionOptions) {
    this.#deps = deps
    this.#root = root
    this.#options = options
    this.#stallMs = options.stallMs ?? DEFAULT_STALL_MS
    this.#search = new ProviderSearch(deps, (peer) => { this.#foundProvider(peer) })
    this.#readAhead = new ReadAhead({ walk: options.walk === true, onPassedOver: (cid) => { this.#passedOver(cid) } })
    deps.client.addSession(this)
    options.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  async get (cid: CID, { signal }: AbortOptions = {}): Promise<Block | undefined> {
    this.#options.signal?.throwIfAborted()
    signal?.throwIfAborted()
    requireVerifiable(cid)
    const inline = await identityBlock(cid)
    if (inline !== undefined) return inline

    const expectedBytes = this.#readAhead.take(cid)
    const block = this.#deps.client.recentBlocks.take(cid) ?? await this.#getLocal(cid, signal) ?? await this.#fetch(cid, expectedBytes, signal)
    this.#readAhead.taken(block.bytes.byteLength)
    this.#opened(block.as(cid))
    return block.as(cid)
  }

  /** Answers what is stored here: nobody is asked. */
  async has (cid: CID, options?: AbortOptions): Promise<boolean> {
    return await this.#deps.blocks.has(cid, options)
  }

  prefetch (cids: readonly CID[]): void {
    if (this.#isEnded) return
    this.#becomeRemote()
    for (const cid of cids) void this.#lookAhead({ cid, expectedBytes: UNKNOWN_BYTES })
  }

  [Symbol.dispose] (): void {
    this.#end(new HoldfastError('UNAVAILABLE', 'The session has ended'))
  }

  onPeerConnected (peer: AskedPeer): void {
    if (this.#search.isProvider(peer.id)) return this.#foundProvider(peer.id)
    if (this.#sought.size === 0) this.#unknown.add(peer)
    for (const want of this.#sought) this.#askWhether(want, peer)
  }

  onPeerGone (peer: AskedPeer): void {
    this.#peers.remove(peer)
    this.#unknown.delete(peer)
  }

  onHave (want: Want, peer: AskedPeer): void {
    this.#peers.note(peer.id, 'have')
    this.#believe(peer)
    // Whoever was asked may be silent: until it proved itself, the one that answers is asked, too.
    if (!this.#isInGoodHands(want)) this.#askOrQueue(want, peer)
  }

  onLack (_want: Want, peer: AskedPeer): void {
    this.#peers.note(peer.id, 'dont-have')
    this.#peers.lacks(peer)
  }

  onAskEnded (want: Want, peer: AskedPeer, why: AskEnd): void {
    if (why === 'dont-have') this.onLack(want, peer)
    if (why === 'wrong') this.#peers.note(peer.id, 'wrong bytes')
    if (why === 'wrong' && this.#deps.client.isBanned(peer.id)) this.#peers.remove(peer)
    if (why === 'timeout') this.#probe(want)
    if (want.askedForBlock.size === 0) this.#queue(want)
  }

  onArrived (want: Want, block: Block, peer: AskedPeer): void {
    this.#peers.note(peer.id, 'block')
    this.#peers.prove(peer)
    this.#believe(peer)
    this.#unqueue(want)
    this.#blockCount++
    this.#byteLength += block.bytes.byteLength
    this.#restartStallTimer()
    this.#opened(block)
  }

  onStored (want: Want, block: Block): void {
    this.#wants.delete(want.key)
    this.#unqueue(want)
    if (!this.#waiters.resolve(want.key, block)) this.#deps.client.recentBlocks.add(block)
    this.#restartStallTimer()
    const { onProgress } = this.#options
    onProgress?.({ blockCount: this.#blockCount, byteLength: this.#byteLength, peerCount: this.#peers.holderCount })
  }

  onFailed (want: Want, reason: unknown): void {
    this.#wants.delete(want.key)
    this.#waiters.reject(want.key, reason)
  }

  /** What was tried so far. */
  get report (): FetchReport {
    return { peersAsked: this.#peers.report, ...this.#search.report, elapsedMs: Math.round(performance.now() - this.#startedAtMs) }
  }

  readonly #onAbort = (): void => { this.#end(this.#options.signal?.reason) }

  #end (reason: unknown): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    clearTimeout(this.#stallTimer)
    clearTimeout(this.#againTimer)
    this.#search[Symbol.dispose]()
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
    this.#becomeRemote()
    const want = this.#open(cid, expectedBytes)
    if (this.#ahead.delete(want)) this.#demanded.add(want)
    const block = this.#waiters.wait(want.key, { signal, onLeft: () => { this.#release(want) } })
    if (this.#waiters.count === 1) this.#restartStallTimer()
    return await block
  }

  /** A block is absent here: from now on what comes next is fetched ahead. */
  #becomeRemote (): void {
    if (this.#isRemote) return
    this.#isRemote = true
    for (const block of this.#unopened.splice(0)) this.#readAhead.open(block)
  }

  #opened (block: Block): void {
    if (block.cid.code === CODECS.raw) return this.#isRemote ? this.#fillSoon() : undefined
    if (!this.#isRemote) {
      this.#unopened.push(block)
      if (this.#unopened.length > MAX_UNOPENED) this.#unopened.shift()
      return
    }
    this.#readAhead.open(block)
    this.#fillSoon()
  }

  /** Wants a block; when nobody was asked for it, it is queued. */
  #open (cid: CID, expectedBytes: number): Want {
    const known = this.#wants.get(multihashKey(cid))
    if (known !== undefined) return known
    const want = this.#deps.client.open(cid, expectedBytes, this)
    this.#wants.set(want.key, want)
    if (want.askedForBlock.size === 0 && !want.hasArrived) this.#demanded.add(want)
    this.#fillSoon()
    return want
  }

  #release (want: Want): void {
    this.#wants.delete(want.key)
    this.#unqueue(want)
    this.#readAhead.forget(want.cid)
    this.#deps.client.release(want, this)
  }

  #passedOver (cid: CID): void {
    const want = this.#wants.get(multihashKey(cid))
    if (want !== undefined && !this.#waiters.has(want.key)) this.#release(want)
  }

  #queue (want: Want): void {
    if (want.hasArrived || !this.#wants.has(want.key)) return
    this.#sought.delete(want)
    ;(this.#waiters.has(want.key) ? this.#demanded : this.#ahead).add(want)
    this.#fillSoon()
  }

  #unqueue (want: Want): void {
    this.#demanded.delete(want)
    this.#ahead.delete(want)
    this.#sought.delete(want)
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
    if (!this.#askFor(this.#demanded) || !this.#askFor(this.#ahead)) return
    while (this.#isRemote && this.#lookupCount < MAX_LOOKUPS && this.#ahead.size === 0) {
      const upcoming = this.#readAhead.next()
      if (upcoming === undefined) break
      void this.#lookAhead(upcoming)
    }
    if (this.#lookupCount === 0) this.#steal()
  }

  /** Asks for the wants of a queue in order; answers `false` when no holder has room. */
  #askFor (queue: Set<Want>): boolean {
    for (const want of queue) {
      const choice = want.askedForBlock.size > 0 ? 'asked' : this.#peers.choose(want)
      if (choice === 'full') return false
      queue.delete(want)
      if (choice === 'asked') continue
      if (choice === 'nobody') this.#seek(want)
      else this.#ask(want, choice)
    }
    return true
  }

  #ask (want: Want, peer: AskedPeer): void {
    this.#peers.note(peer.id, 'silent')
    peer.askForBlock(want)
    for (const other of this.#unknown.values().take(MAX_PROBES)) {
      this.#unknown.delete(other)
      this.#askWhether(want, other)
    }
  }

  /** Reports whether a peer that sent blocks of this DAG before was asked for the block. */
  #isInGoodHands (want: Want): boolean {
    return want.askedForBlock.values().some((peer) => this.#peers.isProven(peer))
  }

  #askOrQueue (want: Want, peer: AskedPeer): void {
    if (want.hasArrived || !this.#wants.has(want.key) || want.askedForBlock.has(peer)) return
    if (want.askedForBlock.size === 0 || !peer.hasRoom(want.expectedBytes)) return this.#queue(want)
    this.#unqueue(want)
    this.#ask(want, peer)
  }

  #askWhether (want: Want, peer: AskedPeer): void {
    if (want.lackedBy.has(peer.id) || want.askedForHave.has(peer) || want.askedForBlock.has(peer)) return
    this.#peers.note(peer.id, 'silent')
    peer.askForHave(want)
  }

  /** Nobody is believed to hold it: asks the peers that are connected and content routing, at once. */
  #seek (want: Want): void {
    this.#sought.add(want)
    this.#startSearch(want)
    const peers = this.#candidates(want).slice(0, MAX_ASKED_PEERS)
    const [first, ...others] = peers
    // The likeliest one is asked for the block itself: a round trip less when it has it.
    if (first !== undefined && this.#peers.holderCount === 0) this.#ask(want, first)
    else if (first !== undefined) this.#askWhether(want, first)
    for (const peer of others) this.#askWhether(want, peer)
    this.#againTimer ??= setTimeout(() => { this.#seekAgain() }, ASK_AGAIN_MS).unref()
  }

  /** What a peer lacked it may hold by now, and an answer may have been lost. */
  #seekAgain (): void {
    this.#againTimer = undefined
    for (const want of Array.from(this.#sought)) {
      want.lackedBy.clear()
      for (const peer of Array.from(want.askedForHave)) peer.cancel(want)
      this.#queue(want)
    }
  }

  /** Those believed to hold it did not send it in time: a few others may. */
  #probe (want: Want): void {
    this.#startSearch(want)
    const others = this.#candidates(want).filter((peer) => !this.#peers.isHolder(peer))
    for (const peer of others.slice(0, MAX_PROBES)) this.#askWhether(want, peer)
  }

  /** Most providers announce the root alone. */
  #startSearch (want: Want): void {
    this.#search.start(this.#root)
    if (multihashKey(this.#root) !== want.key) this.#search.start(want.cid)
  }

  /** Connected peers that may hold it, those that sent most blocks first. Relayed connections carry no blocks. */
  #candidates (want: Want): AskedPeer[] {
    const speakers = new Set(this.#deps.host.peers().filter((peer) => !peer.isRelayed && mayExchange(peer)).map(({ peer }) => peer))
    return Array.from(this.#deps.client.peers)
      .filter(({ id }) => speakers.has(id) && !want.lackedBy.has(id))
      .toSorted((a, b) => b.receivedBlockCount - a.receivedBlockCount)
  }

  #believe (peer: AskedPeer): void {
    if (this.#deps.client.peer(peer.id) !== peer) return
    const isNew = !this.#peers.isHolder(peer)
    this.#peers.addHolder(peer)
    if (isNew) for (const want of Array.from(this.#sought)) if (want.askedForBlock.size === 0) this.#queue(want)
    this.#fillSoon()
  }

  #foundProvider (id: PeerId): void {
    const peer = this.#deps.client.peer(id)
    if (peer === undefined || this.#isEnded) return
    this.#peers.note(id, 'silent')
    this.#believe(peer)
  }

  /** Fetches a block before its reader asks for it, unless it is here. */
  async #lookAhead ({ cid, expectedBytes }: Upcoming): Promise<void> {
    if (this.#wants.has(multihashKey(cid))) return
    this.#lookupCount++
    try {
      const isOnItsWay = this.#deps.client.find(cid) !== undefined
      const isHere = !isOnItsWay && await this.#deps.blocks.has(cid)
      if (this.#isEnded) return
      if (isHere) await this.#openLocal(cid)
      else this.#openAhead(cid, expectedBytes)
    } catch (err) {
      // Whoever reads the block meets the same failure.
      this.#readAhead.forget(cid)
      this.#deps.log.debug('Block could not be fetched ahead', { cid: cid.toString(), err })
    } finally {
      this.#lookupCount--
      this.#fillSoon()
    }
  }

  #openAhead (cid: CID, expectedBytes: number): void {
    const isNew = !this.#wants.has(multihashKey(cid))
    const want = this.#open(cid, expectedBytes)
    if (isNew && this.#demanded.delete(want)) this.#ahead.add(want)
  }

  /** A block that is here needs no peer, but what it links to may. */
  async #openLocal (cid: CID): Promise<void> {
    this.#readAhead.forget(cid)
    const block = cid.code === CODECS.raw ? undefined : await this.#deps.blocks.get(cid)
    if (block !== undefined) this.#opened(block)
  }

  /** Nothing is left to ask for: a peer that owes nothing takes over from one that will be late. */
  #steal (): void {
    for (const peer of this.#peers.holders) {
      const stolen = stealFrom(peer, this.#peers.holders, (want) => this.#wants.has(want.key))
      if (stolen === undefined) continue
      stolen.from.cancel(stolen.want)
      this.#ask(stolen.want, peer)
    }
  }

  #restartStallTimer (): void {
    clearTimeout(this.#stallTimer)
    if (this.#waiters.count === 0 || this.#isEnded) return
    this.#stallTimer = setTimeout(() => { this.#stalled() }, this.#stallMs)
  }

  #stalled (): void {
    const { report } = this
    for (const want of Array.from(this.#wants.values())) {
      const isWaitedFor = this.#waiters.has(want.key)
      const cid = want.cid.toString()
      if (isWaitedFor) this.#waiters.reject(want.key, new HoldfastError('UNAVAILABLE', `Block ${cid} could not be fetched within ${this.#stallMs} ms: ${describeReport(report)}`, { cid, report }))
      this.#release(want)
    }
  }
}

/** A peer that did not say yet what it speaks may speak Bitswap. */
function mayExchange ({ protocols }: ConnectedPeer): boolean {
  return protocols.length === 0 || BITSWAP_PROTOCOLS.some((protocol) => protocols.includes(protocol))
}
