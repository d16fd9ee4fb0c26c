import type { AbortOptions } from '@holdfast/core'
import type { FoundProvider } from '@holdfast/network'
import type { CID } from 'multiformats/cid'

/** Answers who holds a block. */
export interface ContentRouting {
  /** Yields providers as they are found. */
  findProviders(cid: CID, options?: AbortOptions): AsyncIterable<FoundProvider>
}
