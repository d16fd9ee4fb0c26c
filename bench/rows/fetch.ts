import { join } from 'node:path'
import type { Bench, Measurement } from '../bench.ts'
import { fetchHelia, MAX_NETWORK_ROUNDS, openHeliaHolder, openOurHolder, rateOf, requireSame } from '../ends.ts'
import { bytesFile, copyFile, MIB } from '../inputs.ts'
import { compare, type Row, secondsOf } from '../measure.ts'
import { compareInMemory, ourSubjects } from '../one-peer.ts'

/** What a fetch from one peer costs where the line costs nothing: processor, memory, disk. */
export const FETCH_ROWS: readonly Measurement[] = [
  { name: 'fetch 1 GiB, stores in memory', run: fetchMemory },
  { name: 'fetch 1 GiB, stores on disk', run: fetchDisk }
]

const DEFAULT_MIB = 1024

async function fetchMemory (bench: Bench): Promise<Row[]> {
  const { sizeMib = DEFAULT_MIB } = bench.options
  return [await compareInMemory(bench, { name: nameOf(sizeMib, 'stores in memory'), sizeMib })]
}

async function fetchDisk ({ folder, options: { rounds, sizeMib = DEFAULT_MIB } }: Bench): Promise<Row[]> {
  const byteLength = sizeMib * MIB
  const path = bytesFile(folder, `fetch-${sizeMib}`, byteLength)
  await using ours = await openOurHolder(join(folder, 'holder'), path)
  await using helia = await openHeliaHolder(join(folder, 'holder-helia'), path)
  requireSame(ours, helia)
  return [await compare(nameOf(sizeMib, 'stores on disk'), 'MiB/s', [
    ...ourSubjects(ours, { folder, sizeMib }),
    { name: 'Helia, blockstore-fs, session (no fsync)', rounds: 2, run: async () => rateOf(sizeMib, await fetchHelia(join(folder, 'fetcher-helia'), 'file-session', { holder: helia, byteLength })) },
    { name: 'write + fsync alone', run: async () => sizeMib / await secondsOf(async () => { copyFile(path, folder) }) }
  ], Math.min(rounds, MAX_NETWORK_ROUNDS), 'one peer, cold, ours durable where it arrives')]
}

function nameOf (sizeMib: number, where: string): string {
  return `fetch ${sizeMib === DEFAULT_MIB ? '1 GiB' : `${sizeMib} MiB`}, ${where}`
}
