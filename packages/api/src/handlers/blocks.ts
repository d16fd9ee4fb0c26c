import { HoldfastError } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import type { ApiNode } from '../api-node.ts'

/** What became of a block that was to be removed. */
export interface RemovedBlock {
  readonly cid: CID
  /** Why it stayed. */
  readonly error?: HoldfastError
}

/**
 * Removes single blocks that nothing keeps, and tells of each what became of it.
 *
 * Counts as a collection, so that no pin that is being made loses a block.
 *
 * @throws `UNAVAILABLE` while a collection runs; `NOT_FOUND` or `CORRUPT` when a pin that is not walked yet is not whole: nothing is removed then.
 */
export async function * removeBlocks (node: ApiNode, cids: readonly CID[], { signal }: { signal: AbortSignal }): AsyncIterable<RemovedBlock> {
  using collection = node.leases.beginCollection()
  await node.references.settle({ signal })
  for (const cid of cids) {
    signal.throwIfAborted()
    using removal = new DisposableStack()
    const why = (): string | undefined => {
      for (const { kind } of node.pins.list({ cid })) return `pinned: ${kind}`
      return node.references.isKept(cid) ? 'pinned: indirect' : node.leases.isProtected(cid) ? 'in use by work that is not finished' : undefined
    }
    const isRemoved = await node.blocks.delete(cid, {
      when: () => {
        if (why() !== undefined) return false
        removal.use(collection.beginRemoval(cid))
        return true
      }
    })
    if (isRemoved) yield { cid }
    else yield { cid, error: stayed(cid, why()) }
  }
}

function stayed (cid: CID, why: string | undefined): HoldfastError {
  return why === undefined
    ? new HoldfastError('NOT_FOUND', `Block ${cid} was not found`, { reason: 'no-block', cid: cid.toString() })
    : new HoldfastError('INVALID', why, { cid: cid.toString() })
}
