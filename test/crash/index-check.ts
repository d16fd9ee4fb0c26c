/**
 * Opens a store whose index may be damaged, checks it, and prints what it then answers wrong, a line each, and `done`.
 *
 * Arguments: the folder; `rebuild` to have the index made anew first. What each block must be follows from its number.
 * It is a process of its own because LMDB may end it.
 */
import { openPackBlockstore, type PackBlockstore } from '@holdfast/blockstore/pack'
import { isErrorCode } from '@holdfast/core'
import { ABSENT_BLOCKS, numberedBlock, STORED_BLOCKS } from './numbered-blocks.ts'

const [folder = '', how] = process.argv.slice(2)
const open = async (rebuildIndex: boolean): Promise<PackBlockstore> => await openPackBlockstore(folder, { reserveBytes: 0, compaction: false, rebuildIndex })

let store = await open(how === 'rebuild')
// Before the check an answer may be that a block is not there, or damaged, and never other bytes.
for (let number = 0; number < STORED_BLOCKS; number += 10) {
  const block = await numberedBlock(number)
  const found = await store.get(block.cid).catch((err: unknown) => {
    if (isErrorCode(err, 'CORRUPT')) return undefined
    throw err
  })
  if (found !== undefined && Buffer.compare(found.bytes, block.bytes) !== 0) console.log(`block ${number} was given out with other bytes`)
}
if ((await store.verify()).isIndexBroken) {
  // What the check cannot put right in place, the next start does.
  await store[Symbol.asyncDispose]()
  store = await open(false)
  if (!store.isIndexNew) console.log('a broken index was taken again')
}
for (let number = 0; number < STORED_BLOCKS + ABSENT_BLOCKS; number++) {
  const block = await numberedBlock(number)
  const found = await store.get(block.cid)
  const isRight = number < STORED_BLOCKS ? found !== undefined && Buffer.compare(found.bytes, block.bytes) === 0 : found === undefined
  if (!isRight) console.log(`block ${number} is ${found === undefined ? 'absent' : 'there'}`)
}
const listed = (await Array.fromAsync(store.list())).map(String)
if (listed.length !== STORED_BLOCKS || new Set(listed).size !== STORED_BLOCKS) console.log(`${listed.length} blocks are listed`)
const { blockCount } = await store.usage()
if (blockCount !== STORED_BLOCKS) console.log(`${blockCount} blocks are counted`)
await store[Symbol.asyncDispose]()
console.log('done')
