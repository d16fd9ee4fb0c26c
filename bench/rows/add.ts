import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench, Measurement } from '../bench.ts'
import { archiveFolder, bytesFile, copyFile, hashFile, MIB, packagesFolder, secondsOfHashing, treeFolder } from '../inputs.ts'
import { compare, type Figure, type Row, rowOf, sampleOf, secondsOf, type Subject } from '../measure.ts'
import { cpuSecondsOf, type DaemonReady, daemon, holdfast, memoryMibOf, type Running, subject } from '../processes.ts'

/** What adding costs, durable: the whole command beside a running node. */
export const ADD_ROWS: readonly Measurement[] = [
  { name: 'add 1 GiB', run: ({ folder, options: { rounds } }) => addFile('add 1 GiB', folder, rounds) },
  { name: 'add 1 GiB, store in memory', run: ({ memoryFolder, options: { rounds } }) => addFile('add 1 GiB, store in memory', memoryFolder, rounds) },
  { name: 'add 1 GiB in chunks of 256 KiB', run: addSmallChunks },
  { name: 'add the same 1 GiB again', run: addAgain },
  { name: 'add 1, 4 and 16 GiB', run: addLengths },
  { name: 'add 10,000 files of 4 KiB', run: (bench) => addTree(bench, 'add 10,000 files of 4 KiB', 10_000, treeFolder(bench.folder, 10_000)) },
  { name: 'add 10,000 files of 4 KiB, store in memory', run: (bench) => addTree({ ...bench, folder: bench.memoryFolder }, 'add 10,000 files of 4 KiB, store in memory', 10_000, treeFolder(bench.memoryFolder, 10_000)) },
  { name: 'add a tree like node_modules, 20,000 files', run: (bench) => addTree(bench, 'add a tree like node_modules, 20,000 files', 20_000, packagesFolder(bench.folder, 20_000)) },
  { name: 'add 100,000 files of 4 KiB', run: addManyFiles }
]

const GIB_MIB = 1024

async function addFile (name: string, folder: string, rounds: number): Promise<Row[]> {
  const path = bytesFile(folder, '1g', GIB_MIB * MIB)
  return [await compare(name, 'MiB/s', [
    { name: 'Holdfast', run: async () => await addFresh(folder, ['-Q', path], GIB_MIB) },
    { name: 'Holdfast in one process', run: async () => GIB_MIB / await inProcess(folder, path) },
    { name: 'Helia, blockstore-fs (no fsync)', rounds: 3, run: async () => GIB_MIB / await heliaFresh(folder, 'add', path) },
    { name: 'SHA-256 on all cores', run: async () => GIB_MIB / await secondsOfHashing(path) },
    { name: 'write + fsync alone', run: async () => GIB_MIB / await secondsOf(async () => { copyFile(path, folder) }) }
  ], rounds, 'durable, whole command beside a running node')]
}

/** Blocks as they were cut before `unixfs-v1-2025`: four times as many, and wide nodes above them. */
async function addSmallChunks ({ folder, options: { rounds } }: Bench): Promise<Row[]> {
  const path = bytesFile(folder, '1g', GIB_MIB * MIB)
  const [chunkBytes, links] = ['262144', '174']
  return [await compare('add 1 GiB in chunks of 256 KiB', 'MiB/s', [
    { name: 'Holdfast', run: async () => await addFresh(folder, ['-Q', '--chunker', `size-${chunkBytes}`, '--max-file-links', links, path], GIB_MIB) },
    { name: 'Helia, blockstore-fs (no fsync)', rounds: 3, run: async () => GIB_MIB / await heliaFresh(folder, 'add', path, [chunkBytes, links]) },
    { name: 'write + fsync alone', run: async () => GIB_MIB / await secondsOf(async () => { copyFile(path, folder) }) }
  ], rounds, 'durable, width 174')]
}

