import { type Logger, multihashKey } from '@holdfast/core'
import type { FoundProvider, PeerId } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import type { ContentRouting } from '../content-routing.ts'
import type { ExchangeHost } from '../exchange-host.ts'
import type { FetchReport } from '../fetch-report.ts'
import { withTimeLimit } from './time-limit.ts'

/** Providers that are connected to before the search rests: enough to stripe over. */
export const MAX_CONNECTED_PROVIDERS = 10

/** Provider records that one search looks at; a key can be flooded with false ones. */
export const MAX_PROVIDERS_FOUND = 100

/** Dials that one session has under way. */
const MAX_DIALS = 8

/** How long a provider may take to be connected to, in milliseconds. */
const DIAL_TIMEOUT_MS = 15_000

/** Times that a provider is dialled in one session: it may have been about to start, or at its limit. */
export const MAX_DIALS_PER_PROVIDER = 3

/** How long one search may take, in milliseconds: a walk over the public DHT rarely needs more. */
const SEARCH_TIMEOUT_MS = 60_000

/** Searches that one session has under way: for the root, and for what is missing below it. */
const MAX_SEARCHES = 2

const MAX_REMEMBERED_SEARCHES = 64

/** Time between the starts of two searches for the same block, in milliseconds. */
const MIN_INTERVAL_MS = 10_000

export interface ProviderSearchDeps {
  readonly host: ExchangeHost
  readonly routing: ContentRouting
  readonly log: Logger
}

/** Finds providers for one session, connects to them and reports each one as soon as it is there. */
export class ProviderSearch implements Disposable {
  readonly #deps: ProviderSearchDeps
  readonly #onProvider: (peer: PeerId) => void
  readonly #ended = new AbortController()
  readonly #seen = new Set<PeerId>()
  readonly #connected = new Set<PeerId>()
  /** Providers that could not be dialled, with the last reason. */
  readonly #dialsFailed = new Map<PeerId, { reason: string, count: number }>()
  readonly #dialling = new Set<PeerId>()
  readonly #waitingForDial: Array<() => void> = []
  #dialCount = 0
  #searchCount = 0
  readonly #startedAtMs = new Map<string, number>()
  #state = 'not asked'

  constructor (deps: ProviderSearchDeps, onProvider: (peer: PeerId) => void) {
    this.#deps = deps
    this.#onProvider = onProvider
  }

  get report (): Pick<FetchReport, 'providersFound' | 'dialsFailed' | 'routing'> {
    return { providersFound: this.#seen.size, dialsFailed: [...this.#dialsFailed].map(([peer, { reason }]) => ({ peer, reason })), routing: this.#state }
  }

  /** Reports whether content routing named this peer. */
  isProvider (peer: PeerId): boolean {
    return this.#seen.has(peer)
  }

  /** Searches in the background, unless a search for it began a moment ago or enough providers are connected. */
  start (cid: CID): void {
    const nowMs = performance.now()
    const key = multihashKey(cid)
    if (this.#ended.signal.aborted || this.#searchCount >= MAX_SEARCHES) return
    if (nowMs - (this.#startedAtMs.get(key) ?? -Infinity) < MIN_INTERVAL_MS) return
    if ([...this.#connected].filter((peer) => this.#deps.host.isConnected(peer)).length >= MAX_CONNECTED_PROVIDERS) return
    this.#startedAtMs.delete(key)
    this.#startedAtMs.set(key, nowMs)
    for (const oldest of this.#startedAtMs.keys()) {
      if (this.#startedAtMs.size <= MAX_REMEMBERED_SEARCHES) break
      this.#startedAtMs.delete(oldest)
    }
    void this.#search(cid)
  }

  [Symbol.dispose] (): void {
    this.#ended.abort()
    for (const go of this.#waitingForDial.splice(0)) go()
  }

  async #search (cid: CID): Promise<void> {
    this.#searchCount++
    this.#state = 'searching'
    let foundCount = 0
    try {
      await withTimeLimit({ timeoutMs: SEARCH_TIMEOUT_MS, what: 'The search for providers', signal: this.#ended.signal }, async (signal) => {
        for await (const provider of this.#deps.routing.findProviders(cid, { signal })) {
          foundCount++
          this.#take(provider)
          if (foundCount >= MAX_PROVIDERS_FOUND || this.#connected.size >= MAX_CONNECTED_PROVIDERS) break
        }
      })
      this.#state = `done, ${foundCount} records`
    } catch (err) {
      this.#state = `failed after ${foundCount} records: ${reasonOf(err)}`
    } finally {
      this.#searchCount--
    }
  }

  #take (provider: FoundProvider): void {
    const { peer } = provider
    if (peer === this.#deps.host.peer) return
    if (this.#seen.has(peer) ? !this.#mayDialAgain(peer) : this.#seen.size >= MAX_PROVIDERS_FOUND) return
    this.#seen.add(peer)
    if (this.#deps.host.isConnected(peer)) this.#arrived(peer)
    else void this.#dial(provider)
  }

  #mayDialAgain (peer: PeerId): boolean {
    const failed = this.#dialsFailed.get(peer)
    return failed !== undefined && failed.count < MAX_DIALS_PER_PROVIDER && !this.#dialling.has(peer)
  }

  async #dial ({ peer, addresses }: FoundProvider): Promise<void> {
    const { host } = this.#deps
    this.#dialling.add(peer)
    if (this.#dialCount >= MAX_DIALS) await new Promise<void>((resolve) => { this.#waitingForDial.push(resolve) })
    if (this.#ended.signal.aborted) return
    this.#dialCount++
    try {
      if (addresses.length > 0) await host.addKnownAddresses(peer, addresses)
      await withTimeLimit({ timeoutMs: DIAL_TIMEOUT_MS, what: 'Connecting', signal: this.#ended.signal }, async (signal) => await host.connect(peer, { signal }))
      this.#dialsFailed.delete(peer)
      this.#arrived(peer)
    } catch (err) {
      this.#dialsFailed.set(peer, { reason: reasonOf(err), count: (this.#dialsFailed.get(peer)?.count ?? 0) + 1 })
      this.#deps.log.debug('Provider could not be dialled', { peer, err })
    } finally {
      this.#dialling.delete(peer)
      this.#dialCount--
      this.#waitingForDial.shift()?.()
    }
  }

  #arrived (peer: PeerId): void {
    if (this.#ended.signal.aborted) return
    this.#connected.add(peer)
    this.#onProvider(peer)
  }
}

function reasonOf (err: unknown): string {
  return err instanceof Error ? err.message : String(err)
}
