import type { Blockstore } from '@holdfast/blockstore'
import { openFsBlockstore } from '@holdfast/blockstore/fs'
import { openPackBlockstore } from '@holdfast/blockstore/pack'

/** Opens the store in a folder with one of the engines; on a disk that is small. */
export async function openStore (engine: 'pack' | 'fs', folder: string, durability: 'disk' | 'os' = 'disk'): Promise<Blockstore> {
  return engine === 'fs' ? await openFsBlockstore(folder, { durability }) : await openPackBlockstore(folder, { durability, reserveBytes: 0 })
}
