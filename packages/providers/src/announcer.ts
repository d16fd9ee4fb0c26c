import { type AbortOptions, type Logger, multihashKey } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import type { ContentRouting, ProvideResult } from './content-routing.ts'

/** Which of the blocks that a node holds it announces again and again. */
export type ProvideStrategy = 'roots' | 'pinned' | 'all' | 'off'

/** Every strategy, the cheapest that announces anything first. */
export const PROVIDE_STRATEGIES: readonly ProvideStrategy[] = ['roots', 'pinned', 'all', 'off']

/**
 * Time from the start of one round of announcements to the next, in milliseconds: records are kept for 48 h
 * by the DHT, and 22 h leave room for two tries (Kubo's `Provide.DHT.Interval`).
 */
export const PROVIDE_INTERVAL_MS: number = 22 * 60 * 60 * 1000

/** Longest time that one announcement may take, in milliseconds: a walk through the DHT takes tens of seconds. */
export const PROVIDE_TIMEOUT_MS: number = 3 * 60 * 1000

/** Announcements that run at once: each is a walk that opens some twenty connections. */
export const CONCURRENT_PROVIDES = 4

/** Most roots that wait to be announced at once; those beyond it wait for the next round. */
export const MAX_WAITING_ROOTS = 4096

/** How long a node without peers waits before it tries again to announce what nobody took, in milliseconds. */
export const RETRY_MS: number = 30 * 1000

/** What a node knows about its own announcements. */
export interface AnnounceStatus {
  readonly strategy: ProvideStrategy
  /** Roots that wait for their first announcement. */
  readonly waitingCount: number
  /** The announcement that ended last. */
  readonly last?: { readonly cid: CID, readonly atMs: number } & ProvideResult
  readonly round: {
    readonly isRunning: boolean
    /** Announcements of the round that runs, or ran last. */
    readonly announcedCount: number
    /** Those of them that nobody took. */
    readonly failedCount: number
    readonly startedAtMs?: number
    readonly nextAtMs?: number
  }
}

export interface AnnouncerDeps {
  readonly routing: ContentRouting
  /** What the strategy names, walked anew for each round. */
  keys(strategy: Exclude<ProvideStrategy, 'off'>, options: AbortOptions): AsyncIterable<CID>
  readonly log: Logger
  /** When the last round began, kept through restarts. */
  readonly schedule?: { read(): number | undefined, write(startedAtMs: number): Promise<void> } | undefined
}

export interface AnnouncerOptions {
  /** @default 'roots' */
  strategy?: ProvideStrategy | undefined
  /** @default PROVIDE_INTERVAL_MS */
  intervalMs?: number | undefined
  /** @default RETRY_MS */
  retryMs?: number | undefined
}

/** Tells the network what this node holds. */
export interface Announcer extends AsyncDisposable {
  /**
   * Announces a root as soon as possible, in the background. Its blocks must be durable. What nobody took is
   * tried again. Does nothing with strategy `off`.
   */
  announce(root: CID): void
  /** Announces `cid` now and waits for the result. */
  provide(cid: CID, options?: AbortOptions): Promise<ProvideResult>
  status(): AnnounceStatus
}

/** Starts announcing: new roots at once, everything that the strategy names on schedule. */
export function startAnnouncer (deps: AnnouncerDeps, options: AnnouncerOptions = {}): Announcer {
  return new RunningAnnouncer(deps, options)
}

class RunningAnnouncer implements Announcer {
  readonly #deps: AnnouncerDeps
  readonly #strategy: ProvideStrategy
  readonly #intervalMs: number
  readonly #retryMs: number
  readonly #stopping = new AbortController()
  readonly #waiting = new Map<string, CID>()
  readonly #running = new Set<Promise<void>>()
  #retryTimer: NodeJS.Timeout | undefined
  #roundTimer: NodeJS.Timeout | undefined
  #last: AnnounceStatus['last']
  #round: AnnounceStatus['round'] = { isRunning: false, announcedCount: 0, failedCount: 0 }

  constructor (deps: AnnouncerDeps, { strategy = 'roots', intervalMs = PROVIDE_INTERVAL_MS, retryMs = RETRY_MS }: AnnouncerOptions) {
    this.#deps = deps
    this.#strategy = strategy
    this.#intervalMs = intervalMs
    this.#retryMs = retryMs
    if (strategy !== 'off') this.#scheduleRound()
  }

