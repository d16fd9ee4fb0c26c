import type { BlockReader, Blockstore } from '@holdfast/blockstore'
import type { InPlaceBlockstore } from '@holdfast/blockstore/in-place'
import type { AbortOptions, Logger } from '@holdfast/core'
import type { BitswapStats } from '@holdfast/exchange'
import type { CacheCounts, GatewayFigures } from '@holdfast/gateway'
import type { Host } from '@holdfast/network'
import type { DagSizes, FetchCache, Journal, LeaseBook, PinSet, References } from '@holdfast/pins'
import type { Announcer, ContentRouting } from '@holdfast/providers'
import type { Keeper, Replication } from '@holdfast/replication'
import type { CID } from 'multiformats/cid'
import type { NodeEvents } from './node-events.ts'
import type { NodeIdentity, SettingEvent } from './operations.ts'
import type { StorageEngine } from './storage-engine.ts'

/** How far fetching has come, in all. */
export interface FetchProgress {
  readonly blockCount: number
  readonly byteLength: number
  /** Peers that take part. */
  readonly peerCount: number
}

export interface OpenReaderOptions {
  readonly signal: AbortSignal
  /** All of the DAG below what is read will be read: it is fetched ahead from the beginning. @default false */
  readonly walk?: boolean | undefined
  /** Gives a block also when there is no room to store it: for who passes it on, and never for who pins. @default false */
  readonly givesUnstored?: boolean | undefined
  onProgress?(progress: FetchProgress): void
}

/** The parts of a running node that the door gives access to. */
export interface ApiNode {
  readonly blocks: Blockstore
  /** The same without a cache, for whoever looks for damage on the disk. */
  readonly storedBlocks: Blockstore
  /** Those of them that lie in files of the user. */
  readonly inPlace: InPlaceBlockstore
  /** Which of the blocks are cache; whoever pins takes blocks out of it. */
  readonly cache: Pick<FetchCache, 'cids' | 'has' | 'keep' | 'kept' | 'own' | 'protectReader' | 'status' | 'withRoom'>
  /**
   * Opens a reader of one DAG that fetches from peers what is not here, and stores it.
   *
   * Its `get` throws `UNAVAILABLE` with a report of what was tried when nobody gives the block.
   */
  openReader(root: CID, options: OpenReaderOptions): BlockReader & Disposable
  readonly pins: PinSet
  readonly leases: LeaseBook
  /** What the pins keep, block by block. */
  readonly references: References
  readonly dagSizes: DagSizes
  readonly journal: Journal
  readonly host: Host
  readonly routing: ContentRouting
  /** Looks up where a peer is; `undefined` when nobody knows. */
  findPeer(peer: string, options: AbortOptions): Promise<{ readonly peer: string, readonly addresses: readonly string[] } | undefined>
  /** What was exchanged with peers since the start. */
  exchangeStats(): BitswapStats
  /** What the gateway did since the start, and how often it remembered what it was asked for. */
  gatewayFigures(): GatewayFigures & { readonly caches: Readonly<Record<string, CacheCounts>> }
  readonly announcer: Announcer
  /** The members of this node's cluster and what they decided to keep. */
  readonly replication: Replication
  /** How the copies of its pins are. */
  readonly keeper: Keeper
  readonly repository: { readonly folder: string, readonly version: number }
  /** How the blocks are stored. */
  readonly engine: StorageEngine
  /** What happens in the node. */
  readonly events: NodeEvents
  readonly log: Logger
  /** Whether the node is open and not stopping. */
  isReady(): boolean
  describe(): NodeIdentity
  settings(): Iterable<SettingEvent>
  /** Begins to stop the node; the answer to whoever asked still goes out. */
  stop(): void
}
