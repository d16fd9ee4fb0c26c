import type { PackBlockstore } from '@holdfast/blockstore/pack'
import { openPackBlockstore } from '@holdfast/blockstore/pack'
import { Block, CODECS } from '@holdfast/core'
import { LeaseBook, openJournal, openPinSet, openReferences, type PinSet, type References } from '@holdfast/pins'
import { encode } from '@ipld/dag-cbor'
import { join } from 'node:path'

/** DAGs in the repository, of which every third is pinned, and leaves below each, one of which others have too. */
const DAGS = 120
const LEAVES_PER_DAG = 4

/** Blocks of the DAG of a number, the root last: the same in every process. */
export async function numberedDag (number: number): Promise<Block[]> {
  const leaves = await Promise.all(Array.from({ length: LEAVES_PER_DAG }, async (_, leaf) => await Block.of(Buffer.from(`leaf ${(number * (LEAVES_PER_DAG - 1)) + leaf}`))))
  return [...leaves, await Block.of(encode({ number, leaves: leaves.map(({ cid }) => cid) }), { codec: CODECS.dagCbor })]
}

export function isPinned (number: number): boolean {
  return number % 3 === 0
}

/** The DAGs that are stored: pinned ones and garbage. */
export async function allDags (): Promise<Block[][]> {
  return await Promise.all(Array.from({ length: DAGS }, async (_, number) => await numberedDag(number)))
}

/** What stands on the files of a repository when collections are made. */
export interface Keeping extends AsyncDisposable {
  readonly blocks: PackBlockstore
  readonly pins: PinSet
  readonly leases: LeaseBook
  readonly references: References
}

/** Nothing waits for the disk: what is tried here is no crash. */
export async function openKeeping (folder: string): Promise<Keeping> {
  await using opening = new AsyncDisposableStack()
  const blocks = opening.use(await openPackBlockstore(folder, { reserveBytes: 0, compaction: false, durability: 'os' }))
  const pins = opening.use(await openPinSet(opening.use(await openJournal(join(folder, 'journal')))))
  const leases = new LeaseBook()
  const references = opening.use(await openReferences({ blocks, pins, leases }, { path: join(folder, 'state.mdb') }))
  const parts = opening.move()
  return { blocks, pins, leases, references, [Symbol.asyncDispose]: async () => { await parts.disposeAsync() } }
}
