import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, type HoldfastError, type Logger, silentLogger } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import type { DagLease, LeaseBook } from '../leases.ts'
import type { PinSet } from '../pin-set.ts'
import { IndexedReferences } from './indexed-references.ts'
import { openReferenceStore, type ReferenceStore } from './reference-store.ts'

/** How far the edges have come. */
export interface SettleProgress {
  /** Blocks found below pins that were not in the index. */
  readonly blockCount: number
}

export interface SettleOptions extends AbortOptions {
  onProgress?: ((progress: SettleProgress) => void) | undefined
}

/** Blocks that may be garbage, as they were noted together. */
export interface GarbageBatch {
  readonly cids: readonly CID[]
  /** What `edgeAdditions` of the store was when no edge led to any of them; `undefined` when that is not known. */
  readonly unreferencedAsOf: number | undefined
  /** Says which of them are to be looked at again; the others are forgotten. */
  keep(cids: readonly CID[]): void
}

export interface ReferencesDeps {
  readonly blocks: BlockReader
  readonly pins: PinSet
  readonly leases: LeaseBook
  readonly log?: Logger
}

/**
 * The edges of all DAGs that pins keep, and which blocks may be garbage.
 *
 * An index of the pins and blocks: it is built anew when it is lost. It follows the pins a moment later, in the background;
 * whoever must know that it has caught up calls `settle`.
 */
export interface References extends AsyncDisposable {
  /** Whether every stored block is kept, cached or noted: then nothing else can be garbage. */
  readonly isComplete: boolean

  /** Reports at once whether a pin or a DAG in the index keeps the block, under any codec. */
  isKept(cid: CID): boolean

  /** Reports at once whether a pin names the block, which the index may follow later, under any codec. */
  isPinned(cid: CID): boolean

  /** Has the lease keep what is known to be kept already, with all below it; reports whether it did. */
  holdKept(cid: CID, lease: DagLease): boolean

  /** Notes a block that was stored, and that perhaps nothing keeps. */
  note(cid: CID): void

  /**
   * Resolves when the index has caught up with all pins that were visible when this was called.
   *
   * @throws `NOT_FOUND`, `CORRUPT` or `INVALID` naming pin and block when a DAG that was not walked before cannot be read.
   */
  settle(options?: SettleOptions): Promise<void>

  /** The blocks that may be garbage, as of now. */
  garbage(): AsyncIterable<GarbageBatch>

  /** Remembers what is noted as of now, to be forgotten when every stored block was looked at. */
  noted(): { forget(): void }

  /** Says that every stored block was looked at, and noted where nothing keeps it. */
  markComplete(): void

  /**
   * Says how many blocks are known as cache, and looked at by collections beside those noted here. When their number is not what it
   * was when the index was closed, every stored block is looked at once more.
   */
  besideCached(count: () => number): void

  /** The tables, for questions about who keeps what. */
  readonly store: ReferenceStore
}

export interface OpenReferencesOptions {
  /** The file of the index. */
  readonly path: string
  /** Called once, when the disk failed under the index. */
  readonly onFatal?: ((reason: HoldfastError) => void) | undefined
}

/**
 * Opens the index of references at `path`; one that is missing or unusable is built anew.
 *
 * Nothing is walked before the first change of a pin or the first `settle`.
 */
export async function openReferences (deps: ReferencesDeps, { path, onFatal }: OpenReferencesOptions): Promise<References> {
  const log = deps.log ?? silentLogger
  return new IndexedReferences({ ...deps, log }, await openReferenceStore(path, { log, onFatal }))
}
