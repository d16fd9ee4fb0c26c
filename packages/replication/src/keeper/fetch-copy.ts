import type { BlockReader } from '@holdfast/blockstore'
import { type Block, CODECS, decodeDagPb } from '@holdfast/core'
import type { CompanionOptions, Exchange } from '@holdfast/exchange'
import type { PeerId } from '@holdfast/network'
import { type CacheKeeper, type LeaseBook, pinDag, type PinSet } from '@holdfast/pins'
import type { CID } from 'multiformats/cid'
import type { PinMode } from '../record/record.ts'
import type { Throttle } from './throttle.ts'

export interface FetchCopyDeps {
  readonly exchange: Pick<Exchange, 'openSession'>
  readonly pins: PinSet
  readonly leases: LeaseBook
  readonly cache?: CacheKeeper | undefined
}

export interface FetchCopyOptions {
  readonly signal: AbortSignal
  readonly stallMs: number
  /** Slows down what comes from peers. */
  readonly throttle: Throttle | undefined
  /** Members that fetch the same at the same time: who has it sends each byte about once to all of them. */
  readonly companions?: CompanionOptions | undefined
  /** Members that say to have it. */
  readonly holders: readonly PeerId[]
  /** Told how many bytes there will be, where the root says so. Throws when they are too many. */
  readonly onByteLength: (byteLength: number) => void
  /** Told how many bytes were verified. Throws when they are too many. */
  readonly onProgress: (byteLength: number) => void
}

/**
 * Makes a copy here: fetches what is missing, verifies all of it, and pins it for the cluster. Durable when it resolves.
 *
 * What a former try fetched, or a user put here, is verified and not fetched again.
 *
 * @returns Bytes of all blocks.
 * @throws as `ExchangeSession.get` and `PinSet.add`, and what the callbacks throw.
 */
export async function fetchCopy ({ exchange, ...deps }: FetchCopyDeps, { cid, mode }: { readonly cid: CID, readonly mode: PinMode }, { signal, stallMs, throttle, companions, holders, onByteLength, onProgress }: FetchCopyOptions): Promise<number> {
  let fetchedBytes = 0
  // What is throttled is not fetched far ahead.
  const isWalk = mode === 'recursive' && throttle === undefined
  using session = exchange.openSession(cid, {
    signal,
    stallMs,
    walk: isWalk,
    holders,
    ...isWalk && companions !== undefined && { companions },
    onProgress: ({ byteLength }) => {
      throttle?.spend(byteLength - fetchedBytes)
      fetchedBytes = byteLength
    }
  })
  const blocks: BlockReader = {
    has: async (cid, options) => await session.has(cid, options),
    get: async (wanted, options) => {
      await throttle?.ready({ signal })
      const block = await session.get(wanted, options)
      if (block !== undefined && wanted.equals(cid)) onByteLength(claimedByteLength(block, mode))
      return block
    }
  }
  let verifiedBytes = 0
  await pinDag({ blocks, ...deps }, { cid, kind: mode, owner: 'cluster' }, {
    signal,
    onProgress: ({ byteLength }) => {
      verifiedBytes = byteLength
      onProgress(byteLength)
    }
  })
  return verifiedBytes
}

/** What a root says of the bytes of all blocks below it; at least its own. */
function claimedByteLength ({ cid, bytes }: Block, mode: PinMode): number {
  if (mode === 'direct' || cid.code !== CODECS.dagPb) return bytes.byteLength
  return decodeDagPb(bytes).links.reduce((sum, { tsize = 0 }) => sum + tsize, bytes.byteLength)
}
