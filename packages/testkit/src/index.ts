export { type BlockstoreCounts, countingBlockstore } from './counting-blockstore.ts'
export { type FaultOptions, faultyBlockstore } from './faulty-blockstore.ts'
export { fixturePath } from './fixtures.ts'
