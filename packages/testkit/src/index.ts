export { type BlockstoreCounts, countingBlockstore } from './counting-blockstore.ts'
export { type FaultOptions, faultyBlockstore } from './faulty-blockstore.ts'
export { fixturePath } from './fixtures.ts'
export { type FlagVector, flagVectors, type KeyStream, keyStream, type OptionVector, optionVectors, type VectorInput, vectorSource, type VectorSource } from './vectors.ts'
