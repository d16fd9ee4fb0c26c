import { type AbortOptions, isErrorCode } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import type { Blockstore, DeleteManyOptions } from './blockstore.ts'

/** Blocks removed at the same time from an engine that takes one a call: unlinking waits for the disk. */
const REMOVALS_IN_FLIGHT = 64

/** Removes blocks as `Blockstore.deleteMany` does, also from an engine that has no such method; how durable that is, its `delete` says. */
export async function deleteBlocks (store: Blockstore, cids: readonly CID[], options: DeleteManyOptions = {}): Promise<Array<number | undefined>> {
  if (store.deleteMany !== undefined) return await store.deleteMany(cids, options)
  options.signal?.throwIfAborted()
  const byteLengths: Array<number | undefined> = []
  for (let at = 0; at < cids.length; at += REMOVALS_IN_FLIGHT) {
    const outcomes = await Promise.allSettled(cids.slice(at, at + REMOVALS_IN_FLIGHT).map((cid, index) => deleteOne(store, cid, at + index, options)))
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') throw outcome.reason
      byteLengths.push(outcome.value)
    }
  }
  return byteLengths
}

async function deleteOne (store: Blockstore, cid: CID, index: number, { signal, when }: DeleteManyOptions): Promise<number | undefined> {
  const byteLength = await byteLengthOf(store, cid, { signal })
  return await store.delete(cid, { signal, when: () => when?.(cid, index) !== false }) ? byteLength ?? 0 : undefined
}

/** Returns how many bytes the block has, from any engine: also of one whose bytes rotted; `undefined` when it is absent. */
export async function byteLengthOf (store: Blockstore, cid: CID, options: AbortOptions = {}): Promise<number | undefined> {
  try {
    return await store.byteLengthOf?.(cid, options) ?? (await store.get(cid, options))?.bytes.byteLength
  } catch (err) {
    if (!isErrorCode(err, 'CORRUPT')) throw err
    const { byteLength } = err.details
    return typeof byteLength === 'number' ? byteLength : 0
  }
}
