import type { PeerId } from '@holdfast/network'
import type { RecordStore } from '../store/record-store.ts'
import { reconcile } from './reconcile.ts'
import type { RecordLink } from './record-link.ts'

/** Rounds with one member are at least so far apart, in ms, unless it just connected. */
const MIN_ROUND_GAP_MS = 1_000

interface PeerRound {
  running: boolean
  endedMs: number
  timer: NodeJS.Timeout | undefined
}

export interface RoundStats {
  readonly roundCount: number
  readonly failedRoundCount: number
  readonly fetchedRecordCount: number
}

export interface RoundsDeps {
  readonly store: RecordStore
  /** Begins work that nobody awaits. */
  readonly run: (task: () => Promise<void>) => void
  readonly linkTo: (peer: PeerId) => RecordLink | undefined
  /** A round has come to its end: the member was heard, or the link has ended. */
  readonly onDone: (link: RecordLink) => void
}

/** Compares with members, with each once at a time. */
export class Rounds implements Disposable {
  readonly #deps: RoundsDeps
  readonly #rounds = new Map<PeerId, PeerRound>()
  #stats = { roundCount: 0, failedRoundCount: 0, fetchedRecordCount: 0 }
  #isClosed = false

  constructor (deps: RoundsDeps) {
    this.#deps = deps
  }

  get stats (): RoundStats {
    return this.#stats
  }

  /** Compares with a member soon, when that is not under way. */
  begin (peer: PeerId, gapMs: number = MIN_ROUND_GAP_MS): void {
    const round = this.#rounds.get(peer) ?? { running: false, endedMs: -Infinity, timer: undefined }
    this.#rounds.set(peer, round)
    if (round.running || round.timer !== undefined || this.#isClosed) return
    const waitMs = Math.max(0, round.endedMs + gapMs - performance.now())
    round.timer = setTimeout(() => {
      round.timer = undefined
      this.#deps.run(async () => { await this.#round(peer, round) })
    }, waitMs)
  }

  [Symbol.dispose] (): void {
    this.#isClosed = true
    for (const { timer } of this.#rounds.values()) clearTimeout(timer)
  }

  async #round (peer: PeerId, round: PeerRound): Promise<void> {
    const link = this.#deps.linkTo(peer)
    if (link === undefined || link.isEnded) return
    round.running = true
    try {
      const { fetchedCount } = await reconcile(this.#deps.store, link)
      this.#stats.fetchedRecordCount += fetchedCount
    } catch (err) {
      this.#stats.failedRoundCount++
      link.end(err)
      throw err
    } finally {
      this.#stats.roundCount++
      round.running = false
      round.endedMs = performance.now()
      this.#deps.onDone(link)
    }
  }
}
