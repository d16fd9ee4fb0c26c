import { Block } from '@holdfast/core'

/** Blocks in the store: some dozen pages of its index. */
export const STORED_BLOCKS = 1200

/** Numbers behind those, of blocks that the store does not have. */
export const ABSENT_BLOCKS = 100

/** The block of a number, the same in every process. */
export async function numberedBlock (number: number): Promise<Block> {
  return await Block.of(Buffer.from(`block ${number} `.repeat(10)))
}
