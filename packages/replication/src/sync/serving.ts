import { HoldfastError, type Logger } from '@holdfast/core'
import type { Host, PeerId, PeerStream } from '@holdfast/network'
import { ANSWER_TIMEOUT_MS, PROOF_BURST, PROOFS_PER_SECOND, PUSH_BURST, PUSHES_PER_SECOND, REQUEST_BURST, REQUESTS_PER_SECOND } from '../limits.ts'
import type { RecordMap } from '../map/record-map.ts'
import { proofOf, provesMembership } from '../members/membership-proof.ts'
import type { RecordStore } from '../store/record-store.ts'
import { frameOf, readFrames } from './frames.ts'
import { type Answer, decodeRequest, encodeAnswer, type Heartbeat, MESSAGES_VERSION, type Request } from './messages.ts'
import { answerQuestion, requireQuestion } from './record-server.ts'
import { TokenBucket } from './token-bucket.ts'
import { verifiedRecords } from './verified-records.ts'

export interface ServingDeps {
  readonly host: Host
  readonly store: RecordStore
  readonly log: Logger
  /** Whether records may be exchanged with a peer. */
  readonly isPartner: (peer: PeerId) => boolean
  /** A member said hello, so it can be reached. */
  readonly onHello: (peer: PeerId) => void
  /** A member said something; with its heartbeat, when that was it. */
  readonly onHeard: (peer: PeerId, beat?: Heartbeat) => void
  /** A member has other records than this node. */
  readonly onDifference: (peer: PeerId) => void
  /** Told when a member has the same records as this node. */
  readonly onAgreement: (peer: PeerId) => void
}

/** Answers on the streams that members opened, and takes what they push there. */
export class Serving {
  readonly #deps: ServingDeps
  readonly #streams = new Map<PeerId, Set<PeerStream>>()
  readonly #pushBuckets = new Map<PeerId, TokenBucket>()
  readonly #questionBuckets = new Map<PeerId, TokenBucket>()
  readonly #proofs = new TokenBucket(PROOF_BURST, PROOFS_PER_SECOND)
  #refusedStreamCount = 0

  constructor (deps: ServingDeps) {
    this.#deps = deps
  }

  get refusedStreamCount (): number {
    return this.#refusedStreamCount
  }

  /** Members that are answered. */
  peers (): PeerId[] {
    return [...this.#streams.keys()]
  }

  /** Ends the streams of a member. */
  end (peer: PeerId, reason: Error): void {
    for (const stream of this.#streams.get(peer) ?? []) stream.abort(reason)
  }

  /** Serves a stream to its end. @throws `INVALID` or `LIMIT` for what no honest member sends. */
  async serve (stream: PeerStream): Promise<void> {
    const { host, isPartner, onHello, onHeard } = this.#deps
    using account = host.holdBytes(stream.peer)
    const frames = readFrames(stream.read(), { account })
    const map = await this.#greet(stream, frames)
    if (map === undefined) return
    const { peer } = stream
    const streams = this.#streams.get(peer) ?? new Set()
    this.#streams.set(peer, streams.add(stream))
    try {
      // The member is reachable now, so this side says hello too.
      onHello(peer)
      for await (const frame of frames) {
        if (!isPartner(peer) || this.#map() !== map) throw new HoldfastError('INVALID', `${peer} is no member any more`, { peer })
        onHeard(peer)
        await this.#handle(stream, map, requireQuestion(decodeRequest(frame)))
      }
    } finally {
      streams.delete(stream)
      if (streams.size === 0 && this.#streams.get(peer) === streams) this.#streams.delete(peer)
    }
  }

  #map (): RecordMap | undefined {
    return this.#deps.store.cluster?.map
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
    this.#refusedStreamCount++
    const isOurs = map !== undefined && Buffer.compare(hello.cluster, map.cluster) === 0
    await this.#answer(stream, { t: 'refused', why: refusal ?? '', records: isOurs ? proofOf(map, stream.peer).map(({ bytes }) => bytes) : [] })
    await stream.closeWrite()
    return undefined
  }

  async #refusalOf (map: RecordMap, peer: PeerId, { cluster, proof }: Extract<Request, { t: 'hello' }>): Promise<string | undefined> {
    const { host, isPartner, store } = this.#deps
    if (Buffer.compare(cluster, map.cluster) !== 0) return 'this node is in another cluster'
    if (isPartner(peer)) return undefined
    if (map.members.byPeer.get(host.peer)?.isActive !== true) return 'this node was removed from the cluster'
    // Whoever it is makes this node verify signatures: all strangers together only so often.
    if (proof.length === 0 || this.#proofs.take(1) === 0) return 'you are not an active member of the cluster'
    const records = await verifiedRecords(map, proof)
    if (!provesMembership(map, peer, records)) return 'you are not an active member of the cluster'
    await store.ingest(records)
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
    this.#deps.onHeard(peer, beat)
    if (Buffer.compare(map.tree.root(), root) === 0) this.#deps.onAgreement(peer)
    else this.#deps.onDifference(peer)
  }

  /** Takes as many as the member may push; what is over is fetched later, at the pace of this node. */
  async #onPush (peer: PeerId, map: RecordMap, records: readonly Uint8Array[]): Promise<void> {
    const { log, onDifference, store } = this.#deps
    const allowedCount = bucketFor(this.#pushBuckets, peer, PUSH_BURST, PUSHES_PER_SECOND).take(records.length)
    if (allowedCount < records.length) onDifference(peer)
    const verified = await verifiedRecords(map, records.slice(0, allowedCount))
    // A full disk here is not the member's fault: it goes on, and what was not kept is fetched once there is room.
    await store.ingest(verified).catch((err: unknown) => { log.warn('Could not keep records that a member sent', { peer, err }) })
  }
}

/** One bucket per member, not per stream: who opens another stream gains nothing. There are at most as many as members. */
function bucketFor (buckets: Map<PeerId, TokenBucket>, peer: PeerId, burst: number, perSecond: number): TokenBucket {
  const bucket = buckets.get(peer) ?? new TokenBucket(burst, perSecond)
  buckets.set(peer, bucket)
  return bucket
}
