import { HoldfastError, isHoldfastError, type Logger } from '@holdfast/core'
import type { Host, PeerId, PeerStream } from '@holdfast/network'
import { ANSWER_TIMEOUT_MS, HEARTBEAT_INTERVAL_MS, PROOF_BURST, PROOFS_PER_SECOND, PUSH_BURST, PUSHES_PER_SECOND, REQUEST_BURST, REQUESTS_PER_SECOND } from '../limits.ts'
import type { RecordMap } from '../map/record-map.ts'
import { proofOf, provesMembership } from '../members/membership-proof.ts'
import type { ClusterClock } from '../members/cluster-clock.ts'
import type { KeptRecords, RecordStore } from '../store/record-store.ts'
import { frameOf, readFrames } from './frames.ts'
import { MemberPrivileges } from './member-privileges.ts'
import { type Answer, decodeRequest, encodeAnswer, type Heartbeat, MESSAGES_VERSION, RECORDS_PROTOCOL, type Request } from './messages.ts'
import { reconcile } from './reconcile.ts'
import { RecordLink } from './record-link.ts'
import { answerQuestion, requireQuestion } from './record-server.ts'
import { TokenBucket } from './token-bucket.ts'
import { verifiedRecords } from './verified-records.ts'

/** How long a member that could not be reached is left alone, in ms: at first, and at most. */
const FIRST_RETRY_MS = 5_000
const MAX_RETRY_MS = 5 * 60_000

/** Members that are dialled in one tick. */
const MAX_DIALS_PER_TICK = 4

/** Rounds with one member are at least so far apart, in ms, unless it just connected. */
const MIN_ROUND_GAP_MS = 1_000

/** What is known of a member that was heard of since this node started. */
export interface HeardMember {
  /** When it was heard last, on the monotonic clock of this node. */
  readonly atMs: number
  readonly beat: Heartbeat | undefined
  /** When it was heard to have the same records as this node. */
  readonly agreedAtMs: number | undefined
}

export interface RecordSyncDeps {
  readonly host: Host
  readonly store: RecordStore
  readonly log: Logger
  /** How this node is, asked before each heartbeat. */
  readonly beat: () => Heartbeat
  /** Told of the clocks of the members. */
  readonly clock?: Pick<ClusterClock, 'hear'> | undefined
}

export interface RecordSyncOptions {
  /** @default HEARTBEAT_INTERVAL_MS */
  intervalMs?: number | undefined
}

export interface SyncStats {
  readonly linkCount: number
  readonly roundCount: number
  readonly failedRoundCount: number
  readonly fetchedRecordCount: number
  readonly refusedStreamCount: number
}

interface Retry { readonly atMs: number, readonly waitMs: number }

/** Begins to exchange records with the members of this node's cluster, whichever it is at any time. */
export async function openRecordSync (deps: RecordSyncDeps, options: RecordSyncOptions = {}): Promise<RecordSync> {
  const sync = new RecordSync(deps, options)
  await sync.open()
  return sync
}

/** Keeps a stream to each member that is connected, pushes what is new, and compares with one member after the other. */
export class RecordSync implements AsyncDisposable {
  readonly #host: Host
  readonly #store: RecordStore
  readonly #log: Logger
  readonly #beat: () => Heartbeat
  readonly #clock: RecordSyncDeps['clock']
  readonly #intervalMs: number
  readonly #links = new Map<PeerId, RecordLink>()
  readonly #linking = new Set<PeerId>()
  readonly #served = new Map<PeerId, Set<PeerStream>>()
  readonly #heard = new Map<PeerId, HeardMember>()
  readonly #retries = new Map<PeerId, Retry>()
  readonly #rounds = new Map<PeerId, { running: boolean, endedMs: number, timer: NodeJS.Timeout | undefined }>()
  readonly #pushBuckets = new Map<PeerId, TokenBucket>()
  readonly #questionBuckets = new Map<PeerId, TokenBucket>()
  readonly #privileges: MemberPrivileges
  readonly #proofs = new TokenBucket(PROOF_BURST, PROOFS_PER_SECOND)
  readonly #closing = new AsyncDisposableStack()
  readonly #closed = new AbortController()
  /** What was begun and is not awaited elsewhere. */
  readonly #running = new Set<Promise<void>>()
  #stats = { roundCount: 0, failedRoundCount: 0, fetchedRecordCount: 0, refusedStreamCount: 0 }

  constructor ({ host, store, log, beat, clock }: RecordSyncDeps, { intervalMs = HEARTBEAT_INTERVAL_MS }: RecordSyncOptions) {
    this.#host = host
    this.#privileges = new MemberPrivileges(host)
    this.#store = store
    this.#log = log
    this.#beat = beat
    this.#clock = clock
    this.#intervalMs = intervalMs
  }

