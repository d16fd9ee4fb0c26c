import type { Blockstore } from '@holdfast/blockstore'
import type { Logger } from '@holdfast/core'
import type { Journal, LeaseBook, PinSet } from '@holdfast/pins'
import type { NodeIdentity, SettingEvent } from './operations.ts'

/** The parts of a running node that the door gives access to. */
export interface ApiNode {
  readonly blocks: Blockstore
  /** The same without a cache, for whoever looks for damage on the disk. */
  readonly storedBlocks: Blockstore
  readonly pins: PinSet
  readonly leases: LeaseBook
  readonly journal: Journal
  readonly repository: { readonly folder: string, readonly version: number, readonly engine: string }
  readonly log: Logger
  describe(): NodeIdentity
  settings(): Iterable<SettingEvent>
  /** Begins to stop the node; the answer to whoever asked still goes out. */
  stop(): void
}
