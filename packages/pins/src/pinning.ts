import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, type Block, CODECS } from '@holdfast/core'
import { requireBlock, walkDag, type WalkOptions } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import type { CacheKeeper } from './cache/fetch-cache.ts'
import { type LeaseBook, leasedReader } from './leases.ts'
import type { Pin } from './pin-record.ts'
import { type PinRequest, type PinSet, requirePinnable } from './pin-set.ts'
import type { References } from './references/references.ts'

/** How far a pin has come, in blocks that were checked. */
export interface PinProgress {
  readonly blockCount: number
  readonly byteLength: number
}

export interface PinOptions extends AbortOptions {
  /**
   * Asked of raw blocks, which have no links: one that the caller has just put and proven, and protects, is not read again. @default all are read
   */
  isProven?: ((cid: CID) => boolean) | undefined
  onProgress?: (progress: PinProgress) => void
}

/** What a pin is made with. */
export interface PinDeps {
  readonly blocks: BlockReader
  readonly pins: PinSet
  readonly leases: LeaseBook
  readonly cache?: CacheKeeper | undefined
  /** Given: what other pins keep already is not read again. */
  readonly references?: References | undefined
}

/**
 * Pins a DAG that is whole: reads and verifies every block below the CID (or the one block, for a direct pin)
 * before the pin is made. `blocks` may fetch what is not here, as long as it stores what it fetches.
 *
 * With `references`, subtrees that are kept already are passed over, and held by a lease instead; a CID that is pinned in the
 * same way already is read as a whole all the same.
 *
 * Blocks of a `cache` that the pin needs are taken out of it.
 *
 * What was checked stays, also when a collection runs: a lease protects it until the pin is durable.
 *
 * @throws `NOT_FOUND` naming the block when one is absent, `CORRUPT` when one is damaged; what `PinSet.add` throws. No pin is made then.
 */
export async function pinDag (
  { blocks, pins, leases, cache, references }: PinDeps,
  request: PinRequest,
  { signal, isProven, onProgress }: PinOptions = {}
): Promise<Pin> {
  requirePinnable(request)
  using lease = leases.open(`pin ${request.cid}`)
  let blockCount = 0
  let byteLength = 0
  // Pinned once more, it may be because something of it was lost.
  const isAgain = pins.list({ cid: request.cid, kind: request.kind })[Symbol.iterator]().next().done !== true
  const isHeld = references === undefined || isAgain ? () => false : (cid: CID) => references.holdKept(cid, lease)
  const skip = (cid: CID): boolean => (cid.code === CODECS.raw && isProven?.(cid) === true) || isHeld(cid)
  for await (const block of blocksOf(leasedReader(blocks, lease), request, { signal, skip })) {
    cache?.keep(block.cid)
    blockCount++
    byteLength += block.bytes.byteLength
    onProgress?.({ blockCount, byteLength })
  }
  signal?.throwIfAborted()
  await cache?.kept()
  return await pins.add(request)
}

async function * blocksOf (blocks: BlockReader, { cid, kind }: PinRequest, { signal, skip }: Pick<WalkOptions, 'signal' | 'skip'>): AsyncGenerator<Block> {
  if (kind === 'recursive' && skip?.(cid) === true) return
  // A raw block has no links. What a walk needs would cost more than the one block.
  if (kind === 'direct' || cid.code === CODECS.raw) yield await requireBlock(blocks, cid, { signal })
  else yield * walkDag(blocks, [cid], { signal, skip, maxDepth: Infinity })
}
