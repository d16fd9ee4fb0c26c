import { openPackBlockstore, type PackBlockstore } from '@holdfast/blockstore/pack'
import { Block } from '@holdfast/core'
import type { FsBlockstore } from 'blockstore-fs'
import type { CID } from 'multiformats/cid'
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { read as readFile } from 'node:fs'
import { type FileHandle, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Bench } from '../bench.ts'
import { compare, type Row } from '../measure.ts'
import { freshPath, inBatches, LARGE_BYTES, LARGE_COUNT, makeBlocks, openFs, OPTIONS, putMany, rateOf, READERS, shuffled, SMALL_BATCH, SMALL_BYTES, SMALL_COUNT, TINY_BYTES } from './store-work.ts'

/** How often all are asked for: once takes some hundredths of a second. */
const HAS_PASSES = 10

export async function getSmall (bench: Bench): Promise<Row[]> {
  const blocks = await makeBlocks(SMALL_BYTES, 0, SMALL_COUNT)
  const cids = shuffled(blocks.map(({ cid }) => cid))
  await using stores = await filled(bench, blocks)
  await using file = await open(join(stores.path, 'packs', 'packs', '00000001.car'))
  return [await compare('get blocks of 4 KiB', 'blocks/s', [
    { name: 'Holdfast', run: () => rateOf(cids, async (cid) => { assert.ok(await stores.packs.get(cid)) }) },
    { name: 'blockstore-fs, not verified', rounds: 3, run: () => rateOf(cids, (cid) => getFromFs(stores.files, cid)) },
    { name: 'bare pread', run: () => rateOf(shuffled(cids.map((_, index) => index)), barePread(file, SMALL_BYTES)) }
  ], bench.options.rounds, `verified, warm, ${READERS} at once`)]
}

export async function getLarge (bench: Bench): Promise<Row[]> {
  const blocks = await makeBlocks(LARGE_BYTES, 0, LARGE_COUNT)
  const cids = shuffled(blocks.map(({ cid }) => cid))
  await using stores = await filled(bench, blocks)
  const rate = async (get: (cid: CID) => Promise<unknown>): Promise<number> => await rateOf(cids, get) * LARGE_BYTES / 2 ** 20
  const verifiedFs = { name: 'blockstore-fs, verified', run: () => rate(async (cid) => await Block.verify(cid, await getFromFs(stores.files, cid))) }
  const verified = await compare('get blocks of 256 KiB', 'MiB/s', [
    { name: 'Holdfast', run: () => rate(async (cid) => { assert.ok(await stores.packs.get(cid)) }) },
    verifiedFs,
    { name: 'SHA-256 alone', run: () => rate(async () => hash('sha256', blocks[0]?.bytes ?? '', 'buffer')) }
  ], bench.options.rounds, `verified, warm, ${READERS} at once`)
  await stores.packs[Symbol.asyncDispose]()
  await using trusting = await openPackBlockstore(join(stores.path, 'packs'), { ...OPTIONS, trustMedium: true })
  const trusted = await compare('get blocks of 256 KiB, medium trusted', 'MiB/s', [
    { name: 'Holdfast', run: () => rate(async (cid) => { assert.ok(await trusting.get(cid)) }) },
    verifiedFs
  ], bench.options.rounds, `warm, ${READERS} at once`)
  return [verified, trusted]
}

export async function hasBlock (bench: Bench): Promise<Row[]> {
  const blocks = await makeBlocks(TINY_BYTES, 0, 2 * SMALL_COUNT)
  const [there, absent] = inBatches(blocks, SMALL_COUNT)
  assert.ok(there !== undefined && absent !== undefined)
  await using stores = await filled(bench, there)
  const rowOfHas = async (name: string, asked: readonly Block[], expected: boolean): Promise<Row> => {
    const cids = shuffled(asked.map(({ cid }) => cid))
    const often = Array.from({ length: HAS_PASSES }, () => cids).flat()
    return await compare(name, 'answers/s', [
      { name: 'Holdfast', run: () => rateOf(often, async (cid) => { if (await stores.packs.has(cid) !== expected) assert.fail(`${cid}`) }) },
      { name: 'blockstore-fs', rounds: 3, run: () => rateOf(cids, async (cid) => { assert.equal(await stores.files.has(cid), expected) }) }
    ], bench.options.rounds, `of ${SMALL_COUNT} blocks`)
  }
  return [await rowOfHas('has block, hit', there, true), await rowOfHas('has block, miss', absent, false)]
}

/** The same blocks in both stores, and open. */
async function filled (bench: Bench, blocks: readonly Block[]): Promise<{ path: string, packs: PackBlockstore, files: FsBlockstore } & AsyncDisposable> {
  const path = freshPath(bench)
  const packs = await openPackBlockstore(join(path, 'packs'), OPTIONS)
  const files = await openFs(join(path, 'files'))
  await putMany(packs, inBatches(blocks, SMALL_BATCH))
  for (const { cid, bytes } of blocks) await files.put(cid, bytes)
  await packs.flush()
  return {
    path,
    packs,
    files,
    async [Symbol.asyncDispose] () {
      await packs[Symbol.asyncDispose]()
      await rm(path, { recursive: true, force: true })
    }
  }
}

async function getFromFs (files: FsBlockstore, cid: CID): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of files.get(cid)) parts.push(part)
  const [only] = parts
  return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts)
}

/** One read of the system each, at the places where as many blocks would lie. */
function barePread (file: FileHandle, byteLength: number): (index: number) => Promise<void> {
  return (index) => new Promise((resolve, reject) => {
    readFile(file.fd, Buffer.allocUnsafeSlow(byteLength), 0, byteLength, index * byteLength, (err) => { if (err === null) resolve(); else reject(err) })
  })
}
