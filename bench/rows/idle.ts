import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench, Measurement } from '../bench.ts'
import { openOurs, type OurEnd } from '../ends.ts'
import { type Figure, type Row, rowOf, sampleOf } from '../measure.ts'
import { background, cpuSecondsOf, memoryMibOf, subjectPath } from '../processes.ts'

/** What a node costs that does nothing but keep its connections, beside one that has none, watched at the same time. */
export const IDLE_ROWS: readonly Measurement[] = [{ name: 'idle with 300 peers', run: idle }]

/** Peers that live in one process: a host of libp2p holds some MiB. */
const PEERS_PER_PROCESS = 100

/** Connections that are opened at the same time: as many as a node has handshakes under way. */
const PARALLEL_DIALS = 10

/** Until identify, the first pings and self-queries are over, and what they left was collected, in seconds. */
const SETTLE_SECONDS = 30

/** The least that the clock of processes can tell, in seconds: a node that used less counts as one that used this. */
const CPU_GRAIN_SECONDS = 0.01

async function idle ({ memoryFolder, options: { peerCount, idleSeconds } }: Bench): Promise<Row[]> {
  await using alone = await openOurs(join(memoryFolder, 'alone'), [])
  await using busy = await openOurs(join(memoryFolder, 'busy'), [])
  await using peers = new AsyncDisposableStack()
  const addresses: string[] = []
  for (let left = peerCount; left > 0; left -= PEERS_PER_PROCESS) {
    const many = peers.use(await background<{ addresses: string[] }>([subjectPath('light-peers'), String(Math.min(left, PEERS_PER_PROCESS))]))
    addresses.push(...many.ready.addresses)
  }
  await connectAll(busy, addresses)
  await sleep(SETTLE_SECONDS * 1000)
  const [withPeers, without] = await Promise.all([watch(busy, idleSeconds), watch(alone, idleSeconds)])
  const connectedCount = await peerCountOf(busy)
  if (connectedCount !== peerCount) throw new Error(`${connectedCount} peers are connected at the end instead of ${peerCount}`)

  const row = (name: string, unit: Row['unit'], note: string, pick: (watched: Watched) => Figure): Row => rowOf({ name: `idle with ${peerCount} peers, ${name}`, unit, note }, [sampleOf('Holdfast', [pick(withPeers)]), sampleOf('the same without peers', [pick(without)])])
  return [
    row('CPU', '% of a core', `less is better, over ${idleSeconds} s`, ({ cpuPercent }) => ({ value: cpuPercent })),
    row('memory', 'MiB', 'less is better, RSS at the end', ({ rssMib }) => ({ value: rssMib }))
  ]
}

async function connectAll ({ api }: OurEnd, addresses: readonly string[]): Promise<void> {
  const left = [...addresses]
  await Promise.all(Array.from({ length: PARALLEL_DIALS }, async () => {
    for (let address = left.pop(); address !== undefined; address = left.pop()) for await (const _ of api.call('connect', { address }));
  }))
}

async function peerCountOf ({ api }: OurEnd): Promise<number> {
  return (await Array.fromAsync(api.call('peers', {}))).filter(({ type }) => type === 'event').length
}

/** What a process used while it was watched. */
interface Watched {
  readonly cpuPercent: number
  readonly rssMib: number
}

async function watch (node: OurEnd, seconds: number): Promise<Watched> {
  const startedMs = performance.now()
  const cpuBefore = await cpuSecondsOf(node)
  await sleep(seconds * 1000)
  const cpuSeconds = Math.max(CPU_GRAIN_SECONDS, await cpuSecondsOf(node) - cpuBefore)
  return { cpuPercent: cpuSeconds / ((performance.now() - startedMs) / 1000) * 100, rssMib: await memoryMibOf(node, 'VmRSS') }
}
