import { MemoryIndex } from '../src/pack/memory-index.ts'
import type { IndexBatch, IndexOpener, PackIndex } from '../src/pack/pack-index.ts'

/** An index as LMDB is: commits are whole or absent, the entries of one may be there without its end, all of it may be lost. */
export class ModelledIndex implements IndexOpener {
  /** What a crash may leave, from nothing to the latest. */
  readonly history: MemoryIndex[] = [new MemoryIndex()]

  async open (): Promise<PackIndex> {
    const live = this.#latest.clone()
    const commit = live.commit.bind(live)
    live.commit = async (batch: IndexBatch, storeId: Uint8Array) => {
      const changes = [...batch.changes]
      const half = live.clone()
      await half.commit({ changes: changes.slice(0, changes.length / 2), packs: [], removedPacks: [] }, storeId)
      half.markUnfinished()
      this.history.push(half)
      await Promise.resolve()
      await commit({ ...batch, changes }, storeId)
      this.history.push(live.clone())
    }
    const forget = live.forget.bind(live)
    live.forget = async (numbers) => {
      await forget(numbers)
      this.history.push(live.clone())
    }
    return live
  }

  async remove (): Promise<void> {
    this.history.push(new MemoryIndex())
  }

  /** The index after a crash that took the last `lost` commits. */
  after (lost: number): ModelledIndex {
    const index = new ModelledIndex()
    index.history.push(this.history.at(-1 - lost) ?? new MemoryIndex())
    return index
  }

  get #latest (): MemoryIndex {
    return this.history.at(-1) ?? new MemoryIndex()
  }
}
