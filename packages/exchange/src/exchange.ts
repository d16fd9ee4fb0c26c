import type { BlockReader, Blockstore } from '@holdfast/blockstore'
import type { Logger } from '@holdfast/core'
import type { PeerId } from '@holdfast/network'
import type { CID } from 'multiformats/cid'
import { Bitswap, type BitswapStats } from './bitswap/bitswap.ts'
import type { ContentRouting } from './content-routing.ts'
import type { ExchangeHost } from './exchange-host.ts'
import type { FetchReport } from './fetch-report.ts'

/** How far a session is. */
export interface FetchProgress {
  /** Blocks that came from peers. */
  readonly blockCount: number
  /** Bytes of those blocks. */
  readonly byteLength: number
  /** Peers that are believed to hold the DAG. */
  readonly peerCount: number
}

/** Peers that fetch the same DAG at the same time, each with the others as its companions. */
export interface CompanionOptions {
  /** This node, by the id that the others know it by. */
  readonly self: PeerId
  /** The others. All have to mean the same peers, or holders send some blocks more than once. */
  readonly peers: readonly PeerId[]
}

export interface SessionOptions {
  /** Ends the session: everything that waits rejects with its reason. */
  signal?: AbortSignal | undefined
  /** How long to wait for the next block before giving up, in milliseconds. @default DEFAULT_STALL_MS */
  stallMs?: number | undefined
  /** All below what is read first will be read, so fetch ahead from the beginning; otherwise as much as was asked for and read so far, together. @default false */
  walk?: boolean | undefined
  /**
   * Gives a block also when the store has no room for it: for readers who pass it on, and never for who pins what was read. @default false
   */
  givesUnstored?: boolean | undefined
  /**
   * Peers that say that they hold the DAG: those that are connected are asked first, and nobody is searched for unless they lack something.
   *
   * @default none
   */
  holders?: readonly PeerId[] | undefined
  /**
   * Shares the fetch, so that the holders of the DAG send about one copy to all: each leaf is fetched by one of the companions, who sends
   * it on to the others. For walks: a companion that reads less sends less. Dag nodes with links are fetched by all; a leaf is what is raw, or above 64 KiB by its parent's word.
   * Companions that are absent, silent, slow or wrong cost some seconds in all; then others take their part.
   */
  companions?: CompanionOptions | undefined
  /** Called for each block that was fetched and stored. */
  onProgress?: ((progress: FetchProgress) => void) | undefined
}

/**
 * Reads one DAG: from the local store, and what is absent there from peers.
 *
 * A block that was fetched is verified and stored before it is given; with `givesUnstored` it is given without that when there is no room. `get` never answers `undefined`: it throws
 * `UNAVAILABLE` with a `FetchReport` in `details.report` when nothing came for `stallMs`, and what the local store throws
 * when it cannot store a block. `has` answers for the local store alone. Disposing a session takes its wants back.
 */
export interface ExchangeSession extends BlockReader, Disposable {
  /** Says which blocks will be read next. */
  prefetch(cids: readonly CID[]): void
  /** What was tried so far. */
  readonly report: FetchReport
}

/** Blocks from peers, and for them. */
export interface Exchange extends AsyncDisposable {
  /** Opens a session for the DAG below `root`, which content routing is asked about first. */
  openSession(root: CID, options?: SessionOptions): ExchangeSession
  /** Says that these blocks are stored now: peers that wait for them get them. */
  announce(cids: readonly CID[]): void
  stats(): BitswapStats
}

export interface ExchangeDeps {
  readonly host: ExchangeHost
  readonly routing: ContentRouting
  /** Where it tells lengths without reading, small blocks are sent where HAVE was asked. */
  readonly blocks: Blockstore
  readonly log: Logger
}

/** Begins to serve the blocks of a store over Bitswap, and to fetch what it lacks. */
export async function openExchange (deps: ExchangeDeps): Promise<Exchange> {
  return await Bitswap.open(deps)
}
