import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench, Measurement } from '../bench.ts'
import { bytesFile, copyFile, hashFile, MIB, treeFolder } from '../inputs.ts'
import { compare, type Row, secondsOf } from '../measure.ts'
import { daemon, holdfast, subject } from '../processes.ts'

/** What adding costs, durable: the whole command beside a running node. */
export const ADD_ROWS: readonly Measurement[] = [
  { name: 'add 1 GiB', run: addFile },
  { name: 'add 10,000 files of 4 KiB', run: addTree }
]

async function addFile ({ folder, options: { rounds } }: Bench): Promise<Row[]> {
  const path = bytesFile(folder, '1g', 1024 * MIB)
  return [await compare('add 1 GiB', 'MiB/s', [
    { name: 'Holdfast', run: async () => 1024 / await addFresh(folder, ['-Q', path]) },
    { name: 'Helia, blockstore-fs (no fsync)', rounds: 3, run: async () => 1024 / await heliaFresh(folder, 'add', path) },
    { name: 'SHA-256 alone', run: async () => 1024 / await secondsOf(async () => { hashFile(path) }) },
    { name: 'write + fsync alone', run: async () => 1024 / await secondsOf(async () => { copyFile(path, folder) }) }
  ], rounds, 'durable, whole command beside a running node')]
}

async function addTree ({ folder, options: { rounds } }: Bench): Promise<Row[]> {
  const path = treeFolder(folder, 10_000)
  return [await compare('add 10,000 files of 4 KiB', 'files/s', [
    { name: 'Holdfast', run: async () => 10_000 / await addFresh(folder, ['-rQ', path]) },
    { name: 'Helia, blockstore-fs (no fsync)', rounds: 3, run: async () => 10_000 / await heliaFresh(folder, 'add-tree', path) }
  ], Math.min(rounds, 3), 'durable')]
}

/** Adds into a new repository and returns the seconds of the whole command. */
async function addFresh (folder: string, args: readonly string[]): Promise<number> {
  const repository = join(folder, 'fresh')
  rmSync(repository, { recursive: true, force: true })
  await using _node = await daemon(repository)
  return await secondsOf(async () => { await holdfast(['--path', repository, 'add', ...args]) })
}

async function heliaFresh (folder: string, work: string, path: string): Promise<number> {
  const repository = join(folder, 'fresh-helia')
  rmSync(repository, { recursive: true, force: true })
  return (await subject<{ seconds: number }>('helia', [work, path, repository])).seconds
}
