import type { Blockstore } from '@holdfast/blockstore'
import { type AbortOptions, HoldfastError, isErrorCode } from '@holdfast/core'
import { DigestSet } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import type { Collection, LeaseBook } from './leases.ts'
import type { PinSet } from './pin-set.ts'
import { reachableFrom, ReachableSet } from './reachable.ts'
import { settled } from './settled.ts'

/** How far a collection has come: `blockCount` counts blocks marked, then blocks looked at. */
export interface CollectProgress {
  readonly phase: 'mark' | 'sweep'
  readonly blockCount: number
  readonly removedCount: number
  readonly removedByteLength: number
}

export interface CollectOptions extends AbortOptions {
  /** Whether to count only what would be removed. @default false */
  dryRun?: boolean
  /**
   * Whether raw blocks below pins are looked up instead of read and hashed: many times faster, while damage of
   * theirs goes unnoticed. It endangers nothing, since a raw block has no links. @default false
   */
  trustLeaves?: boolean
  onProgress?: (progress: CollectProgress) => void
  /** Awaited for every block that was removed, or with `dryRun` would be. */
  onRemoved?: ((cid: CID) => Promise<void>) | undefined
}

export interface CollectResult {
  /** Blocks that were looked at and stay. */
  readonly keptCount: number
  readonly removedCount: number
  readonly removedByteLength: number
}

/** What a collection works on. */
export interface CollectDeps {
  readonly blocks: Blockstore
  readonly pins: PinSet
  readonly leases: LeaseBook
}

/** Blocks removed at the same time: unlinking waits for the disk. */
const REMOVALS_IN_FLIGHT = 32

/** Blocks between two reports of progress. */
const BLOCKS_PER_PROGRESS = 1024

/**
 * Removes every block that no pin and no lease keeps.
 *
 * Nothing stops meanwhile: blocks and pins come and go, provided that whoever adds holds a lease until the pin is
 * durable. Holds 16 to 64 bytes for each block of the store, and reads what it removes to tell how much that was.
 *
 * @throws `NOT_FOUND`, `CORRUPT` or `INVALID` naming pin and block when a block below a pin is absent, damaged or
 * unreadable: nothing was removed then; `UNAVAILABLE` while another collection runs, or when the medium failed.
 */
export async function collectGarbage (deps: CollectDeps, options: CollectOptions = {}): Promise<CollectResult> {
  options.signal?.throwIfAborted()
  // Before the pins are read: the pin of a lease that was let go by now is among them.
  using collection = deps.leases.beginCollection()
  const kept = await mark(deps, options)
  return await sweep({ ...deps, collection, kept }, options)
}

async function mark ({ blocks, pins }: CollectDeps, { signal, trustLeaves = false, onProgress }: CollectOptions): Promise<ReachableSet> {
  const reached = new ReachableSet()
  const passLeaf = trustLeaves ? await leafCheck(blocks, signal) : undefined
  let blockCount = 0
  const report = (): void => { onProgress?.({ phase: 'mark', blockCount, removedCount: 0, removedByteLength: 0 }) }
  for (const pin of pins.list()) {
    signal?.throwIfAborted()
    for await (const _ of reachableFrom(blocks, pin, reached, { signal, passLeaf })) {
      if (++blockCount % BLOCKS_PER_PROGRESS === 0) report()
    }
  }
  report()
  return reached
}

/** Returns a check that a block is stored. Listing the store once is far cheaper than asking for each of its blocks. */
async function leafCheck (blocks: Blockstore, signal: AbortSignal | undefined): Promise<(cid: CID) => Promise<void>> {
  const stored = new DigestSet()
  for await (const cid of blocks.list({ signal })) stored.add(cid)
  return async (cid) => {
    if (stored.has(cid) || await blocks.has(cid, { signal })) return
    throw new HoldfastError('NOT_FOUND', `Block ${cid} was not found`, { reason: 'no-block', cid: cid.toString() })
  }
}

interface SweepDeps extends CollectDeps {
  readonly collection: Collection
  readonly kept: ReachableSet
}

async function sweep (deps: SweepDeps, { signal, dryRun = false, onProgress, onRemoved }: CollectOptions): Promise<CollectResult> {
  let keptCount = 0
  let removedCount = 0
  let removedByteLength = 0
  let blockCount = 0
  let garbage: CID[] = []
  const report = (): void => { onProgress?.({ phase: 'sweep', blockCount, removedCount, removedByteLength }) }

  const removeGarbage = async (): Promise<void> => {
    const cids = garbage
    garbage = []
    const removals = await settled(cids.map((cid) => removeBlock(deps, cid, dryRun)))
    for (const [index, cid] of cids.entries()) {
      const byteLength = removals[index]
      if (byteLength === undefined) {
        keptCount++
      } else {
        removedCount++
        removedByteLength += byteLength
        await onRemoved?.(cid)
      }
    }
  }

  for await (const cid of deps.blocks.list({ signal })) {
    signal?.throwIfAborted()
    if (isKept(deps, cid)) keptCount++
    else garbage.push(cid)
    if (garbage.length === REMOVALS_IN_FLIGHT) await removeGarbage()
    if (++blockCount % BLOCKS_PER_PROGRESS === 0) report()
  }
  await removeGarbage()
  report()
  return { keptCount, removedCount, removedByteLength }
}

function isKept ({ kept, leases }: SweepDeps, cid: CID): boolean {
  return kept.has(cid) || leases.isProtected(cid)
}

/** Returns the length of the block that was removed, or `undefined` when it stayed: a lease may have come for it. */
async function removeBlock (deps: SweepDeps, cid: CID, dryRun: boolean): Promise<number | undefined> {
  const { blocks, collection } = deps
  const byteLength = await byteLengthOf(blocks, cid)
  if (dryRun) return byteLength
  // A lease that comes from here on waits until the block is gone before it looks for it.
  using removal = new DisposableStack()
  const removed = await blocks.delete(cid, {
    when: () => {
      if (isKept(deps, cid)) return false
      removal.use(collection.beginRemoval(cid))
      return true
    }
  })
  return removed ? byteLength : undefined
}

async function byteLengthOf (blocks: Blockstore, cid: CID): Promise<number> {
  try {
    return (await blocks.get(cid))?.bytes.byteLength ?? 0
  } catch (err) {
    // Garbage that rotted is garbage still.
    if (!isErrorCode(err, 'CORRUPT')) throw err
    const { byteLength } = err.details
    return typeof byteLength === 'number' ? byteLength : 0
  }
}
