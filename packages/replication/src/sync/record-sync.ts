import { HoldfastError, isHoldfastError, type Logger } from '@holdfast/core'
import type { Host, PeerId } from '@holdfast/network'
import { ANSWER_TIMEOUT_MS, HEARTBEAT_INTERVAL_MS } from '../limits.ts'
import type { RecordMap } from '../map/record-map.ts'
import type { ClusterClock } from '../members/cluster-clock.ts'
import { proofOf } from '../members/membership-proof.ts'
import type { KeptRecords, RecordStore } from '../store/record-store.ts'
import { MemberPrivileges } from './member-privileges.ts'
import { type Heartbeat, MESSAGES_VERSION, RECORDS_PROTOCOL } from './messages.ts'
import { RecordLink } from './record-link.ts'
import { Rounds, type RoundStats } from './rounds.ts'
import { Serving } from './serving.ts'
import { verifiedRecords } from './verified-records.ts'

/** How long a member that could not be reached is left alone, in ms: at first, and at most. */
const FIRST_RETRY_MS = 5_000
const MAX_RETRY_MS = 5 * 60_000

/** Members that are dialled in one tick. */
const MAX_DIALS_PER_TICK = 4

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

export interface SyncStats extends RoundStats {
  readonly linkCount: number
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
  readonly #intervalMs: number
  readonly #links = new Map<PeerId, RecordLink>()
  readonly #linking = new Set<PeerId>()
  readonly #heard = new Map<PeerId, HeardMember>()
  readonly #retries = new Map<PeerId, Retry>()
  readonly #rounds: Rounds
  readonly #serving: Serving
  readonly #privileges: MemberPrivileges
  readonly #closing = new AsyncDisposableStack()
  readonly #closed = new AbortController()
  /** What was begun and is not awaited elsewhere. */
  readonly #running = new Set<Promise<void>>()
  constructor ({ host, store, log, beat, clock }: RecordSyncDeps, { intervalMs = HEARTBEAT_INTERVAL_MS }: RecordSyncOptions) {
    this.#host = host
    this.#privileges = new MemberPrivileges(host)
    this.#store = store
    this.#log = log
    this.#beat = beat
    this.#intervalMs = intervalMs
    this.#rounds = new Rounds({
      store,
      run: (task) => { this.#run(task) },
      linkTo: (peer) => this.#links.get(peer),
      onDone: (link) => { this.#roundDone(link) }
    })
    this.#serving = new Serving({
      host,
      store,
      log,
      isPartner: (peer) => this.#isPartner(peer),
      onHello: (peer) => { this.#linkSoon(peer) },
      onHeard: (peer, beat) => {
        this.#noteHeard(peer, beat)
        if (beat !== undefined) clock?.hear(peer, beat.clockMs)
      },
      onDifference: (peer) => { this.#rounds.begin(peer) },
      onAgreement: (peer) => { this.#noteHeard(peer, undefined, performance.now()) }
    })
  }

  get stats (): SyncStats {
    return { linkCount: this.#links.size, refusedStreamCount: this.#serving.refusedStreamCount, ...this.#rounds.stats }
  }

  async open (): Promise<void> {
    this.#closing.use(this.#privileges)
    this.#privileges.grant(this.#partners())
    this.#closing.use(await this.#host.handle([RECORDS_PROTOCOL], async (stream) => { await this.#serving.serve(stream) }, { maxInboundStreams: 4, maxOutboundStreams: 4 }))
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
    this.#rounds[Symbol.dispose]()
    for (const link of this.#links.values()) link.end(reason)
    for (const peer of this.#serving.peers()) this.#serving.end(peer, reason)
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
    if (chosen !== undefined) this.#rounds.begin(chosen.peer)
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
    this.#rounds.begin(peer, 0)
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

  #roundDone (link: RecordLink): void {
    if (!link.isEnded) this.#noteHeard(link.peer)
    this.#forgetEnded(link)
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
    for (const peer of [...this.#links.keys(), ...this.#serving.peers()]) if (!this.#isPartner(peer)) this.#endExchange(peer)
    for (const { peer } of this.#host.peers()) this.#linkSoon(peer)
  }

  #endExchange (peer: PeerId): void {
    const reason = new HoldfastError('UNAVAILABLE', `${peer} is no member any more`, { peer })
    this.#links.get(peer)?.end(reason)
    this.#links.delete(peer)
    this.#serving.end(peer, reason)
    this.#heard.delete(peer)
  }

  #noteHeard (peer: PeerId, beat: Heartbeat | undefined = this.#heard.get(peer)?.beat, agreedAtMs: number | undefined = this.#heard.get(peer)?.agreedAtMs): void {
    this.#heard.set(peer, { atMs: performance.now(), beat, agreedAtMs })
  }
}
