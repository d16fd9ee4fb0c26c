import { join } from 'node:path'
import type { Bench, Measurement } from '../bench.ts'
import { fetchBare, fetchHelia, fetchOurs, MAX_NETWORK_ROUNDS, openBareHolder, openHeliaHolder, openOurHolder, rateOf, requireSame } from '../ends.ts'
import { bytesFile, copyFile, MIB } from '../inputs.ts'
import { compare, type Row, secondsOf } from '../measure.ts'

/** What a fetch from one peer costs where the line costs nothing: processor, memory, disk. */
export const FETCH_ROWS: readonly Measurement[] = [
  { name: 'fetch 1 GiB, stores in memory', run: fetchMemory },
  { name: 'fetch 1 GiB, stores on disk', run: fetchDisk }
]

const DEFAULT_MIB = 1024

async function fetchMemory ({ memoryFolder, options: { rounds, sizeMib = DEFAULT_MIB } }: Bench): Promise<Row[]> {
  const byteLength = sizeMib * MIB
  const path = bytesFile(memoryFolder, `fetch-${sizeMib}`, byteLength)
  await using ours = await openOurHolder(join(memoryFolder, 'holder'), path)
  await using helia = await openHeliaHolder('memory', path)
  await using wide = await openBareHolder('wide', byteLength)
  await using standard = await openBareHolder('standard', byteLength)
  requireSame(ours, helia)
  return [await compare(nameOf(sizeMib, 'stores in memory'), 'MiB/s', [
    { name: 'Holdfast', run: async () => rateOf(sizeMib, await fetchOurs(memoryFolder, { holder: ours, byteLength })) },
    { name: 'Helia', rounds: 2, run: async () => rateOf(sizeMib, await fetchHelia('memory', 'file', { holder: helia, byteLength })) },
    { name: 'Helia, session', rounds: 2, run: async () => rateOf(sizeMib, await fetchHelia('memory', 'file-session', { holder: helia, byteLength })) },
    { name: 'bare libp2p stream, TLS, our yamux', run: async () => rateOf(sizeMib, await fetchBare('wide', { holder: wide, byteLength })) },
    { name: 'bare libp2p stream, TLS, yamux', run: async () => rateOf(sizeMib, await fetchBare('standard', { holder: standard, byteLength })) }
  ], Math.min(rounds, MAX_NETWORK_ROUNDS), 'one peer, cold, through the gateway of the node that fetches')]
}

async function fetchDisk ({ folder, options: { rounds, sizeMib = DEFAULT_MIB } }: Bench): Promise<Row[]> {
  const byteLength = sizeMib * MIB
  const path = bytesFile(folder, `fetch-${sizeMib}`, byteLength)
  await using ours = await openOurHolder(join(folder, 'holder'), path)
  await using helia = await openHeliaHolder(join(folder, 'holder-helia'), path)
  requireSame(ours, helia)
  return [await compare(nameOf(sizeMib, 'stores on disk'), 'MiB/s', [
    { name: 'Holdfast', run: async () => rateOf(sizeMib, await fetchOurs(folder, { holder: ours, byteLength })) },
    { name: 'Helia, blockstore-fs, session (no fsync)', rounds: 2, run: async () => rateOf(sizeMib, await fetchHelia(join(folder, 'fetcher-helia'), 'file-session', { holder: helia, byteLength })) },
    { name: 'write + fsync alone', run: async () => sizeMib / await secondsOf(async () => { copyFile(path, folder) }) }
  ], Math.min(rounds, MAX_NETWORK_ROUNDS), 'one peer, cold, durable where it arrives')]
}

function nameOf (sizeMib: number, where: string): string {
  return `fetch ${sizeMib === DEFAULT_MIB ? '1 GiB' : `${sizeMib} MiB`}, ${where}`
}
