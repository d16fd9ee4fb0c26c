import type { Blockstore } from '@holdfast/blockstore'
import type { CID } from 'multiformats/cid'
import type { LeaseBook } from '../leases.ts'
import { settled } from '../settled.ts'
import type { CacheBook } from './cache-book.ts'
import { cidOfKey } from './log-format.ts'

/** Blocks removed at the same time: unlinking waits for the disk. */
const REMOVALS_IN_FLIGHT = 32

export interface EvictDeps {
  readonly blocks: Blockstore
  readonly leases: LeaseBook
  readonly book: CacheBook
  /** Reports whether a pin keeps the block: one that was fetched anew because it was damaged is no cache. */
  readonly isKept?: ((cid: CID) => boolean) | undefined
  /** Told of blocks that could not be removed, and are no cache any more. */
  readonly note?: ((cid: CID) => void) | undefined
}

/** How much was evicted. */
export interface Evicted {
  readonly blockCount: number
  readonly byteLength: number
}

/**
 * Removes cached blocks, the one that was used longest ago first, until `isEnough` says so or no more can go.
 * Blocks under a lease are passed over.
 *
 * The decision about a block and its removal from the book are one step, taken while no put of the block can run: a put
 * or a pin that comes before it keeps the block, one that comes after it finds the block gone.
 *
 * @throws what `Blockstore.delete` throws; the blocks that could not be removed are no cache any more.
 */
export async function evictOldest (deps: EvictDeps, isEnough: (evicted: Evicted) => boolean): Promise<Evicted> {
  let evicted: Evicted = { blockCount: 0, byteLength: 0 }
  let expected = evicted
  // Blocks that are used meanwhile come up again at the end: each is looked at once.
  let toLookAt = deps.book.blockCount
  let batch: Array<Promise<Evicted>> = []
  for (const [key, byteLength] of deps.book.entries()) {
    if (toLookAt-- === 0 || isEnough(evicted)) break
    const cid = cidOfKey(key)
    if (deps.leases.isProtected(cid)) continue
    batch.push(evict(deps, { key, cid, byteLength }))
    expected = sumOf([expected, { blockCount: 1, byteLength }])
    if (batch.length < REMOVALS_IN_FLIGHT && !isEnough(expected)) continue
    evicted = sumOf([evicted, ...await settled(batch)])
    expected = evicted
    batch = []
  }
  return sumOf([evicted, ...await settled(batch)])
}

interface Candidate {
  readonly key: string
  readonly cid: CID
  readonly byteLength: number
}

async function evict (deps: EvictDeps, candidate: Candidate): Promise<Evicted> {
  try {
    return await tryToEvict(deps, candidate)
  } catch (err) {
    deps.note?.(candidate.cid)
    throw err
  }
}

async function tryToEvict ({ blocks, leases, book, isKept }: EvictDeps, { key, cid, byteLength }: Candidate): Promise<Evicted> {
  // A lease that comes from here on waits until the block is gone before it looks for it.
  using removal = new DisposableStack()
  const removed = await blocks.delete(cid, {
    when: () => {
      if (!book.has(key) || leases.isProtected(cid)) return false
      book.forget(key)
      if (isKept?.(cid) === true) return false
      removal.use(leases.beginRemoval(cid))
      return true
    }
  })
  return removed ? { blockCount: 1, byteLength } : { blockCount: 0, byteLength: 0 }
}

function sumOf (parts: readonly Evicted[]): Evicted {
  return {
    blockCount: parts.reduce((sum, { blockCount }) => sum + blockCount, 0),
    byteLength: parts.reduce((sum, { byteLength }) => sum + byteLength, 0)
  }
}
