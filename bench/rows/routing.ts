import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bench, Measurement } from '../bench.ts'
import { openOurs, type OurEnd } from '../ends.ts'
import { treeFolder } from '../inputs.ts'
import { compare, median, type Row } from '../measure.ts'
import { holdfast, subjectPath, type Talking, talking } from '../processes.ts'
import type { KadRequest } from '../subjects/kad-peer.ts'

/** What it costs to tell a small network what one has, and to find it there: eight processes, of them two clients of the DHT. */
export const ROUTING_ROWS: readonly Measurement[] = [{ name: 'announce and find, 8 nodes', run: announceAndFind }]

const SERVER_COUNT = 6

/** CIDs that are announced and found in each round; the median counts. */
const CIDS_PER_ROUND = 20

/** How long a network may take until everybody knows everybody, in ms. */
const SETTLE_MS = 60_000

/** A network in which one node announces and another one searches. */
interface Network extends AsyncDisposable {
  /** @throws when fewer than all servers took the record, where the network says so. */
  announce(cid: string): Promise<void>
  /** Returns the first peer that is found. */
  find(cid: string): Promise<string | undefined>
  readonly holder: string
}

async function announceAndFind (bench: Bench): Promise<Row[]> {
  const rounds = Math.min(bench.options.rounds, 5)
  const path = treeFolder(bench.memoryFolder, rounds * CIDS_PER_ROUND)
  await using ours = await openOurNetwork(bench, path)
  await using theirs = await openKadNetwork(ours.cids.at(-1) ?? '')
  const networks = [{ name: 'Holdfast', network: ours }, { name: '@libp2p/kad-dht', network: theirs }]
  const cidsOfRound = new Map(networks.map(({ name }) => [name, ours.cids.values()]))
  const subjects = (work: (network: Network, cids: readonly string[]) => Promise<number[]>): Parameters<typeof compare>[2] => networks.map(({ name, network }) => ({
    name,
    run: async () => median(await work(network, [...cidsOfRound.get(name)?.take(CIDS_PER_ROUND) ?? []]))
  }))

  const announcing = await compare('announce, 8 nodes', 'ms', subjects(announceAll), rounds, 'less is better, loopback, to six servers')
  for (const { name } of networks) cidsOfRound.set(name, ours.cids.values())
  const finding = await compare('find, 8 nodes', 'ms', subjects(findAll), rounds, 'less is better, loopback, first provider')
  return [announcing, finding]
}

async function announceAll (network: Network, cids: readonly string[]): Promise<number[]> {
  return await timesMs(cids, async (cid) => { await network.announce(cid) })
}

async function findAll (network: Network, cids: readonly string[]): Promise<number[]> {
  return await timesMs(cids, async (cid) => {
    const found = await network.find(cid)
    if (found !== network.holder) throw new Error(`${found} was found for ${cid} instead of ${network.holder}`)
  })
}

async function timesMs (cids: readonly string[], work: (cid: string) => Promise<void>): Promise<number[]> {
  const times: number[] = []
  for (const cid of cids) {
    const startedMs = performance.now()
    await work(cid)
    times.push(performance.now() - startedMs)
  }
  return times
}

async function openOurNetwork ({ memoryFolder }: Bench, path: string): Promise<Network & { readonly cids: readonly string[] }> {
  await using opening = new AsyncDisposableStack()
  const nodes: OurEnd[] = []
  for (let index = 0; index < SERVER_COUNT + 2; index++) {
    const node = opening.use(await openOurs(join(memoryFolder, `node-${index}`), ['--dht', index < SERVER_COUNT ? 'server' : 'client', '--provide-strategy', 'off']))
    for (const { address } of nodes) for await (const _ of node.api.call('connect', { address }));
    nodes.push(node)
  }
  const [holder, fetcher] = nodes.slice(SERVER_COUNT)
  if (holder === undefined || fetcher === undefined) throw new Error('The network is too small')

  const printed = await holdfast(['--path', holder.repository, 'add', '-r', '--json', path])
  const cids = printed.split('\n').map((line) => (JSON.parse(line) as { cid?: string }).cid).filter((cid) => cid !== undefined)
  const acceptedCount = async (cid: string): Promise<number> => {
    for await (const answer of holder.api.call('provide', { cid })) if (answer.type === 'event') return answer.event.acceptedCount
    return 0
  }
  await until('Our servers know each other', async () => await acceptedCount(cids.at(-1) ?? '') === SERVER_COUNT)
  const open = opening.move()
  return {
    cids,
    holder: holder.ready.peerId,
    async announce (cid) {
      const count = await acceptedCount(cid)
      if (count !== SERVER_COUNT) throw new Error(`${count} of ${SERVER_COUNT} servers took the record of ${cid}`)
    },
    async find (cid) {
      for await (const answer of fetcher.api.call('find-providers', { cid, limit: 1 })) if (answer.type === 'event') return answer.event.peer
      return undefined
    },
    [Symbol.asyncDispose]: async () => { await open.disposeAsync() }
  }
}

async function openKadNetwork (probe: string): Promise<Network> {
  await using opening = new AsyncDisposableStack()
  const nodes: Array<Talking<{ address: string }, KadRequest>> = []
  for (let index = 0; index < SERVER_COUNT + 2; index++) {
    const node = opening.use(await talking<{ address: string }, KadRequest>([subjectPath('kad-peer'), index < SERVER_COUNT ? 'server' : 'client']))
    for (const { ready: { address } } of nodes) await node.ask({ do: 'connect', address })
    nodes.push(node)
  }
  const [holder, fetcher] = nodes.slice(SERVER_COUNT)
  if (holder === undefined || fetcher === undefined) throw new Error('The network is too small')
  for (const node of [holder, fetcher]) await until('The servers of kad-dht know each other', async () => (await node.ask<{ size: number }>({ do: 'size' })).size === SERVER_COUNT)
  await holder.ask({ do: 'provide', cid: probe })
  const open = opening.move()
  return {
    holder: /\/p2p\/(\w+)$/.exec(holder.ready.address)?.[1] ?? '',
    announce: async (cid) => { await holder.ask({ do: 'provide', cid }) },
    find: async (cid) => (await fetcher.ask<{ peer?: string }>({ do: 'find', cid })).peer,
    [Symbol.asyncDispose]: async () => { await open.disposeAsync() }
  }
}

async function until (what: string, check: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + SETTLE_MS
  while (!await check()) {
    if (performance.now() > endMs) throw new Error(`${what}: not within ${SETTLE_MS} ms`)
    await sleep(200)
  }
}
