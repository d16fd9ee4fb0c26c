export { type BlockReader, type Blockstore, type BlockstoreUsage, type BlockWriter, type DeleteOptions } from './blockstore.ts'
export { MemoryBlockstore } from './memory-blockstore.ts'
