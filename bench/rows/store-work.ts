import type { Blockstore } from '@holdfast/blockstore'
import type { PackBlockstore, PackBlockstoreOptions } from '@holdfast/blockstore/pack'
import { Block } from '@holdfast/core'
import { FsBlockstore } from 'blockstore-fs'
import { createCipheriv, hash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bench } from '../bench.ts'
import { secondsOf } from '../measure.ts'

/** What the rows of the store of packs share: blocks, places, and ways to drive a store. */

export const SMALL_BYTES = 4096
export const LARGE_BYTES: number = 256 * 1024

/** Of blocks whose number counts, not their bytes. */
export const TINY_BYTES = 200

/** Blocks of a batch: 1 MiB of the small, 8 MiB of the large. */
export const SMALL_BATCH = 256
export const LARGE_BATCH = 32

/** Blocks of each length that are put and read: 80 and 256 MiB, which stay in the memory of the system. */
export const SMALL_COUNT = 20_480
export const LARGE_COUNT = 1024

/** Reads that run at once. */
export const READERS = 32

/** The reserve of the disk is not what is measured. */
export const OPTIONS: PackBlockstoreOptions = { reserveBytes: 0 }

let count = 0

export function freshPath ({ folder }: Bench): string {
  return join(folder, `blockstore-${count++}`)
}

export async function withFolder<T> (bench: Bench, use: (path: string) => Promise<T>): Promise<T> {
  const path = freshPath(bench)
  try {
    return await use(path)
  } finally {
    await rm(path, { recursive: true, force: true })
  }
}

/** Blocks that do not compress, numbered from `from`: the same on each run. */
export async function makeBlocks (byteLength: number, from: number, to: number): Promise<Block[]> {
  const blocks: Promise<Block>[] = []
  for (let number = from; number < to; number++) blocks.push(Block.of(bytesOf(byteLength, number)))
  return await Promise.all(blocks)
}

function bytesOf (byteLength: number, number: number): Uint8Array {
  const iv = Buffer.alloc(16)
  iv.writeUInt32LE(number, 8)
  return createCipheriv('chacha20', Buffer.alloc(32), iv).update(Buffer.alloc(byteLength))
}

export function inBatches<T> (all: readonly T[], length: number): T[][] {
  return Array.from({ length: Math.ceil(all.length / length) }, (_, index) => all.slice(index * length, (index + 1) * length))
}

/** In an order that no read-ahead foresees, the same on each run. */
export function shuffled<T> (all: readonly T[]): T[] {
  return all.map((value, index) => ({ value, at: hash('sha1', String(index)) })).sort((a, b) => a.at < b.at ? -1 : 1).map(({ value }) => value)
}

/** Calls `use` for each, some at once, and returns how many a second. */
export async function rateOf<T> (all: readonly T[], use: (one: T) => Promise<unknown>): Promise<number> {
  let next = 0
  const work = async (): Promise<void> => {
    for (let one = all[next++]; one !== undefined; one = all[next++]) await use(one)
  }
  const seconds = await secondsOf(() => Promise.all(Array.from({ length: READERS }, work)))
  return all.length / seconds
}

export async function openFs (path: string): Promise<FsBlockstore> {
  const store = new FsBlockstore(path)
  await store.open()
  return store
}

export async function putMany (store: Blockstore, batches: readonly Block[][]): Promise<void> {
  for (const batch of batches) await store.putMany(batch)
}

/** Fills a store with tiny blocks, without holding them all. */
export async function fill (store: PackBlockstore, blockCount: number): Promise<void> {
  const step = 4096
  for (let at = 0; at < blockCount; at += step) await store.putMany(await makeBlocks(TINY_BYTES, at, Math.min(at + step, blockCount)))
  await store.flush()
}