async function addAgain ({ folder, options: { rounds } }: Bench): Promise<Row[]> {
  const path = bytesFile(folder, '1g', GIB_MIB * MIB)
  const repository = freshFolder(folder)
  await using node = await daemon(repository)
  await holdfast(['--path', repository, 'add', '-Q', path])
  const before = packBytesOf(repository)
  const row = await compare('add the same 1 GiB again', 'MiB/s', [
    { name: 'Holdfast', run: async () => await added(node, repository, ['-Q', path], GIB_MIB) },
    { name: 'SHA-256 alone', run: async () => GIB_MIB / await secondsOf(async () => { hashFile(path) }) },
    { name: 'SHA-256 on all cores', run: async () => GIB_MIB / await secondsOfHashing(path) }
  ], rounds)
  return [{ ...row, note: `${packBytesOf(repository) - before} bytes were written` }]
}

/** One round: 16 GiB alone take minutes on a disk. The rate of the longest file stands first. */
async function addLengths ({ folder }: Bench): Promise<Row[]> {
  const figures: Array<readonly [number, Figure]> = []
  for (const gib of [1, 4, 16]) {
    const path = bytesFile(folder, `${gib}g`, gib * GIB_MIB * MIB)
    figures.push([gib, await addFresh(folder, ['-Q', path], gib * GIB_MIB)])
    if (gib > 1) rmSync(path)
  }
  const samples = figures.toReversed().map(([gib, figure]) => sampleOf(`${gib} GiB`, [figure]))
  return [rowOf({ name: 'add 16 GiB', unit: 'MiB/s', note: 'one round; the most memory of the daemon is among the costs' }, samples)]
}

async function addTree ({ folder, options: { rounds } }: Bench, name: string, fileCount: number, path: string): Promise<Row[]> {
  return [await compare(name, 'files/s', [
    { name: 'Holdfast', run: async () => await addFresh(folder, ['-rQ', path], fileCount) },
    ...treeLimits(folder, fileCount, path),
    { name: 'Helia, blockstore-fs (no fsync)', rounds: 3, run: async () => fileCount / await heliaFresh(folder, 'add-tree', path) }
  ], Math.min(rounds, 3), 'durable')]
}

async function addManyFiles ({ folder }: Bench): Promise<Row[]> {
  const [few, many] = [treeFolder(folder, 10_000), treeFolder(folder, 100_000)]
  return [await compare('add 100,000 files of 4 KiB', 'files/s', [
    { name: 'Holdfast', run: async () => await addFresh(folder, ['-rQ', many], 100_000) },
    { name: 'Holdfast, 10,000 files', run: async () => await addFresh(folder, ['-rQ', few], 10_000) },
    ...treeLimits(folder, 100_000, many)
  ], 2, 'durable')]
}

function treeLimits (folder: string, fileCount: number, path: string): Subject[] {
  return [{ name: 'tar c + fsync + SHA-256', run: async () => fileCount / await secondsOf(async () => { archiveFolder(path, folder) }) }]
}

/** Adds into a new repository and returns how much of `amount` each second of the whole command did. */
async function addFresh (folder: string, args: readonly string[], amount: number): Promise<Figure> {
  const repository = freshFolder(folder)
  await using node = await daemon(repository)
  return await added(node, repository, args, amount)
}

async function added (node: Running<DaemonReady>, repository: string, args: readonly string[], amount: number): Promise<Figure> {
  const cpuBefore = await cpuSecondsOf(node)
  const seconds = await secondsOf(async () => { await holdfast(['--path', repository, 'add', ...args]) })
  return { value: amount / seconds, cpuSeconds: await cpuSecondsOf(node) - cpuBefore, rssMib: await memoryMibOf(node, 'VmHWM') }
}

async function inProcess (folder: string, path: string): Promise<number> {
  return (await subject<{ seconds: number }>('holdfast-add', [path, freshFolder(folder)])).seconds
}

async function heliaFresh (folder: string, work: string, path: string, args: readonly string[] = []): Promise<number> {
  const repository = join(folder, 'fresh-helia')
  rmSync(repository, { recursive: true, force: true })
  const { seconds } = await subject<{ seconds: number }>('helia', [work, path, repository, ...args])
  rmSync(repository, { recursive: true, force: true })
  return seconds
}

function freshFolder (folder: string): string {
  const repository = join(folder, 'fresh')
  rmSync(repository, { recursive: true, force: true })
  return repository
}

function packBytesOf (repository: string): number {
  const packs = join(repository, 'packs')
  return readdirSync(packs).reduce((sum, name) => sum + statSync(join(packs, name)).size, 0)
}
