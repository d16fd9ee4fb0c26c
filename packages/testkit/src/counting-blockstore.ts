import { blocksOf } from './faulty-blockstore.ts'
import { intercept } from './intercept.ts'

/** How often a wrapped store was asked. */
export interface BlockstoreCounts {
  get: number
  has: number
  /** Blocks put, those of `putMany` included. */
  put: number
  /** Calls of `putMany`, whatever the number of blocks. */
  putMany: number
  delete: number
  /** Gets that run at this moment. */
  getsInFlight: number
  /** Most gets that ever ran at once: what a bound on read-ahead must hold. */
  maxGetsInFlight: number
}

/** Wraps a blockstore, or any slice of one, and counts its calls in `counts`. */
export function countingBlockstore<Store extends object> (store: Store): { store: Store, counts: BlockstoreCounts } {
  const counts: BlockstoreCounts = { get: 0, has: 0, put: 0, putMany: 0, delete: 0, getsInFlight: 0, maxGetsInFlight: 0 }

  const counting = intercept(store, ['get', 'has', 'put', 'putMany', 'delete'], async (method, args, proceed) => {
    if (method === 'has' || method === 'put' || method === 'delete') counts[method]++
    if (method === 'putMany') {
      counts.putMany++
      counts.put += blocksOf(args).length
    }
    return method === 'get' ? await countGet(counts, () => proceed(args)) : await proceed(args)
  })
  return { store: counting, counts }
}

async function countGet (counts: BlockstoreCounts, get: () => unknown): Promise<unknown> {
  counts.get++
  counts.getsInFlight++
  counts.maxGetsInFlight = Math.max(counts.maxGetsInFlight, counts.getsInFlight)
  try {
    return await get()
  } finally {
    counts.getsInFlight--
  }
}
