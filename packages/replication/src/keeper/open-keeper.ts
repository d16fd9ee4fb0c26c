import { HoldfastError } from '@holdfast/core'
import type { Keeper, KeeperDeps, KeeperOptions } from './keeper.ts'

/** Begins to keep what falls to this node. What it is given stays the caller's. */
export function openKeeper (_deps: KeeperDeps, _options: KeeperOptions): Keeper {
  throw new HoldfastError('UNSUPPORTED', 'This build keeps no copies for a cluster yet')
}
