import { rmSync } from 'node:fs'
import { devNull } from 'node:os'
import { join } from 'node:path'
import type { Bench, Measurement } from '../bench.ts'
import { bytesFile, copyFile, hashFile, MIB } from '../inputs.ts'
import { compare, type Figure, type Row, secondsOf } from '../measure.ts'
import { cpuSecondsOf, daemon, holdfast, holdfastDiscarding, subject } from '../processes.ts'

/** What moving a DAG as an archive costs, on the disk and on a file system in memory. */
export const CAR_ROWS: readonly Measurement[] = [
  { name: 'CAR import 1 GiB', run: async (bench) => await importRows(bench, bench.folder, 'on disk') },
  { name: 'CAR export 1 GiB', run: async (bench) => await exportRows(bench, bench.folder, 'on disk') },
  { name: 'CAR import 1 GiB, in memory', run: async (bench) => await importRows(bench, bench.memoryFolder, 'in memory') },
  { name: 'CAR export 1 GiB, in memory', run: async (bench) => await exportRows(bench, bench.memoryFolder, 'in memory') }
]

/** Bytes of the content in MiB, unless told otherwise. */
const CONTENT_MIB = 1024

interface Exported {
  readonly mib: number
  /** The content as a file, for what the machine can do with as many bytes. */
  readonly path: string
  readonly cid: string
  readonly archive: string
  readonly repository: string
}

/** A repository with the content, and an archive of it. */
async function exported ({ options: { sizeMib: mib = CONTENT_MIB } }: Bench, folder: string): Promise<Exported> {
  const path = bytesFile(folder, `${mib}m`, mib * MIB)
  const repository = join(folder, 'car-from')
  const archive = join(folder, 'content.car')
  rmSync(repository, { recursive: true, force: true })
  await using _node = await daemon(repository)
  const cid = await holdfast(['--path', repository, 'add', '-Q', path])
  await holdfast(['--path', repository, 'dag', 'export', cid, '-o', archive])
  return { mib, path, cid, archive, repository }
}

async function importRows (bench: Bench, folder: string, where: string): Promise<Row[]> {
  const { mib, path, archive } = await exported(bench, folder)
  const { rounds } = bench.options
  return [await compare(`CAR import ${mib} MiB, ${where}`, 'MiB/s', [
    { name: 'Holdfast', run: async () => await importFresh(folder, archive, mib) },
    { name: '@ipld/car, blockstore-fs (no fsync)', rounds: 3, run: async () => mib / await ipldImport(folder, archive) },
    ...limits(folder, path, mib)
  ], rounds, 'durable, roots pinned, whole command beside a running node')]
}

async function exportRows (bench: Bench, folder: string, where: string): Promise<Row[]> {
  const { mib, path, cid, archive, repository } = await exported(bench, folder)
  const theirs = join(folder, 'car-fresh-ipld')
  await ipldImport(folder, archive)
  await using node = await daemon(repository)
  const rate = async (work: () => Promise<unknown>): Promise<Figure> => {
    const before = await cpuSecondsOf(node)
    const value = mib / await secondsOf(work)
    return { value, cpuSeconds: await cpuSecondsOf(node) - before }
  }
  return [await compare(`CAR export ${mib} MiB, ${where}`, 'MiB/s', [
    { name: 'Holdfast', run: async () => await rate(async () => { await holdfastDiscarding(['--path', repository, 'dag', 'export', cid]) }) },
    { name: '@ipld/car, blockstore-fs', rounds: 3, run: async () => mib / (await subject<{ seconds: number }>('ipld-car', ['export', cid, theirs, devNull])).seconds },
    { name: 'pread + SHA-256 alone', run: async () => mib / await secondsOf(async () => { hashFile(path) }) }
  ], bench.options.rounds, 'verified, thrown away, whole command beside a running node; CPU of the node alone')]
}

function limits (folder: string, path: string, mib: number): Array<{ name: string, run: () => Promise<number> }> {
  return [
    { name: 'write + fsync alone', run: async () => mib / await secondsOf(async () => { copyFile(path, folder) }) },
    { name: 'pread + SHA-256 alone', run: async () => mib / await secondsOf(async () => { hashFile(path) }) }
  ]
}

async function importFresh (folder: string, archive: string, mib: number): Promise<Figure> {
  const repository = join(folder, 'car-fresh')
  rmSync(repository, { recursive: true, force: true })
  await using node = await daemon(repository)
  const before = await cpuSecondsOf(node)
  const value = mib / await secondsOf(async () => { await holdfast(['--path', repository, 'dag', 'import', archive]) })
  return { value, cpuSeconds: await cpuSecondsOf(node) - before }
}

async function ipldImport (folder: string, archive: string): Promise<number> {
  const repository = join(folder, 'car-fresh-ipld')
  rmSync(repository, { recursive: true, force: true })
  return (await subject<{ seconds: number }>('ipld-car', ['import', archive, repository])).seconds
}
