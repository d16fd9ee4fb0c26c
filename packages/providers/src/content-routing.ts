import type { AbortOptions } from '@holdfast/core'
import type { CID } from 'multiformats/cid'

/** A peer that says it holds some content, and where it can be dialled. */
export interface FoundProvider {
  readonly peer: string
  /** Multiaddrs; may be empty when only the peer's own record knows them. */
  readonly addresses: readonly string[]
}

/** What became of an announcement. */
export interface ProvideResult {
  /** Peers that took the record. */
  readonly acceptedCount: number
  /** Why others did not, each reason once with how often it was given: `no route to host (3)`. */
  readonly failures: readonly string[]
}

/**
 * Finds who holds content and tells others what this node holds.
 *
 * A provider record names a multihash, so CIDs of one multihash are one content here.
 */
export interface ContentRouting {
  /** Yields providers as they are found, each peer once. Ends when everybody who could know was asked. */
  findProviders(cid: CID, options?: AbortOptions): AsyncIterable<FoundProvider>

  /** Announces that this node holds `cid` and tells how many peers took the record; nobody taking it is no failure. */
  provide(cid: CID, options?: AbortOptions): Promise<ProvideResult>
}

/** A source of provider records by the bytes of the multihash: the DHT, a delegated HTTP router. */
export interface ProviderSource {
  /** For reports: `dht`, `https://delegated.example`. */
  readonly name: string
  findProviders(multihash: Uint8Array, options?: AbortOptions): AsyncIterable<FoundProvider>
  provide?(multihash: Uint8Array, options?: AbortOptions): Promise<ProvideResult>
}

/** Most providers of one search that are passed on: sessions need a handful, and a key may have thousands. */
export const MAX_PROVIDERS_PER_SEARCH = 100

/**
 * Asks all sources at once and gives what comes first.
 *
 * A source that fails is passed over while another answers; when all fail, the search ends with the first failure.
 */
export function createContentRouting (sources: readonly ProviderSource[]): ContentRouting {
  return {
    findProviders: (cid, options) => findInAll(sources, cid, options),
    provide: async (cid, options) => await provideToAll(sources, cid, options)
  }
}

async function * findInAll (sources: readonly ProviderSource[], cid: CID, { signal }: AbortOptions = {}): AsyncIterable<FoundProvider> {
  signal?.throwIfAborted()
  const ended = new AbortController()
  const searches = new Set(sources.map((source) => {
    const found = source.findProviders(cid.multihash.bytes, { signal: signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal]) })
    return new Search(found[Symbol.asyncIterator]())
  }))
  const seen = new Set<string>()
  const failures: unknown[] = []
  try {
    while (searches.size > 0 && seen.size < MAX_PROVIDERS_PER_SEARCH) {
      const search = await Promise.race([...searches].map(async (each) => await each.next()))
      signal?.throwIfAborted()
      const result = search.take()
      if ('failure' in result) failures.push(result.failure)
      if (!('provider' in result)) {
        searches.delete(search)
      } else if (!seen.has(result.provider.peer)) {
        seen.add(result.provider.peer)
        yield result.provider
      }
    }
  } finally {
    ended.abort()
    await Promise.all([...searches].map(async (search) => { await search.close() }))
  }
  if (seen.size === 0 && failures.length === sources.length && failures.length > 0) throw failures[0]
}

type Step = { readonly provider: FoundProvider } | { readonly failure: unknown } | { readonly isOver: true }

/** One running search; its next result is asked for once and kept until it is taken. */
class Search {
  readonly #iterator: AsyncIterator<FoundProvider>
  #pending: Promise<Search> | undefined
  #step: Step = { isOver: true }

  constructor (iterator: AsyncIterator<FoundProvider>) {
    this.#iterator = iterator
  }

  /** Resolves with this search when its next result is there. */
  next (): Promise<Search> {
    this.#pending ??= this.#iterator.next().then(
      (next) => { this.#step = next.done === true ? { isOver: true } : { provider: next.value } },
      (failure: unknown) => { this.#step = { failure } }
    ).then(() => this)
    return this.#pending
  }

  take (): Step {
    this.#pending = undefined
    return this.#step
  }

  async close (): Promise<void> {
    // A source that cannot stop in order has nothing left that matters.
    await this.#iterator.return?.().catch(() => {})
  }
}

async function provideToAll (sources: readonly ProviderSource[], cid: CID, options: AbortOptions = {}): Promise<ProvideResult> {
  const results = await Promise.all(sources.map(async (source) => await provideTo(source, cid, options)))
  return {
    acceptedCount: results.reduce((sum, { acceptedCount }) => sum + acceptedCount, 0),
    failures: results.flatMap(({ failures }) => failures)
  }
}

async function provideTo (source: ProviderSource, cid: CID, options: AbortOptions): Promise<ProvideResult> {
  try {
    return await source.provide?.(cid.multihash.bytes, options) ?? { acceptedCount: 0, failures: [] }
  } catch (err) {
    options.signal?.throwIfAborted()
    return { acceptedCount: 0, failures: [`${source.name}: ${err instanceof Error ? err.message : String(err)}`] }
  }
}

