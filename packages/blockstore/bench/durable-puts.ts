/**
 * How fast blocks become durable in the fs engine, against a bare loop of the same system calls.
 *
 * Run with `UV_THREADPOOL_SIZE=16 node packages/blockstore/bench/durable-puts.ts [folder]`. The lanes take
 * turns and the best of the rounds counts, because other work on the machine disturbs every figure. Every
 * folder is made with its 1,024 shards, as in a store that has been used for a while, and all are removed at the
 * end only: on a file system mounted with `discard` a removal slows down the syncs of the next lane.
 */
import { Block } from '@holdfast/core'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, open, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { argv, stdout } from 'node:process'
import { openFsBlockstore } from '../src/fs/index.ts'
import { LAYOUTS } from '../src/fs/layout.ts'

const ROUND_COUNT = 5
const IN_FLIGHT = 16

const BLOCK_COUNTS: ReadonlyArray<readonly [byteLength: number, count: number]> = [[4096, 2048], [256 * 1024, 512], [1024 * 1024, 128]]

/** Prepares a lane in a folder; what it returns is what gets timed. */
type Lane = (folder: string) => Promise<(blocks: readonly Block[]) => Promise<void>>

const LANES: Readonly<Record<string, Lane>> = {
  'bare calls, 16 in flight': bare,
  'put, 16 in flight': async (folder) => {
    const store = await openFsBlockstore(folder)
    return async (blocks) => { await inFlight(blocks, (block) => store.put(block)) }
  },
  'putMany of 16 MiB': async (folder) => {
    const store = await openFsBlockstore(folder)
    return async (blocks) => {
      const batchLength = Math.min(256, 16 * 2 ** 20 / (blocks[0]?.bytes.byteLength ?? 1))
      for (let at = 0; at < blocks.length; at += batchLength) await store.putMany(blocks.slice(at, at + batchLength))
    }
  },
  'put, 16 in flight, durability os': async (folder) => {
    const store = await openFsBlockstore(folder, { durability: 'os' })
    return async (blocks) => { await inFlight(blocks, (block) => store.put(block)) }
  }
}

const folders: string[] = []

for (const [byteLength, count] of BLOCK_COUNTS) {
  const blocks = await Promise.all(Array.from({ length: count }, () => Block.of(randomBytes(byteLength))))
  const seconds = new Map(Object.keys(LANES).map((name) => [name, [] as number[]]))
  for (let round = 0; round < ROUND_COUNT; round++) {
    for (const [name, lane] of rotated(Object.entries(LANES), round)) seconds.get(name)?.push(await timed(lane, blocks))
  }
  const bareSeconds = best(seconds.get('bare calls, 16 in flight') ?? [])
  for (const [name, all] of seconds) {
    const rate = count / best(all)
    stdout.write(`${byteLength / 1024} KiB  ${name.padEnd(34)} ${rate.toFixed(0).padStart(6)}/s ${(rate * byteLength / 2 ** 20).toFixed(0).padStart(6)} MiB/s  ${(bareSeconds / best(all)).toFixed(2)} of bare\n`)
  }
}

await Promise.all(folders.map((folder) => rm(folder, { recursive: true })))

async function timed (lane: Lane, blocks: readonly Block[]): Promise<number> {
  const run = await lane(await newFolder())
  execFileSync('sync') // Nobody pays for the pages that the lane before left dirty.
  const startMs = performance.now()
  await run(blocks)
  const seconds = (performance.now() - startMs) / 1000
  return seconds
}

async function newFolder (): Promise<string> {
  const folder = await mkdtemp(join(argv[2] ?? tmpdir(), 'holdfast-bench-'))
  folders.push(folder)
  const alphabet = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567']
  for (const first of alphabet) await Promise.all(alphabet.map((second) => mkdir(join(folder, first + second))))
  await using handle = await open(folder, 'r')
  await handle.sync()
  return folder
}

/** Temporary file, sync, rename, sync of the folder: the least that a durable file costs. */
async function bare (folder: string): Promise<(blocks: readonly Block[]) => Promise<void>> {
  await mkdir(join(folder, '.temp'))
  return async (blocks) => {
    let count = 0
    await inFlight(blocks, async ({ cid, bytes }) => {
      const { shard, file } = LAYOUTS.flatfs.placeOf(cid)
      const temp = join(folder, '.temp', `${count++}`)
      {
        await using handle = await open(temp, 'wx')
        await handle.write(bytes)
        await handle.sync()
      }
      await rename(temp, join(folder, shard, file))
      await using handle = await open(join(folder, shard), 'r')
      await handle.sync()
    })
  }
}

async function inFlight (blocks: readonly Block[], task: (block: Block) => Promise<void>): Promise<void> {
  const remaining = blocks.values()
  await Promise.all(Array.from({ length: IN_FLIGHT }, async () => {
    for (const block of remaining) await task(block)
  }))
}

/** So that no lane always comes after the same one, whose dirty pages it would pay for. */
function rotated<T> (items: readonly T[], by: number): T[] {
  return [...items.slice(by % items.length), ...items.slice(0, by % items.length)]
}

/** The round that other work on the machine disturbed least. */
function best (values: readonly number[]): number {
  return Math.min(...values)
}