  announce (root: CID): void {
    if (this.#strategy === 'off' || this.#stopping.signal.aborted) return
    // What does not fit is announced by the next round; nothing is lost, it is only found later.
    if (this.#waiting.size < MAX_WAITING_ROOTS) this.#waiting.set(multihashKey(root), root)
    this.#pump()
  }

  async provide (cid: CID, { signal }: AbortOptions = {}): Promise<ProvideResult> {
    const signals = [this.#stopping.signal, AbortSignal.timeout(PROVIDE_TIMEOUT_MS), ...(signal === undefined ? [] : [signal])]
    const result = await this.#deps.routing.provide(cid, { signal: AbortSignal.any(signals) })
    this.#last = { cid, atMs: Date.now(), ...result }
    return result
  }

  status (): AnnounceStatus {
    return { strategy: this.#strategy, waitingCount: this.#waiting.size, round: this.#round, ...(this.#last === undefined ? {} : { last: this.#last }) }
  }

  async [Symbol.asyncDispose] (): Promise<void> {
    this.#stopping.abort(new Error('The node stops'))
    clearTimeout(this.#retryTimer)
    clearTimeout(this.#roundTimer)
    await Promise.all(this.#running)
  }

  #pump (): void {
    for (const [key, root] of this.#waiting) {
      if (this.#running.size >= CONCURRENT_PROVIDES || this.#retryTimer !== undefined) return
      this.#waiting.delete(key)
      this.#track(this.#announceOne(key, root))
    }
  }

  async #announceOne (key: string, root: CID): Promise<void> {
    if (await this.#isTaken(root)) return
    this.#waiting.set(key, root)
    // Nobody took it: most often no peer is known yet. All wait together, so that no peer is hammered.
    this.#retryTimer ??= setTimeout(() => {
      this.#retryTimer = undefined
      this.#pump()
    }, this.#retryMs).unref()
  }

  async #isTaken (cid: CID): Promise<boolean> {
    try {
      const { acceptedCount } = await this.provide(cid)
      return acceptedCount > 0
    } catch (err) {
      if (this.#stopping.signal.aborted) return true
      this.#deps.log.debug('An announcement failed', { cid: cid.toString(), err })
      return false
    }
  }

  #track (work: Promise<void>): void {
    const tracked = work.finally(() => {
      this.#running.delete(tracked)
      if (!this.#stopping.signal.aborted) this.#pump()
    })
    this.#running.add(tracked)
  }

  #scheduleRound (): void {
    const lastMs = this.#deps.schedule?.read()
    const dueInMs = lastMs === undefined ? 0 : Math.max(0, lastMs + this.#intervalMs - Date.now())
    // A new node has nothing to announce yet; the first round waits until peers can be there.
    const delayMs = Math.min(Math.max(dueInMs, this.#retryMs), MAX_TIMER_MS)
    this.#round = { ...this.#round, nextAtMs: Date.now() + delayMs }
    this.#roundTimer = setTimeout(() => { this.#track(this.#runRound()) }, delayMs).unref()
  }

  async #runRound (): Promise<void> {
    const startedAtMs = Date.now()
    this.#round = { isRunning: true, announcedCount: 0, failedCount: 0, startedAtMs }
    try {
      await this.#announceAll()
      await this.#deps.schedule?.write(startedAtMs)
    } catch (err) {
      if (!this.#stopping.signal.aborted) this.#deps.log.warn('A round of announcements broke off', { err, ...this.#round })
    }
    this.#round = { ...this.#round, isRunning: false }
    if (!this.#stopping.signal.aborted) this.#scheduleRound()
  }

  async #announceAll (): Promise<void> {
    if (this.#strategy === 'off') return
    const { signal } = this.#stopping
    const inFlight = new Set<Promise<void>>()
    for await (const cid of this.#deps.keys(this.#strategy, { signal })) {
      signal.throwIfAborted()
      const one = this.#countOne(cid).finally(() => { inFlight.delete(one) })
      inFlight.add(one)
      if (inFlight.size >= CONCURRENT_PROVIDES) await Promise.race(inFlight)
    }
    await Promise.all(inFlight)
  }

  async #countOne (cid: CID): Promise<void> {
    const isTaken = await this.#isTaken(cid)
    const { announcedCount, failedCount } = this.#round
    this.#round = { ...this.#round, announcedCount: announcedCount + 1, failedCount: failedCount + (isTaken ? 0 : 1) }
  }
}

/** Longest delay that a timer holds, in milliseconds (2^31 - 1). */
const MAX_TIMER_MS: number = 2 ** 31 - 1
