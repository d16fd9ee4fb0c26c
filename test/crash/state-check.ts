/**
 * Opens repositories whose index of references may be damaged, one after the other, asks and collects, and prints what is wrong, a
 * line each, and `done <folder>` behind each of them. It is a process of its own because LMDB may end it.
 *
 * Arguments: the folders.
 */
import { collectGarbage, keepersOf } from '@holdfast/pins'
import { allDags, isPinned, openKeeping } from './state-repository.ts'

const dags = await allDags()
for (const folder of process.argv.slice(2)) {
  await using keeping = await openKeeping(folder)
  const kept = new Set<string>()
  for (const [number, blocks] of dags.entries()) if (isPinned(number)) for (const { cid } of blocks) kept.add(cid.toString())
  await keeping.references.settle()
  for (const block of dags.flat()) {
    const isKept = kept.has(block.cid.toString())
    if (keeping.references.isKept(block.cid) !== isKept) console.log(`${block.cid} is ${isKept ? 'not kept' : 'kept'}`)
  }
  for (const [number, blocks] of dags.entries()) {
    if (number % 10 !== 0 || !isPinned(number)) continue
    const [leaf] = blocks
    const keepers = leaf === undefined ? [] : await Array.fromAsync(keepersOf(keeping, leaf.cid))
    if (!keepers.some(({ pin }) => pin.cid.equals(blocks.at(-1)?.cid))) console.log(`a leaf of DAG ${number} is not kept by its pin`)
  }
  await collectGarbage(keeping)
  const held = new Set((await Array.fromAsync(keeping.blocks.list())).map((cid) => cid.multihash.bytes.join()))
  const expected = new Set(dags.flat().filter(({ cid }) => kept.has(cid.toString())).map(({ cid }) => cid.multihash.bytes.join()))
  for (const key of expected) if (!held.has(key)) console.log('a block of a pin was collected')
  if (held.size > expected.size) console.log(`${held.size - expected.size} blocks are left that nothing keeps`)
  console.log(`done ${folder}`)
}
