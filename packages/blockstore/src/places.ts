export { type BlockPlace, type PlacedBlock, PLACED_BLOCKS_AHEAD, PlacedContent } from './placed-content.ts'
