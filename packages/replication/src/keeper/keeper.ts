import type { AbortOptions, Logger } from '@holdfast/core'
import type { Blockstore } from '@holdfast/blockstore'
import type { Exchange } from '@holdfast/exchange'
import type { Host } from '@holdfast/network'
import type { CacheKeeper, LeaseBook, PinSet } from '@holdfast/pins'
import type { CID } from 'multiformats/cid'
import type { PinFilter } from '../cluster/cluster-pin.ts'
import type { PinMode } from '../record/record.ts'
import type { NodeLoad, Replication } from '../replication.ts'
import type { PinStatus } from './pin-status.ts'

/** What a keeper has done, and how full its node is. */
export interface KeeperStats {
  readonly fetchingCount: number
  readonly queuedCount: number
  /** Copies made here because others were lost, since this node started. */
  readonly repairedCount: number
  /** Pins that this node has no space for now. */
  readonly refusedCount: number
  /** Bytes of the copies that this node keeps for the cluster. */
  readonly usedBytes: number
  readonly capacityBytes: number
}

/** A copy that was made elsewhere than in the keeper. */
export interface MadeCopy {
  /** Of all blocks. */
  readonly byteLength: number
  /** All blocks were read and checked; else the keeper does that. */
  readonly isVerified: boolean
}

/** What became of the copies on a node that left its cluster. */
export interface ReleasedCopies {
  /** Contents that the node's user keeps now. */
  readonly keptCount: number
  /** Contents that the cluster wanted and this node had no copy of. */
  readonly absentCount: number
}

/** Keeps on this node what falls to it, and tells how all pins are. */
export interface Keeper extends AsyncDisposable {
  /** How a pin is: from memory, at once. `undefined` when there is none of this id. */
  status(pinId: string): PinStatus | undefined

  /** How all pins are, or those that fit; by `createdMs`. */
  statuses(filter?: PinFilter): Iterable<PinStatus>

  /** Yields how a pin is, first now and then whenever that changes, at most every 250 ms. Ends when the pin is gone, or the keeper closes. */
  watch(pinId: string, options?: AbortOptions): AsyncIterable<PinStatus>

  /** True while this node believes that it is the one cut off: it makes no repairs and drops nothing. */
  readonly isCutOff: boolean

  readonly stats: KeeperStats

  /**
   * Leaves a content alone until this is disposed: somebody pins it here for the cluster, and then puts the record that wants it.
   */
  expect(cid: CID, mode: PinMode): Disposable

  /** Says that this node has a copy of what it is about to put, so that the others make none in its place. It has to be pinned here for the cluster. */
  reportCopy(cid: CID, mode: PinMode, copy: MadeCopy): Promise<void>

  /** The names that pins of the cluster have for a content. */
  namesOf(cid: CID, mode: PinMode): string[]

  /**
   * Lets the node leave its cluster: keeps nothing more for it, makes its copies here the user's own pins, and then has the cluster forgotten.
   *
   * @param forget Forgets the cluster. When it fails the keeper goes on, and the pins stay.
   */
  release(forget: () => Promise<void>): Promise<ReleasedCopies>

  /** How this node is, for its heartbeats: the `load` of the replication. */
  load(): NodeLoad
}

export interface KeeperDeps {
  readonly replication: Replication
  readonly exchange: Pick<Exchange, 'openSession'>
  readonly blocks: Blockstore
  readonly pins: PinSet
  readonly leases: LeaseBook
  /** Told of blocks that were cache and are kept now. */
  readonly cache?: CacheKeeper | undefined
  readonly host: Host
  readonly log: Logger
  /** The clock, in ms since 1970. @default that of the cluster */
  readonly now?: (() => number) | undefined
}

export interface KeeperOptions {
  /** The most that copies for the cluster may take on this node, in bytes. */
  readonly capacityBytes: number
  /** How long a member may be gone before its copies are made elsewhere. @default GRACE_MS */
  readonly graceMs?: number | undefined
  /** Bound of fetches that repair; first copies have none. @default no bound */
  readonly repairBytesPerSecond?: number | undefined
  /** How often all is looked at again. @default KEEPER_INTERVAL_MS */
  readonly intervalMs?: number | undefined
  /** How long a fetch may go without a block. @default STALL_MS */
  readonly stallMs?: number | undefined
  /** The first wait after a fetch that failed. @default FIRST_RETRY_MS */
  readonly retryMs?: number | undefined
}
