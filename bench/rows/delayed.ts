import { openDelayProxy, type DelayProxy } from '@holdfast/testkit'
import { join } from 'node:path'
import type { Bench, Measurement } from '../bench.ts'
import { type Fetch, fetchHelia, type Holder, MAX_NETWORK_ROUNDS, openHeliaHolder, openOurHolder, pinOurs, rateOf, requireSame } from '../ends.ts'
import { treeBytes, treeFolder } from '../inputs.ts'
import { compare, type Figure, type Row } from '../measure.ts'
import { compareInMemory } from '../one-peer.ts'

/** What round trips cost: the same fetches through a line of 50 ms. Stores are in memory, so that the disk hides nothing. */
export const DELAYED_ROWS: readonly Measurement[] = [
  { name: 'fetch 256 MiB at 50 ms', run: fetchFile },
  { name: 'fetch 10,000 files of 4 KiB at 50 ms', run: fetchTree }
]

const DEFAULT_MIB = 256

/** Half of the round trip, in ms. */
const DELAY_MS = 25

async function fetchFile (bench: Bench): Promise<Row[]> {
  const { sizeMib = DEFAULT_MIB } = bench.options
  return [await compareInMemory(bench, { name: `fetch ${sizeMib} MiB at 50 ms`, sizeMib, way: delayed })]
}

async function fetchTree ({ memoryFolder, options: { rounds, fileCount } }: Bench): Promise<Row[]> {
  const byteLength = treeBytes(fileCount)
  const path = treeFolder(memoryFolder, fileCount)
  await using ours = await openOurHolder(join(memoryFolder, 'holder'), path)
  await using helia = await openHeliaHolder('memory', path)
  requireSame(ours, helia)
  const through = async (holder: Holder, run: (fetch: Fetch) => Promise<Figure>): Promise<Figure> => rateOf(fileCount, await delayed(holder, byteLength, run))
  return [await compare(`fetch ${fileCount.toLocaleString('en')} files of 4 KiB at 50 ms`, 'files/s', [
    { name: 'Holdfast, `pin add`', run: async () => await through(ours, async (fetch) => await pinOurs(memoryFolder, fetch)) },
    { name: 'Helia', rounds: 2, run: async () => await through(helia, async (fetch) => await fetchHelia('memory', 'tree', fetch)) },
    { name: 'Helia, session', rounds: 2, run: async () => await through(helia, async (fetch) => await fetchHelia('memory', 'tree-session', fetch)) }
  ], Math.min(rounds, MAX_NETWORK_ROUNDS), 'one peer, cold, stores in memory, 1,024 reads at a time for Helia')]
}

/** Runs a fetch through a proxy of its own, and fails when the bytes came another way. */
async function delayed (holder: Holder, byteLength: number, run: (fetch: Fetch) => Promise<Figure>): Promise<Figure> {
  const port = /^\/ip4\/127\.0\.0\.1\/tcp\/(\d+)\/p2p\//.exec(holder.address)?.[1]
  if (port === undefined) throw new Error(`Not an address on loopback: ${holder.address}`)
  await using proxy: DelayProxy = await openDelayProxy({ target: { port: Number(port) }, delayMs: DELAY_MS })
  const figure = await run({ holder, byteLength, address: holder.address.replace(`/tcp/${port}/`, `/tcp/${proxy.port}/`) })
  if (proxy.forwardedBytes() < byteLength) throw new Error(`Only ${proxy.forwardedBytes()} of ${byteLength} bytes went through the proxy`)
  return figure
}
