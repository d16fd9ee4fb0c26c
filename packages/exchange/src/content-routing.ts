import type { AbortOptions } from '@holdfast/core'
import type { CID } from 'multiformats/cid'
import type { PeerId } from './host.ts'

/** A peer that said it holds content, and where it may be reached. */
export interface FoundProvider {
  readonly peer: PeerId
  readonly addresses: readonly string[]
}

/** Answers who holds a block. */
export interface ContentRouting {
  /** Yields providers as they are found. */
  findProviders(cid: CID, options?: AbortOptions): AsyncIterable<FoundProvider>
}
