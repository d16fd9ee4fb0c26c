import { HoldfastError, isErrorCode, isHoldfastError, type Logger } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import { isOutOfSpace } from '@holdfast/pins'
import { cidOfPinKey, modeOfPinKey, type PinKey } from '../map/stored-record.ts'
import type { HoldState } from '../record/record.ts'
import type { Replication } from '../replication.ts'
import { fetchCopy, type FetchCopyDeps } from './fetch-copy.ts'
import { REFUSAL_MS, STALL_MS, TELL_FETCH_MS } from './limits.ts'
import { cidsOf, type Content } from './pin-index.ts'
import { RetryBook } from './retry-book.ts'
import { SpaceLedger } from './space-ledger.ts'
import { Throttle } from './throttle.ts'

export interface OwnCopiesDeps extends FetchCopyDeps {
  readonly self: PeerId
  readonly replication: Pick<Replication, 'reportHold'>
  readonly log: Logger
}

export interface OwnCopiesOptions {
  readonly capacityBytes: number
  readonly repairBytesPerSecond?: number | undefined
  readonly stallMs?: number | undefined
  readonly retryMs?: number | undefined
}

/** What the maker of a copy knows before. */
export interface MakeRequest {
  readonly content: Content
  /** It was there, and is looked at again: it goes on to count meanwhile. */
  readonly wasVerified: boolean
  /** Other copies were lost: made at the rate for repairs. */
  readonly isRepair: boolean
  /** What others say it takes, for the percentage alone; 0 when nobody does. */
  readonly toldBytes: number
  /** Members whose copy this node found wanting. */
  readonly doubts: readonly PeerId[]
  /** Members that say to have it: asked before anybody is searched for. */
  readonly holders: readonly PeerId[]
  /** Other members that are to make a copy now, too. */
  readonly companions: readonly PeerId[]
}

/** How far a fetch is. */
export interface CopyProgress {
  readonly percent?: number
  readonly bytesPerSecond: number
}

interface Progress {
  readonly sinceMs: number
  byteLength: number
  totalBytes: number
}

/** The copies on this node: makes, verifies and drops them, and says so. */
export class OwnCopies {
  readonly ledger: SpaceLedger
  readonly retries: RetryBook
  readonly #deps: OwnCopiesDeps
  readonly #stallMs: number
  readonly #throttle: Throttle | undefined
  readonly #progress = new Map<PinKey, Progress>()
  #repairedCount = 0

  constructor (deps: OwnCopiesDeps, { capacityBytes, repairBytesPerSecond, stallMs = STALL_MS, retryMs }: OwnCopiesOptions) {
    this.#deps = deps
    this.ledger = new SpaceLedger(capacityBytes)
    this.retries = new RetryBook({ firstMs: retryMs })
    this.#stallMs = stallMs
    this.#throttle = repairBytesPerSecond === undefined ? undefined : new Throttle(repairBytesPerSecond)
  }

  get repairedCount (): number {
    return this.#repairedCount
  }

  progressOf (pinKey: PinKey): CopyProgress | undefined {
    const progress = this.#progress.get(pinKey)
    if (progress === undefined) return undefined
    const { sinceMs, byteLength, totalBytes } = progress
    return {
      bytesPerSecond: Math.round(byteLength / Math.max(0.001, (performance.now() - sinceMs) / 1000)),
      ...totalBytes > 0 && { percent: Math.min(99, Math.floor(byteLength / totalBytes * 100)) }
    }
  }

