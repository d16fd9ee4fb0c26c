import { testBlockstore } from './conformance.ts'
import { MemoryBlockstore } from './memory-blockstore.ts'

testBlockstore('MemoryBlockstore', async () => new MemoryBlockstore())
