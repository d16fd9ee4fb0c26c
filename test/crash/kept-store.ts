import { collectGarbage, type FetchCache, LeaseBook, openFetchCache, openJournal, openPinSet, openReferences, type PinSet, type References, roomyJournal } from '@holdfast/pins'
import { type CrashDisk, crashFilesOf } from '@holdfast/testkit'
import { rm } from 'node:fs/promises'
import { openPackBlockstoreOn, type PackBlockstoreOptions } from '../../packages/blockstore/src/pack/open-pack-blockstore.ts'
import type { PackBlockstore } from '../../packages/blockstore/src/pack/pack-blockstore.ts'
import type { ModelledIndex } from '../../packages/blockstore/test/modelled-index.ts'

const FOLDER = '/store'

/** Short packs, logs and books, so that the script often crosses from one to the next. */
const PACKS: PackBlockstoreOptions = { packBytes: 3000, reserveBytes: 0, compaction: false }
const MAX_LOG_BYTES = 2000
const MIN_DEAD_RECORDS = 4
const MAX_CACHE_BYTES = 2500

/** What all of it stands on. */
export interface Ground {
  readonly disk: CrashDisk
  readonly index: ModelledIndex
  /** The file of the index of references, on a real disk: LMDB cannot be put on another. */
  readonly state: string
  /** @default 'disk' */
  readonly durability?: 'disk' | 'os' | undefined
}

/** Packs, cache, pins and references, composed as a node composes them. */
export interface KeptStore extends AsyncDisposable {
  readonly packs: PackBlockstore
  readonly cache: FetchCache
  readonly pins: PinSet
  readonly leases: LeaseBook
  readonly references: References
  /** @param full Whether to look at every block. */
  collect(full?: boolean): Promise<void>
}

/** Opens all that a node opens to keep blocks. @param onFatal Called when the disk failed. */
export async function openKeptStore ({ disk, index, state, durability }: Ground, onFatal: () => void = () => {}): Promise<KeptStore> {
  await using opening = new AsyncDisposableStack()
  const packs = opening.use(await openPackBlockstoreOn({ operations: disk, opener: index }, FOLDER, { ...PACKS, ...durability !== undefined && { durability }, onFatal }))
  if (packs.isIndexNew) await removeState(state)
  const fs = crashFilesOf(disk)
  const leases = new LeaseBook()
  const cache = opening.use(await openFetchCache({ blocks: packs, leases }, { path: `${FOLDER}/cache.log`, maxBytes: MAX_CACHE_BYTES, fs }))
  const journal = opening.use(await openJournal(`${FOLDER}/journal`, { fs, onFatal, maxLogBytes: MAX_LOG_BYTES }))
  const pins = opening.use(await openPinSet(roomyJournal(journal, cache), { minDeadRecords: MIN_DEAD_RECORDS, now: () => 0 }))
  const references = opening.use(await openReferences({ blocks: cache.blocks, pins, leases }, { path: state, onFatal }))
  cache.watch(references)
  const parts = opening.move()
  return {
    packs, cache, pins, leases, references,
    collect: async (full = false) => { await collectGarbage({ blocks: cache.blocks, references, leases, cache }, { full }) },
    [Symbol.asyncDispose]: async () => { await parts.disposeAsync() }
  }
}

/** Opens only what tells what is pinned and stored. */
export async function openPinsAndPacks ({ disk, index }: Pick<Ground, 'disk' | 'index'>): Promise<Pick<KeptStore, 'packs' | 'pins'> & AsyncDisposable> {
  await using opening = new AsyncDisposableStack()
  const packs = opening.use(await openPackBlockstoreOn({ operations: disk, opener: index }, FOLDER, PACKS))
  const pins = opening.use(await openPinSet(opening.use(await openJournal(`${FOLDER}/journal`, { fs: crashFilesOf(disk) }))))
  const parts = opening.move()
  return { packs, pins, [Symbol.asyncDispose]: async () => { await parts.disposeAsync() } }
}

/** The index of references as a crash leaves it: it was not closed. */
export async function removeState (state: string): Promise<void> {
  for (const suffix of ['', '-lock', '.seal']) await rm(`${state}${suffix}`, { force: true })
}
