/**
 * A writer for power cuts: puts random blocks into the store of one folder until the disk fails, and prints
 * the CID of each, past any buffer, once it was acknowledged.
 *
 * Arguments: the folder, the durability of the store, and its engine.
 */
import { Block } from '@holdfast/core'
import { randomBytes, randomInt } from 'node:crypto'
import { writeSync } from 'node:fs'
import { openStore } from './open-store.ts'

/** Puts that run at the same time. */
const LANES = 4

const [folder = '', durability, engine] = process.argv.slice(2)
if (durability !== 'disk' && durability !== 'os') throw new Error(`Durability ${durability} is neither disk nor os`)
if (engine !== 'pack' && engine !== 'fs') throw new Error(`Engine ${engine} is neither pack nor fs`)
const store = await openStore(engine, folder, durability)

await Promise.all(Array.from({ length: LANES }, async () => {
  for (;;) {
    const block = await Block.of(randomBytes(randomInt(4096, 65_536)))
    await store.put(block)
    writeSync(1, `${block.cid}\n`)
  }
}))
