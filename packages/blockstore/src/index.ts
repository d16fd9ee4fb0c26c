export { type BlockReader, type Blockstore, type BlockstoreUsage, type BlockWriter, type DeleteManyOptions, type DeleteOptions } from './blockstore.ts'
export { type CacheOptions, cachedBlockstore, DEFAULT_CACHE_BYTES, DEFAULT_CACHED_BLOCK_BYTES } from './cached-blockstore.ts'
export { byteLengthOf, deleteBlocks } from './delete-blocks.ts'
export { MemoryBlockstore } from './memory-blockstore.ts'
