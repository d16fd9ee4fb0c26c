/**
 * A writer for power cuts: puts random blocks into the store of one folder until the disk fails, and prints
 * the CID of each, past any buffer, once it was acknowledged.
 *
 * Arguments: the folder, and the durability of the store.
 */
import { openFsBlockstore } from '@holdfast/blockstore/fs'
import { Block } from '@holdfast/core'
import { randomBytes, randomInt } from 'node:crypto'
import { writeSync } from 'node:fs'

/** Puts that run at the same time. */
const LANES = 4

const [folder = '', durability] = process.argv.slice(2)
if (durability !== 'disk' && durability !== 'os') throw new Error(`Durability ${durability} is neither disk nor os`)
const store = await openFsBlockstore(folder, { durability })

await Promise.all(Array.from({ length: LANES }, async () => {
  for (;;) {
    const block = await Block.of(randomBytes(randomInt(4096, 65_536)))
    await store.put(block)
    writeSync(1, `${block.cid}\n`)
  }
}))
