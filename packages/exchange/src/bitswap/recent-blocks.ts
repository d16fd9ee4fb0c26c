import { type Block, multihashKey } from '@holdfast/core'
import type { CID } from 'multiformats/cid'

/** Bytes of blocks that were fetched ahead and wait for their reader; older ones are read from the store again. */
export const MAX_RECENT_BYTES: number = 64 * 1024 * 1024

/** Blocks that were fetched ahead, so that their reader need not read and hash them once more. The oldest go first. */
export class RecentBlocks {
  readonly #blocks = new Map<string, Block>()
  readonly #maxBytes: number
  #byteLength = 0

  constructor (maxBytes: number = MAX_RECENT_BYTES) {
    this.#maxBytes = maxBytes
  }

  add (block: Block): void {
    this.take(block.cid)
    this.#blocks.set(multihashKey(block.cid), block)
    this.#byteLength += block.bytes.byteLength
    for (const oldest of this.#blocks.values()) {
      if (this.#byteLength <= this.#maxBytes) break
      this.take(oldest.cid)
    }
  }

  /** Hands a block out, once. */
  take (cid: CID): Block | undefined {
    const key = multihashKey(cid)
    const block = this.#blocks.get(key)
    if (block === undefined) return undefined
    this.#blocks.delete(key)
    this.#byteLength -= block.bytes.byteLength
    return block
  }
}