  get stats (): SyncStats {
    return { linkCount: this.#links.size, ...this.#stats }
  }

  async open (): Promise<void> {
    this.#closing.use(this.#privileges)
    this.#privileges.grant(this.#partners())
    this.#closing.use(await this.#host.handle([RECORDS_PROTOCOL], async (stream) => { await this.#serve(stream) }, { maxInboundStreams: 4, maxOutboundStreams: 4 }))
    this.#closing.use(this.#host.watchPeers({
      connected: (peer) => { this.#linkSoon(peer) },
      disconnected: (peer) => {
        this.#links.get(peer)?.end(new HoldfastError('UNAVAILABLE', `${peer} disconnected`, { peer }))
        this.#links.delete(peer)
      }
    }))
    this.#closing.use(this.#store.watch((kept) => { this.#onKept(kept) }))
    const timer = setInterval(() => { this.#tick() }, this.#intervalMs)
    this.#closing.defer(() => { clearInterval(timer) })
  }

  /** What was heard of a member, or `undefined` when nothing was. */
  heard (peer: PeerId): HeardMember | undefined {
    return this.#heard.get(peer)
  }

  /** Looks at once at who can be reached: after a cluster was created or joined. */
  wake (): void {
    this.#retries.clear()
    this.#tick()
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    const reason = new HoldfastError('UNAVAILABLE', 'Replication is closed')
    this.#closed.abort(reason)
    await this.#closing.disposeAsync()
    for (const { timer } of this.#rounds.values()) clearTimeout(timer)
    for (const link of this.#links.values()) link.end(reason)
    for (const stream of [...this.#served.values()].flatMap((streams) => [...streams])) stream.abort(reason)
    await Promise.allSettled(this.#running)
  }

  #map (): RecordMap | undefined {
    return this.#store.cluster?.map
  }

  /** Reports whether records may be exchanged with a peer: both sides are active members. */
  #isPartner (peer: PeerId): boolean {
    const members = this.#map()?.members.byPeer
    return peer !== this.#host.peer && members?.get(peer)?.isActive === true && members.get(this.#host.peer)?.isActive === true
  }

  #partners (): Set<PeerId> {
    return new Set([...this.#map()?.members.byPeer.keys() ?? []].filter((peer) => this.#isPartner(peer)))
  }

  #run (task: () => Promise<void>): void {
    if (this.#closed.signal.aborted) return
    const running = task()
      .catch((err: unknown) => { if (!this.#closed.signal.aborted) this.#log.debug('Exchange of records failed', { err }) })
      .finally(() => { this.#running.delete(running) })
    this.#running.add(running)
  }

  #tick (): void {
    this.#run(async () => { await this.#store.ingestDue() })
    const partners = [...this.#partners()]
    for (const peer of partners) if (this.#host.isConnected(peer)) this.#linkSoon(peer)
    const due = partners.filter((peer) => !this.#host.isConnected(peer) && (this.#retries.get(peer)?.atMs ?? 0) <= performance.now())
    for (const peer of due.slice(0, MAX_DIALS_PER_TICK)) this.#run(async () => { await this.#dial(peer) })
    const links = [...this.#links.values()]
    for (const link of links) this.#run(async () => { await this.#sendBeat(link) })
    const chosen = links[Math.floor(Math.random() * links.length)]
    if (chosen !== undefined) this.#roundSoon(chosen.peer)
  }

  async #dial (peer: PeerId): Promise<void> {
    const { waitMs = FIRST_RETRY_MS } = this.#retries.get(peer) ?? {}
    this.#retries.set(peer, { atMs: performance.now() + waitMs, waitMs: Math.min(waitMs * 2, MAX_RETRY_MS) })
    await this.#host.addKnownAddresses(peer, this.#map()?.profile(peer)?.fields.addresses ?? [])
    await this.#host.connect(peer, { signal: this.#closed.signal })
    this.#retries.delete(peer)
  }

  #linkSoon (peer: PeerId): void {
    if (this.#links.get(peer)?.isEnded === false || this.#linking.has(peer) || !this.#isPartner(peer)) return
    this.#linking.add(peer)
    this.#run(async () => {
      try {
        await this.#link(peer)
      } finally {
        this.#linking.delete(peer)
      }
    })
  }

  async #link (peer: PeerId): Promise<void> {
    const map = this.#map()
    if (map === undefined) return
    const stream = await this.#host.openStream(peer, [RECORDS_PROTOCOL], { signal: AbortSignal.any([this.#closed.signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]) })
    const link = new RecordLink(stream, this.#host.holdBytes(peer))
    try {
      await link.ask({ t: 'hello', v: MESSAGES_VERSION, cluster: map.cluster, proof: proofOf(map, this.#host.peer).map(({ bytes }) => bytes) })
    } catch (err) {
      await this.#learnWhy(map, err)
      throw err
    }
    if (this.#closed.signal.aborted || !this.#isPartner(peer) || this.#map() !== map) {
      link.end(new HoldfastError('UNAVAILABLE', 'The members have changed'))
      return
    }
    this.#links.set(peer, link)
    this.#noteHeard(peer)
    this.#run(async () => { await this.#sendBeat(link) })
    this.#roundSoon(peer, 0)
  }

  /** Who refuses because this node was removed shows the removal. */
  async #learnWhy (map: RecordMap, err: unknown): Promise<void> {
    const records = isHoldfastError(err) ? err.details['records'] : undefined
    if (!Array.isArray(records)) return
    await this.#store.ingest(await verifiedRecords(map, records.filter((bytes) => bytes instanceof Uint8Array)))
  }

  async #sendBeat (link: RecordLink): Promise<void> {
    const map = this.#map()
    try {
      if (map !== undefined && !link.isEnded) await link.send({ t: 'beat', root: map.tree.root(), beat: this.#beat() })
    } finally {
      this.#forgetEnded(link)
    }
  }

  #forgetEnded (link: RecordLink): void {
    if (link.isEnded && this.#links.get(link.peer) === link) this.#links.delete(link.peer)
  }

  /** Compares with a member soon, when that is not under way. */
  #roundSoon (peer: PeerId, gapMs: number = MIN_ROUND_GAP_MS): void {
    const round = this.#rounds.get(peer) ?? { running: false, endedMs: -Infinity, timer: undefined }
    this.#rounds.set(peer, round)
    if (round.running || round.timer !== undefined || this.#closed.signal.aborted) return
    const waitMs = Math.max(0, round.endedMs + gapMs - performance.now())
    round.timer = setTimeout(() => {
      round.timer = undefined
      this.#run(async () => { await this.#round(peer, round) })
    }, waitMs)
  }

  async #round (peer: PeerId, round: { running: boolean, endedMs: number }): Promise<void> {
    const link = this.#links.get(peer)
    if (link === undefined || link.isEnded) return
    round.running = true
    try {
      const { fetchedCount } = await reconcile(this.#store, link)
      this.#stats.fetchedRecordCount += fetchedCount
      this.#noteHeard(peer)
    } catch (err) {
      this.#stats.failedRoundCount++
      link.end(err)
      throw err
    } finally {
      this.#stats.roundCount++
      round.running = false
      round.endedMs = performance.now()
      this.#forgetEnded(link)
    }
  }

  #onKept ({ records, changes, isOwn }: KeptRecords): void {
    if (changes.some(({ kind }) => kind === 'members')) this.#onMembersChanged()
    if (!isOwn) return
    const bytes = records.map((record) => record.bytes)
    for (const link of this.#links.values()) {
      this.#forgetEnded(link)
      link.push(bytes)
    }
  }

  /** Ends the exchange with who is no member any more, and begins it with who is one now. */
  #onMembersChanged (): void {
    this.#privileges.grant(this.#partners())
    for (const peer of [...this.#links.keys(), ...this.#served.keys()]) if (!this.#isPartner(peer)) this.#endExchange(peer)
    for (const { peer } of this.#host.peers()) this.#linkSoon(peer)
  }

  #endExchange (peer: PeerId): void {
    const reason = new HoldfastError('UNAVAILABLE', `${peer} is no member any more`, { peer })
    this.#links.get(peer)?.end(reason)
    this.#links.delete(peer)
    for (const stream of this.#served.get(peer) ?? []) stream.abort(reason)
    this.#heard.delete(peer)
  }

  async #serve (stream: PeerStream): Promise<void> {
    using account = this.#host.holdBytes(stream.peer)
    const frames = readFrames(stream.read(), { account })
    const map = await this.#greet(stream, frames)
    if (map === undefined) return
    const { peer } = stream
    const streams = this.#served.get(peer) ?? new Set()
    this.#served.set(peer, streams.add(stream))
    try {
      // The member is reachable now, so this side says hello too.
      this.#linkSoon(peer)
      for await (const frame of frames) {
        if (!this.#isPartner(peer) || this.#map() !== map) throw new HoldfastError('INVALID', `${peer} is no member any more`, { peer })
        this.#noteHeard(peer)
        await this.#handle(stream, map, requireQuestion(decodeRequest(frame)))
      }
    } finally {
      streams.delete(stream)
      if (streams.size === 0 && this.#served.get(peer) === streams) this.#served.delete(peer)
    }
  }

  /** Takes the hello. Answers with the map to serve, or refuses. */
  async #greet (stream: PeerStream, frames: AsyncGenerator<Uint8Array>): Promise<RecordMap | undefined> {
    const timer = setTimeout(() => { stream.abort(new HoldfastError('UNAVAILABLE', 'No hello came')) }, ANSWER_TIMEOUT_MS)
    const { done, value } = await frames.next().finally(() => { clearTimeout(timer) })
    if (done === true) return undefined
    const hello = decodeRequest(value)
    if (hello.t !== 'hello') throw new HoldfastError('INVALID', 'A peer did not say hello first')
    const map = this.#map()
    const refusal = map === undefined ? 'this node is in no cluster' : await this.#refusalOf(map, stream.peer, hello)
    if (map !== undefined && refusal === undefined) {
      await this.#answer(stream, { t: 'hello', v: MESSAGES_VERSION })
      return map
    }
    this.#stats.refusedStreamCount++
    const isOurs = map !== undefined && Buffer.compare(hello.cluster, map.cluster) === 0
    await this.#answer(stream, { t: 'refused', why: refusal ?? '', records: isOurs ? proofOf(map, stream.peer).map(({ bytes }) => bytes) : [] })
    await stream.closeWrite()
    return undefined
  }

  async #refusalOf (map: RecordMap, peer: PeerId, { cluster, proof }: Extract<Request, { t: 'hello' }>): Promise<string | undefined> {
    if (Buffer.compare(cluster, map.cluster) !== 0) return 'this node is in another cluster'
    if (this.#isPartner(peer)) return undefined
    if (map.members.byPeer.get(this.#host.peer)?.isActive !== true) return 'this node was removed from the cluster'
    // Whoever it is makes this node verify signatures: all strangers together only so often.
    if (proof.length === 0 || this.#proofs.take(1) === 0) return 'you are not an active member of the cluster'
    const records = await verifiedRecords(map, proof)
    if (!provesMembership(map, peer, records)) return 'you are not an active member of the cluster'
    await this.#store.ingest(records)
    return undefined
  }

  async #handle (stream: PeerStream, map: RecordMap, request: Exclude<Request, { t: 'hello' }>): Promise<void> {
    if (request.t === 'beat') this.#onBeat(stream.peer, map, request)
    else if (request.t === 'push') await this.#onPush(stream.peer, map, request.records)
    else await this.#answer(stream, await answerQuestion(map, request, bucketFor(this.#questionBuckets, stream.peer, REQUEST_BURST, REQUESTS_PER_SECOND)))
  }

  async #answer (stream: PeerStream, answer: Answer): Promise<void> {
    await stream.write(frameOf(encodeAnswer(answer)), { signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) })
  }

  #onBeat (peer: PeerId, map: RecordMap, { root, beat }: Extract<Request, { t: 'beat' }>): void {
    this.#noteHeard(peer, beat)
    this.#clock?.hear(peer, beat.clockMs)
    if (Buffer.compare(map.tree.root(), root) === 0) this.#noteHeard(peer, beat, performance.now())
    else this.#roundSoon(peer)
  }

  /** Takes as many as the member may push; what is over is fetched later, at the pace of this node. */
  async #onPush (peer: PeerId, map: RecordMap, records: readonly Uint8Array[]): Promise<void> {
    const allowedCount = bucketFor(this.#pushBuckets, peer, PUSH_BURST, PUSHES_PER_SECOND).take(records.length)
    if (allowedCount < records.length) this.#roundSoon(peer)
    const verified = await verifiedRecords(map, records.slice(0, allowedCount))
    // A full disk here is not the member's fault: it goes on, and what was not kept is fetched once there is room.
    await this.#store.ingest(verified).catch((err: unknown) => { this.#log.warn('Could not keep records that a member sent', { peer, err }) })
  }

  #noteHeard (peer: PeerId, beat: Heartbeat | undefined = this.#heard.get(peer)?.beat, agreedAtMs: number | undefined = this.#heard.get(peer)?.agreedAtMs): void {
    this.#heard.set(peer, { atMs: performance.now(), beat, agreedAtMs })
  }
}

/** One bucket per member, not per stream: who opens another stream gains nothing. There are at most as many as members. */
function bucketFor (buckets: Map<PeerId, TokenBucket>, peer: PeerId, burst: number, perSecond: number): TokenBucket {
  const bucket = buckets.get(peer) ?? new TokenBucket(burst, perSecond)
  buckets.set(peer, bucket)
  return bucket
}
