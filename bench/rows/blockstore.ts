import type { Measurement } from '../bench.ts'
import { getLarge, getSmall, hasBlock } from './get-blocks.ts'
import { deleteHalf, largeStore } from './large-stores.ts'
import { putLarge, putSmall } from './put-blocks.ts'

/** What the store of packs costs by itself, beside one file per block and what the disk and the system could do. */
export const BLOCKSTORE_ROWS: readonly Measurement[] = [
  { name: 'put blocks of 4 KiB', run: putSmall },
  { name: 'put blocks of 256 KiB', run: putLarge },
  { name: 'get blocks of 4 KiB', run: getSmall },
  { name: 'get blocks of 256 KiB', run: getLarge },
  { name: 'has block', run: hasBlock },
  { name: 'open store, and growth of the store', run: largeStore },
  { name: 'delete half and compact', run: deleteHalf }
]
