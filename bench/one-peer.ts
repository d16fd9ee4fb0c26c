/** What is common to the rows in which one file comes from one peer. */
import { join } from 'node:path'
import type { Bench } from './bench.ts'
import { type Fetch, fetchBare, fetchHelia, fetchOurs, type Holder, MAX_NETWORK_ROUNDS, openBareHolder, openHeliaHolder, openOurHolder, pinOurs, rateOf, requireSame } from './ends.ts'
import { bytesFile, MIB } from './inputs.ts'
import { compare, type Figure, type Row, type Subject } from './measure.ts'

/** How the one who fetches reaches the holder: runs a fetch and returns what it took. */
export type Way = (holder: Holder, byteLength: number, run: (fetch: Fetch) => Promise<Figure>) => Promise<Figure>

/** Over loopback as it is. */
export const DIRECT: Way = async (holder, byteLength, run) => await run({ holder, byteLength })

/**
 * Ours in two ways: `pin add`, after which every block is durable, and read by a third process through the gateway of the node that fetches.
 *
 * @param options.folder Where the new nodes keep their blocks.
 */
export function ourSubjects (ours: Holder, { folder, sizeMib, way = DIRECT }: { folder: string, sizeMib: number, way?: Way }): Subject[] {
  const rate = async (run: (fetch: Fetch) => Promise<Figure>): Promise<Figure> => rateOf(sizeMib, await way(ours, sizeMib * MIB, run))
  return [
    { name: 'Holdfast, `pin add`', run: async () => await rate(async (fetch) => await pinOurs(folder, fetch)) },
    { name: 'Holdfast, through its gateway', run: async () => await rate(async (fetch) => await fetchOurs(folder, fetch)) }
  ]
}

/** Compares ours with Helia and with bare streams, all stores in memory. */
export async function compareInMemory ({ memoryFolder, options: { rounds } }: Bench, { name, sizeMib, way = DIRECT }: { name: string, sizeMib: number, way?: Way }): Promise<Row> {
  const byteLength = sizeMib * MIB
  const path = bytesFile(memoryFolder, `fetch-${sizeMib}`, byteLength)
  await using ours = await openOurHolder(join(memoryFolder, 'holder'), path)
  await using helia = await openHeliaHolder('memory', path)
  await using wide = await openBareHolder('wide', byteLength)
  await using standard = await openBareHolder('standard', byteLength)
  requireSame(ours, helia)
  const rate = async (holder: Holder, run: (fetch: Fetch) => Promise<Figure>): Promise<Figure> => rateOf(sizeMib, await way(holder, byteLength, run))
  return await compare(name, 'MiB/s', [
    ...ourSubjects(ours, { folder: memoryFolder, sizeMib, way }),
    { name: 'Helia', rounds: 2, run: async () => await rate(helia, async (fetch) => await fetchHelia('memory', 'file', fetch)) },
    { name: 'Helia, session', rounds: 2, run: async () => await rate(helia, async (fetch) => await fetchHelia('memory', 'file-session', fetch)) },
    { name: 'bare libp2p stream, TLS, our yamux', run: async () => await rate(wide, async (fetch) => await fetchBare('wide', fetch)) },
    { name: 'bare libp2p stream, TLS, yamux', run: async () => await rate(standard, async (fetch) => await fetchBare('standard', fetch)) }
  ], Math.min(rounds, MAX_NETWORK_ROUNDS), 'one peer, cold')
}