  /** Reports whether this node has a durable pin for all that the content is. */
  isPinned (content: Content): boolean {
    return cidsOf(content).every((cid) => this.#deps.pins.has({ cid, kind: content.mode, owner: 'cluster' }))
  }

  /** Reports whether all of the content is here already, for the cluster or a user of this node. */
  isHere (content: Content): boolean {
    return this.isPinned(content) || this.#isLocal(content.pinKey)
  }

  /** Makes a copy and says that it is verified, or says why not. */
  async make (request: MakeRequest, signal: AbortSignal): Promise<void> {
    const { content: { pinKey }, wasVerified, isRepair, toldBytes, doubts } = request
    const keptBytes = wasVerified ? this.ledger.byteLengthOf(pinKey) : 0
    const progress = { sinceMs: performance.now(), byteLength: 0, totalBytes: toldBytes }
    this.#progress.set(pinKey, progress)
    const telling = setTimeout(() => { void this.#tell(pinKey, 'fetching') }, TELL_FETCH_MS)
    if (wasVerified) clearTimeout(telling)
    try {
      const byteLength = await this.#fetch(request, progress, signal)
      clearTimeout(telling)
      await this.#deps.replication.reportHold({ pinKey, state: 'verified', byteLength, doubts })
      this.ledger.set(pinKey, byteLength)
      this.retries.forget(pinKey)
      if (isRepair) this.#repairedCount++
    } catch (err) {
      clearTimeout(telling)
      if (keptBytes > 0) this.ledger.set(pinKey, keptBytes)
      else this.ledger.release(pinKey)
      if (!signal.aborted) await this.#failed(request, err)
    } finally {
      this.#progress.delete(pinKey)
    }
  }

  /** Says that this node has a copy that was made and pinned by somebody else. */
  async report (pinKey: PinKey, { byteLength, isVerified }: { readonly byteLength: number, readonly isVerified: boolean }): Promise<void> {
    await this.#deps.replication.reportHold({ pinKey, state: isVerified ? 'verified' : 'complete', byteLength })
    if (isVerified) this.ledger.set(pinKey, byteLength)
  }

  /** Stops keeping a copy. Says so first, so that nobody counts on it any more. The blocks go with the next collection. */
  async drop (pinKey: PinKey): Promise<void> {
    await this.#deps.replication.reportHold({ pinKey, state: 'dropping', byteLength: 0 })
    try {
      await this.#deps.pins.remove({ cid: cidOfPinKey(pinKey), kind: modeOfPinKey(pinKey), owner: 'cluster' })
    } catch (err) {
      if (!isErrorCode(err, 'NOT_FOUND')) throw err
    }
    this.ledger.release(pinKey)
    this.retries.forget(pinKey)
  }

  /** Begins anew for another cluster. */
  forgetAll (): void {
    this.ledger.clear()
    this.retries.clear()
  }

  async #fetch ({ content, isRepair, holders, companions }: MakeRequest, progress: Progress, signal: AbortSignal): Promise<number> {
    const { pinKey, mode } = content
    // What is pinned here takes no space that it does not take already.
    const isHere = this.isHere(content)
    const require = (byteLength: number): void => {
      if (isHere) this.ledger.set(pinKey, byteLength)
      else if (!this.ledger.reserve(pinKey, byteLength)) throw new HoldfastError('LIMIT', `No space: ${byteLength} bytes are needed, ${this.ledger.freeBytes} are free of ${this.ledger.capacityBytes}`, { reason: 'no-space' })
    }
    let doneBytes = 0
    for (const cid of cidsOf(content)) {
      const before = doneBytes
      doneBytes += await fetchCopy(this.#deps, { cid, mode }, {
        signal,
        stallMs: this.#stallMs,
        throttle: isRepair ? this.#throttle : undefined,
        holders,
        companions: companions.length === 0 ? undefined : { self: this.#deps.self, peers: companions },
        onByteLength: (byteLength) => {
          progress.totalBytes = before + byteLength
          require(before + byteLength)
        },
        onProgress: (byteLength) => {
          progress.byteLength = before + byteLength
          if (progress.byteLength > this.ledger.byteLengthOf(pinKey)) require(progress.byteLength)
        }
      })
    }
    return doneBytes
  }

  #isLocal (pinKey: PinKey): boolean {
    return this.#deps.pins.list({ cid: cidOfPinKey(pinKey), kind: modeOfPinKey(pinKey), owner: 'user' })[Symbol.iterator]().next().done !== true
  }

  async #failed ({ content: { pinKey }, wasVerified }: MakeRequest, err: unknown): Promise<void> {
    const isRefused = isErrorCode(err, 'LIMIT')
    const why = isRefused && err.details['reason'] === 'no-space' || isOutOfSpace(err) ? 'no space' : whyOf(err)
    this.#deps.log.debug('A copy was not made', { pinKey, why, err })
    if (isRefused) this.retries.refused(pinKey, why, REFUSAL_MS)
    else this.retries.failed(pinKey, why)
    await this.#tell(pinKey, isRefused ? 'refused' : wasVerified ? 'corrupt' : 'queued', why)
  }

  async #tell (pinKey: PinKey, state: HoldState, why?: string): Promise<void> {
    try {
      await this.#deps.replication.reportHold({ pinKey, state, byteLength: 0, why })
    } catch (err) {
      // Who is no member any more has nothing to say, and a journal that is full says so elsewhere.
      this.#deps.log.debug('The state of a copy was not told', { pinKey, state, err })
    }
  }
}

/** Why a fetch failed, in a few words. */
function whyOf (err: unknown): string {
  if (!(err instanceof Error)) return String(err)
  const report = isHoldfastError(err) ? err.details['report'] : undefined
  if (typeof report !== 'object' || report === null || !('peersAsked' in report) || !Array.isArray(report.peersAsked)) return err.message
  const count = report.peersAsked.length
  return `nobody has it: asked ${count} ${count === 1 ? 'peer' : 'peers'}`
}
