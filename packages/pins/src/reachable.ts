import type { BlockReader } from '@holdfast/blockstore'
import { type AbortOptions, CODECS, HoldfastError, isHoldfastError, multihashKey } from '@holdfast/core'
import { DigestSet, requireBlock, walkDag } from '@holdfast/dag'
import type { CID } from 'multiformats/cid'
import type { Pin } from './pin-record.ts'

/**
 * Blocks that were reached from pins: 16 to 32 bytes for a raw block, about 120 for a DAG node.
 *
 * Whether a DAG node was entered is known exactly, since one that is wrongly passed over would leave all below it to be
 * deleted. That a block was reached may be wrong once in 2^64, and then a block too many is kept.
 */
export class ReachableSet {
  readonly #reached = new DigestSet()
  /** By codec and multihash: the codec decides which links bytes have. */
  readonly #entered = new Set<string>()

  /** Reports whether the block was reached, under any codec. */
  has (cid: CID): boolean {
    return this.#reached.has(cid)
  }

  /** Reports whether the block and what is below it need no visit any more. */
  isVisited (cid: CID): boolean {
    return isLeaf(cid) ? this.has(cid) : this.#entered.has(keyOf(cid))
  }

  /** Marks the block alone as reached; reports whether it was not before. */
  reach (cid: CID): boolean {
    return this.#reached.add(cid)
  }

  /** Marks the block as reached and entered; reports whether it was not reached before. */
  visit (cid: CID): boolean {
    if (!isLeaf(cid)) this.#entered.add(keyOf(cid))
    return this.#reached.add(cid)
  }
}

function keyOf (cid: CID): string {
  return `${cid.code} ${multihashKey(cid)}`
}

/** Raw blocks have no links, whatever their bytes. Of no other codec is that certain for ever. */
function isLeaf (cid: CID): boolean {
  return cid.code === CODECS.raw
}

export interface ReachOptions extends AbortOptions {
  /** Called for each raw block below a recursive pin, which is then not read. */
  readonly passLeaf?: ((cid: CID) => Promise<void>) | undefined
}

/**
 * Yields what the pin keeps and `seen` does not hold yet, adding it there.
 *
 * @throws what reading throws, with the code it has, naming pin and block.
 */
export async function * reachableFrom (blocks: BlockReader, pin: Pin, seen: ReachableSet, options: ReachOptions): AsyncGenerator<CID> {
  try {
    yield * pin.kind === 'direct' ? readDirect(blocks, pin, seen, options) : walkBelow(blocks, pin.cid, seen, options)
  } catch (cause) {
    options.signal?.throwIfAborted()
    if (!isHoldfastError(cause)) throw cause
    throw new HoldfastError(cause.code, `Pin ${pin.id} of ${pin.cid} is not whole: ${cause.message}`, { ...cause.details, cause, pin: pin.id, root: pin.cid.toString() })
  }
}

/** A direct pin keeps its block, and leaves those below to other pins to enter. */
async function * readDirect (blocks: BlockReader, { cid }: Pin, seen: ReachableSet, { signal }: ReachOptions): AsyncGenerator<CID> {
  await requireBlock(blocks, cid, { signal })
  if (seen.reach(cid)) yield cid
}

async function * walkBelow (blocks: BlockReader, root: CID, seen: ReachableSet, { signal, passLeaf }: ReachOptions): AsyncGenerator<CID> {
  const leaves: CID[] = []
  const skip = (cid: CID): boolean => {
    if (seen.isVisited(cid)) return true
    if (passLeaf === undefined || !isLeaf(cid)) return false
    if (seen.visit(cid)) leaves.push(cid)
    return true
  }
  const takeLeaves = async function * (): AsyncGenerator<CID> {
    for (const cid of leaves.splice(0)) {
      await passLeaf?.(cid)
      yield cid
    }
  }
  // `seen` remembers across walks, and exactly, so the walk need not.
  for await (const { cid } of walkDag(blocks, [root], { signal, skip, dedupe: false, maxDepth: Infinity })) {
    yield * takeLeaves()
    if (seen.visit(cid)) yield cid
  }
  yield * takeLeaves()
}
