import type { BlockReader } from '@holdfast/blockstore'
import type { Block, Logger } from '@holdfast/core'
import type { Host, PeerId, PeerStream } from '@holdfast/network'
import { setTimeout as delay } from 'node:timers/promises'
import type { PinKey } from '../map/stored-record.ts'
import { TokenBucket } from '../sync/token-bucket.ts'
import { answerChallenge, challenge, CHALLENGE_PROTOCOL } from './challenge-protocol.ts'
import { ASKED_BURST, ASKED_PER_SECOND, BUSY_CHALLENGE_PAUSE_MS, CHALLENGE_BLOCKS, CHALLENGE_PAUSE_MS, CHALLENGE_TIMEOUT_MS, MAX_CHALLENGES_WAITING, SILENT_CHALLENGES } from './limits.ts'
import { cidsOf, type Content } from './pin-index.ts'
import { sampleBlocks } from './sample-blocks.ts'

export interface AuditsDeps {
  readonly host: Pick<Host, 'openStream' | 'handle' | 'isConnected'>
  readonly blocks: BlockReader
  readonly log: Logger
  /** Whether the peer and this node are members: nobody else is asked or answered. */
  readonly isPartner: (peer: PeerId) => boolean
  /** Whether copies are made here. */
  readonly isBusy: () => boolean
  /** The content, while this node has a copy and the peer claims one. */
  readonly contentOf: (pinKey: PinKey, peer: PeerId) => Content | undefined
  /** Told what came of a challenge. */
  readonly onVerdict: (pinKey: PinKey, peer: PeerId, isHeld: boolean) => void
  /** Told when a block of an own copy is not here. */
  readonly onOwnLoss: (pinKey: PinKey) => void
}

/** Has holders prove what they claim, and proves what this node claims. */
export class Audits implements AsyncDisposable {
  readonly #deps: AuditsDeps
  readonly #waiting = new Map<PeerId, Set<PinKey>>()
  readonly #working = new Map<PeerId, Promise<void>>()
  readonly #silentCounts = new Map<PeerId, number>()
  readonly #askedBuckets = new Map<PeerId, TokenBucket>()
  readonly #closed = new AbortController()
  #handler: Promise<AsyncDisposable> | undefined

  constructor (deps: AuditsDeps) {
    this.#deps = deps
  }

  /** Begins to answer. */
  open (): void {
    this.#handler = this.#deps.host.handle([CHALLENGE_PROTOCOL], async (stream) => { await this.#answer(stream) }, { maxInboundStreams: 2, maxOutboundStreams: 2 })
    this.#handler.catch((err: unknown) => { this.#deps.log.error('Challenges of other members are not answered', { err }) })
  }

  /** Has a member prove its copy soon. */
  add (pinKey: PinKey, peer: PeerId): void {
    const waiting = this.#waiting.get(peer) ?? new Set()
    if (this.#closed.signal.aborted || waiting.size >= MAX_CHALLENGES_WAITING) return
    this.#waiting.set(peer, waiting.add(pinKey))
    if (!this.#working.has(peer)) this.#working.set(peer, this.#work(peer, waiting).finally(() => { this.#working.delete(peer) }))
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#closed.abort()
    await (await this.#handler?.catch(() => {}))?.[Symbol.asyncDispose]()
    await Promise.all(this.#working.values())
  }

  async #work (peer: PeerId, waiting: Set<PinKey>): Promise<void> {
    while (waiting.size > 0 && !this.#closed.signal.aborted) {
      await delay(this.#deps.isBusy() ? BUSY_CHALLENGE_PAUSE_MS : CHALLENGE_PAUSE_MS, undefined, { signal: this.#closed.signal }).catch(() => {})
      // Who is gone is found out otherwise.
      if (!this.#deps.isPartner(peer) || !this.#deps.host.isConnected(peer)) break
      try {
        await this.#askNext(peer, waiting)
      } catch (err) {
        if (!this.#closed.signal.aborted) this.#deps.log.debug('A challenge failed', { peer, err })
      }
    }
    this.#waiting.delete(peer)
  }

  /** Asks for random blocks of as many contents as fit. */
  async #askNext (peer: PeerId, waiting: Set<PinKey>): Promise<void> {
    const signal = AbortSignal.any([this.#closed.signal, AbortSignal.timeout(CHALLENGE_TIMEOUT_MS)])
    const asked: Array<{ pinKey: PinKey, block: Block }> = []
    for (const pinKey of waiting) {
      const blocks = await this.#sample(pinKey, peer, signal)
      if (asked.length > 0 && asked.length + blocks.length > CHALLENGE_BLOCKS) break
      waiting.delete(pinKey)
      asked.push(...blocks.map((block) => ({ pinKey, block })))
      if (asked.length === CHALLENGE_BLOCKS) break
    }
    if (asked.length === 0) return
    const proofs = await this.#ask(peer, asked.map(({ block }) => block), signal).catch((err: unknown) => {
      for (const { pinKey } of asked) waiting.add(pinKey)
      throw err
    })
    for (const [pinKey, results] of Map.groupBy(asked.map(({ pinKey }, index) => ({ pinKey, isHeld: proofs[index] === true })), ({ pinKey }) => pinKey)) {
      this.#deps.onVerdict(pinKey, peer, results.every(({ isHeld }) => isHeld))
    }
  }

  async #sample (pinKey: PinKey, peer: PeerId, signal: AbortSignal): Promise<Block[]> {
    const content = this.#deps.contentOf(pinKey, peer)
    const [root] = content === undefined ? [] : cidsOf(content)
    if (content === undefined || root === undefined) return []
    const blocks = await sampleBlocks(this.#deps.blocks, root, { count: CHALLENGE_BLOCKS, isDirect: content.mode === 'direct', signal })
    if (blocks === undefined) this.#deps.onOwnLoss(pinKey)
    return blocks ?? []
  }

  /** @throws when nothing can be said: one silence may be the network's. After several it is an answer: nothing is proven. */
  async #ask (peer: PeerId, blocks: readonly Block[], signal: AbortSignal): Promise<boolean[]> {
    try {
      await using stream = await this.#deps.host.openStream(peer, [CHALLENGE_PROTOCOL], { signal })
      const onAbort = (): void => { stream.abort(new Error('A challenge took too long')) }
      signal.addEventListener('abort', onAbort, { once: true })
      const proofs = await challenge(stream, blocks)
      this.#silentCounts.delete(peer)
      return proofs
    } catch (err) {
      const count = (this.#silentCounts.get(peer) ?? 0) + 1
      this.#silentCounts.set(peer, count)
      if (this.#closed.signal.aborted || count < SILENT_CHALLENGES || !this.#deps.host.isConnected(peer)) throw err
      return []
    }
  }

  async #answer (stream: PeerStream): Promise<void> {
    const { peer } = stream
    if (!this.#deps.isPartner(peer)) {
      stream.abort(new Error(`${peer} is no member`))
      return
    }
    const bucket = this.#askedBuckets.get(peer) ?? new TokenBucket(ASKED_BURST, ASKED_PER_SECOND)
    this.#askedBuckets.set(peer, bucket)
    await delay(bucket.takeLater(), undefined, { signal: this.#closed.signal })
    const timer = setTimeout(() => { stream.abort(new Error('A challenge took too long')) }, CHALLENGE_TIMEOUT_MS)
    try {
      await answerChallenge(stream, this.#deps.blocks)
    } finally {
      clearTimeout(timer)
    }
  }
}
