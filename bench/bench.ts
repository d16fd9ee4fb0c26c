import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Row } from './measure.ts'
import type { Options } from './options.ts'

/** What every row gets: where it may write, and how much it measures. */
export interface Bench {
  readonly options: Options
  /** On the disk. Goes with the run. */
  readonly folder: string
  /** In memory, where the machine has such a place; else on the disk too. Goes with the run. */
  readonly memoryFolder: string
}

/** A row of the table, or two that are measured together. */
export interface Measurement {
  readonly name: string
  run(bench: Bench): Promise<readonly Row[]>
}

/** Makes the folders of a run. */
export async function openBench (options: Options, { BENCH_FOLDER, BENCH_MEMORY_FOLDER }: NodeJS.ProcessEnv): Promise<Bench & AsyncDisposable> {
  const folder = await mkdtemp(join(BENCH_FOLDER ?? tmpdir(), 'holdfast-bench-'))
  const memoryFolder = await mkdtemp(join(BENCH_MEMORY_FOLDER ?? (existsSync('/dev/shm') ? '/dev/shm' : tmpdir()), 'holdfast-bench-'))
  return {
    options,
    folder,
    memoryFolder,
    async [Symbol.asyncDispose] () {
      for (const each of [folder, memoryFolder]) await rm(each, { recursive: true, force: true })
    }
  }
}
