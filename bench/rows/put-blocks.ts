import { openPackBlockstore } from '@holdfast/blockstore/pack'
import type { Block } from '@holdfast/core'
import { type FileHandle, open } from 'node:fs/promises'
import type { Bench } from '../bench.ts'
import { compare, type Row, secondsOf } from '../measure.ts'
import { inBatches, LARGE_BATCH, LARGE_BYTES, LARGE_COUNT, makeBlocks, openFs, OPTIONS, putMany, SMALL_BATCH, SMALL_BYTES, SMALL_COUNT, withFolder } from './store-work.ts'

export async function putSmall (bench: Bench): Promise<Row[]> {
  const batches = inBatches(await makeBlocks(SMALL_BYTES, 0, SMALL_COUNT), SMALL_BATCH)
  const rate = async (put: (path: string) => Promise<number>): Promise<number> => SMALL_COUNT / await withFolder(bench, put)
  return [await compare('put blocks of 4 KiB', 'blocks/s', [
    { name: 'Holdfast', run: () => rate((path) => secondsToPut(path, batches)) },
    {
      name: 'blockstore-fs putMany, no fsync',
      rounds: 3,
      run: () => rate(async (path) => {
        const store = await openFs(path)
        return await secondsOf(async () => { for (const batch of batches) for await (const _ of store.putMany(batch.map(({ cid, bytes }) => ({ cid, bytes: onePart(bytes) })))); })
      })
    },
    { name: 'append with the same fsyncs', run: () => rate((path) => secondsOf(() => rawAppend(path, batches))) }
  ], bench.options.rounds, `durable, batches of ${SMALL_BATCH}`)]
}

export async function putLarge (bench: Bench): Promise<Row[]> {
  const blocks = await makeBlocks(LARGE_BYTES, 0, LARGE_COUNT)
  const batches = inBatches(blocks, LARGE_BATCH)
  const rate = async (put: (path: string) => Promise<number>): Promise<number> => LARGE_COUNT * LARGE_BYTES / 2 ** 20 / await withFolder(bench, put)
  return [await compare('put blocks of 256 KiB', 'MiB/s', [
    { name: 'Holdfast', run: () => rate((path) => secondsToPut(path, batches)) },
    { name: 'append with the same fsyncs', run: () => rate((path) => secondsOf(() => rawAppend(path, batches))) },
    {
      name: 'blockstore-fs put, no fsync',
      run: () => rate(async (path) => {
        const store = await openFs(path)
        return await secondsOf(async () => { for (const { cid, bytes } of blocks) await store.put(cid, bytes) })
      })
    }
  ], bench.options.rounds, `durable, batches of ${LARGE_BATCH}`)]
}

async function secondsToPut (path: string, batches: readonly Block[][]): Promise<number> {
  await using store = await openPackBlockstore(path, OPTIONS)
  return await secondsOf(() => putMany(store, batches))
}

async function rawAppend (path: string, batches: readonly Block[][]): Promise<void> {
  const file = await open(path, 'wx')
  try {
    await append(file, batches)
  } finally {
    await file.close()
  }
}

/** Writes the same bytes behind each other, with a sync a batch. */
async function append (file: FileHandle, batches: readonly Block[][]): Promise<void> {
  for (const batch of batches) {
    await file.writev(batch.map(({ bytes }) => bytes))
    await file.datasync()
  }
}

/** As blockstore-fs takes bytes. */
function * onePart (bytes: Uint8Array): Generator<Uint8Array> {
  yield bytes
}
