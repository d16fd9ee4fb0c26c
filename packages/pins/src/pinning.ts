import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, type Block } from '@holdfast/core'
import { requireBlock, walkDag } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import type { CacheKeeper } from './cache/fetch-cache.ts'
import { type LeaseBook, leasedReader } from './leases.ts'
import type { Pin } from './pin-record.ts'
import { type PinRequest, type PinSet, requirePinnable } from './pin-set.ts'
import { reachableFrom, ReachableSet } from './reachable.ts'

/** How far a pin has come, in blocks that were checked. */
export interface PinProgress {
  readonly blockCount: number
  readonly byteLength: number
}

export interface PinOptions extends AbortOptions {
  onProgress?: (progress: PinProgress) => void
}

/**
 * Pins a DAG that is whole: reads and verifies every block below the CID (or the one block, for a direct pin)
 * before the pin is made. `blocks` may fetch what is not here, as long as it stores what it fetches.
 *
 * Blocks of a `cache` that the pin needs are taken out of it.
 *
 * What was checked stays, also when a collection runs: a lease protects it until the pin is durable.
 *
 * @throws `NOT_FOUND` naming the block when one is absent, `CORRUPT` when one is damaged; what `PinSet.add` throws. No pin is made then.
 */
export async function pinDag (
  { blocks, pins, leases, cache }: { blocks: BlockReader, pins: PinSet, leases: LeaseBook, cache?: CacheKeeper },
  request: PinRequest,
  { signal, onProgress }: PinOptions = {}
): Promise<Pin> {
  requirePinnable(request)
  using lease = leases.open(`pin ${request.cid}`)
  let blockCount = 0
  let byteLength = 0
  for await (const block of blocksOf(leasedReader(blocks, lease), request, signal)) {
    cache?.keep(block.cid)
    blockCount++
    byteLength += block.bytes.byteLength
    onProgress?.({ blockCount, byteLength })
  }
  signal?.throwIfAborted()
  await cache?.kept()
  return await pins.add(request)
}

async function * blocksOf (blocks: BlockReader, { cid, kind }: PinRequest, signal: AbortSignal | undefined): AsyncGenerator<Block> {
  if (kind === 'direct') yield await requireBlock(blocks, cid, { signal })
  else yield * walkDag(blocks, [cid], { signal, maxDepth: Infinity })
}

/** A block that is kept because it lies below a pin. */
export interface IndirectPin {
  readonly cid: CID
  /** The recursive pin that keeps it; the oldest, when there are several. */
  readonly root: CID
}

/**
 * Yields each block that is kept only for lying below a recursive pin, once; roots of pins are left out, as Kubo does.
 *
 * Reads DAG nodes and names raw blocks without reading them. Holds as much as a collection does.
 *
 * @throws `NOT_FOUND` or `CORRUPT`, naming pin and block, when a DAG node is absent or damaged.
 */
export async function * indirectPins ({ blocks, pins }: { blocks: BlockReader, pins: PinSet }, { signal }: AbortOptions = {}): AsyncIterable<IndirectPin> {
  const seen = new ReachableSet()
  for (const pin of pins.list({ kind: 'recursive' })) {
    signal?.throwIfAborted()
    for await (const cid of reachableFrom(blocks, pin, seen, { signal, passLeaf: async () => {} })) {
      if (pins.list({ cid })[Symbol.iterator]().next().done === true) yield { cid, root: pin.cid }
    }
  }
}
